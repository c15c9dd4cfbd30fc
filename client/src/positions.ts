// Where each channel is for one reader: what it has seen of it.
//
// A position is `epoch:offset`. Offsets of one epoch can be compared; those of two can't.

export type Since = Record<string, string>;

export class Positions {
  private readonly seen: Map<string, string>;

  /** `save` is called on each change. */
  constructor(
    initial: Since = {},
    private readonly save: (since: Since) => void = () => undefined,
  ) {
    this.seen = new Map(Object.entries(initial));
  }

  get(channel: string): string | undefined {
    return this.seen.get(channel);
  }

  set(channel: string, position: string): void {
    this.seen.set(channel, position);
    this.save(this.since());
  }

  clear(): void {
    this.seen.clear();
    this.save({});
  }

  /** Note the position of a message; return false if that message was seen before. */
  advance(channel: string, position: string): boolean {
    if (this.covers(channel, position)) {
      return false;
    }
    this.set(channel, position);
    return true;
  }

  /** Whether everything up to a position was seen. */
  covers(channel: string, position: string): boolean {
    const seen = this.seen.get(channel);
    return seen !== undefined && compare(position, seen) <= 0;
  }

  /** Return all positions, by channel. */
  since(): Since {
    return Object.fromEntries(this.seen);
  }
}

/** Return by how much a position is further than another one; NaN if that can't be known. */
export function compare(one: string, other: string): number {
  const [epoch, offset] = parse(one);
  const [otherEpoch, otherOffset] = parse(other);
  return epoch === otherEpoch ? offset - otherOffset : Number.NaN;
}

/** Whether what follows a position holds all that follows another one. */
export function isUpTo(position: string, other: string): boolean {
  const isFromStart = isBeginning(position) && !isBeginning(other);
  return isFromStart || compare(position, other) <= 0;
}

/** Whether nothing was published before. */
function isBeginning(position: string): boolean {
  return position.startsWith("*");
}

function parse(position: string): [string, number] {
  // The epoch in which nothing was published yet: a number that grows with time, and what names the data.
  const [, time, data] = /^\*(\d+)x(\w*):0$/.exec(position) ?? [];
  if (data !== undefined) {
    return [`*${data}`, Number(time)];
  }
  const end = position.lastIndexOf(":");
  return [position.slice(0, Math.max(end, 0)), Number(position.slice(end + 1))];
}

/** Return the address with positions from which to recover, or with the token of a page. */
export function withSince(uri: string, since: Since, from?: string): string {
  const pairs = Object.entries(since).map(
    ([channel, position]) => `since=${encodeURIComponent(`${channel}@${position}`)}`,
  );
  if (from) {
    pairs.push(`from=${encodeURIComponent(from)}`);
  }
  return withQuery(uri, pairs);
}

/** Return the address with more in its query. */
export function withQuery(uri: string, pairs: string[]): string {
  if (!pairs.length) {
    return uri;
  }
  const separator = uri.includes("?") ? (/[?&]$/.test(uri) ? "" : "&") : "?";
  return `${uri}${separator}${pairs.join("&")}`;
}
