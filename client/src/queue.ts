// Messages that wait for a connection, up to a bound.

export class Queue<Item> {
  private items: Item[] = [];

  constructor(private readonly limit: number) {}

  /** Append an item; return whether there was room. */
  push(item: Item): boolean {
    if (this.items.length >= this.limit) {
      return false;
    }
    this.items.push(item);
    return true;
  }

  /** Return all items, oldest first, and forget them. */
  take(): Item[] {
    const items = this.items;
    this.items = [];
    return items;
  }
}
