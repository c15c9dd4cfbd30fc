// Own messages that come back, and are not to reach who sent them.
//
// The server could hide them, too. But then the position would stay before them, and after a
// reconnect they would come as if they were somebody else's.
import type { Sendable } from "./options";

/** Milliseconds in which a message comes back, or never. */
const PATIENCE = 10_000;

interface Sent {
  text: string;
  until: number;
}

export class Echoes {
  private sent = new Map<string, Sent[]>();

  constructor(private readonly now: () => number) {}

  /** A message was published on channels from which it comes back. */
  expect(channels: string[], payload: Sendable): void {
    const text = comparable(payload);
    for (const channel of text === undefined ? [] : channels) {
      this.pending(channel).push({ text: text as string, until: this.now() + PATIENCE });
    }
  }

  /** Return whether a message is an own one; each is taken once. */
  take(channel: string, payload: Sendable): boolean {
    const pending = this.pending(channel);
    const text = pending.length ? comparable(payload) : undefined;
    const index = pending.findIndex((sent) => sent.text === text);
    if (index >= 0) {
      pending.splice(index, 1);
    }
    return index >= 0;
  }

  /** The connection was lost, so nobody knows what was published. */
  clear(): void {
    this.sent.clear();
  }

  private pending(channel: string): Sent[] {
    const alive = (this.sent.get(channel) ?? []).filter((sent) => sent.until > this.now());
    this.sent.set(channel, alive);
    return alive;
  }
}

/** Return something that equal messages have in common; a Blob can't be read at once. */
function comparable(payload: Sendable): string | undefined {
  if (typeof payload === "string") {
    return `text ${payload}`;
  }
  return payload instanceof Blob ? undefined : `data ${new TextDecoder("latin1").decode(payload)}`;
}
