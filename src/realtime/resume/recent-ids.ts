/** Remembers the latest ids, in two generations: at least `size` of them, at most twice as many. */
export class RecentIds {
  private present = new Set<string>();
  private past = new Set<string>();

  constructor(private readonly size: number) {}

  add(id: string): void {
    if (this.present.size >= this.size) {
      this.past = this.present;
      this.present = new Set();
    }
    this.present.add(id);
  }

  has(id: string): boolean {
    return this.present.has(id) || this.past.has(id);
  }
}
