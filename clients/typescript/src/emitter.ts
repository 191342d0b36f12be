import { guarded } from './callback.js';

/** Calls the listeners of named events; an error in one of them is reported as uncaught. */
export class Emitter<Events extends object> {
  private readonly listeners = new Map<keyof Events, Map<unknown, (value: never) => void>>();

  /** Adds a listener; the same function is called once, however often it was added. @returns removes it */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const listeners = this.listeners.get(name) ?? new Map<unknown, (value: never) => void>();
    this.listeners.set(name, listeners);
    listeners.set(listener, guarded(listener));
    return () => this.off(name, listener);
  }

  off<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): void {
    this.listeners.get(name)?.delete(listener);
  }

  has(name: keyof Events): boolean {
    return (this.listeners.get(name)?.size ?? 0) > 0;
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    const listeners = this.listeners.get(name);
    if (!listeners) return;
    // A copy: listeners that are added now do not get this one.
    const present = [...listeners.values()];
    for (const listener of present) listener(value as never);
  }
}
