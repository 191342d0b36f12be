export class Child {
  constructor(program: string);
  call(command: string, argument?: unknown): Promise<unknown>;
  stop(): Promise<void>;
}
