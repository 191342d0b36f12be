/**
 * First in, first out (and out again at its end), at a constant cost per item however long it is: a ring in an array whose
 * length is a power of two. It grows and shrinks with its items, so that a queue that was long once
 * does not keep the memory, and it drops its reference to an item that it returns.
 */
const SMALLEST = 4;

export class RingQueue<Item extends object> {
  private ring: (Item | undefined)[] = [undefined, undefined, undefined, undefined];
  private head = 0;
  private count = 0;

  get size(): number {
    return this.count;
  }

  push(item: Item): void {
    if (this.count === this.ring.length) this.resize(this.count * 2);
    this.ring[(this.head + this.count) & (this.ring.length - 1)] = item;
    this.count++;
  }

  shift(): Item | undefined {
    if (this.count === 0) return undefined;
    const item = this.ring[this.head];
    this.ring[this.head] = undefined;
    this.head = (this.head + 1) & (this.ring.length - 1);
    this.count--;
    this.shrink();
    return item;
  }

  /** Removes the item that was pushed last. */
  pop(): Item | undefined {
    if (this.count === 0) return undefined;
    const index = (this.head + this.count - 1) & (this.ring.length - 1);
    const item = this.ring[index];
    this.ring[index] = undefined;
    this.count--;
    this.shrink();
    return item;
  }

  /** At a quarter and not a half, so that a length at the edge does not resize at every turn. */
  private shrink(): void {
    if (this.ring.length > SMALLEST && this.count <= this.ring.length / 4) {
      this.resize(this.ring.length / 2);
    }
  }

  private resize(length: number): void {
    const ring: (Item | undefined)[] = [];
    for (let index = 0; index < this.count; index++) {
      ring.push(this.ring[(this.head + index) & (this.ring.length - 1)]);
    }
    ring.length = length;
    this.ring = ring;
    this.head = 0;
  }
}
