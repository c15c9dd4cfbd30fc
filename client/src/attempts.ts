// What the next attempt to connect should try: the new protocol, the old one, or no websocket at all.

/** `plain` offers no `ws4redis.v1`, `events` is an EventSource. */
export type Kind = "v1" | "plain" | "events";

/**
 * Browsers give up a websocket if the server chooses none of the protocols that were offered. So
 * the second attempt finds out whether a server is there that does not know ours, and the fourth one
 * whether only websockets do not get through. A server that knew ours is not doubted that soon.
 *
 * A server that was away looks the same. So who gets through by such a detour takes the straight way
 * once more, and only if that fails stays with the other one.
 */
const CYCLE: Kind[] = ["v1", "plain", "v1", "events"];
/** Milliseconds for which that is believed once it was found. */
export const DETOUR_TIME = 300_000;

export class Attempts {
  private failures = 0;
  private knowsV1 = false;
  private probed: Kind | undefined;
  private eventsUntil = Number.NEGATIVE_INFINITY;
  private oldUntil: number;

  constructor(
    speaksV1: boolean,
    private readonly hasEvents: boolean,
    private readonly now: () => number,
  ) {
    this.oldUntil = speaksV1 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  /** Return what to try. */
  next(): Kind {
    if (this.isOld()) {
      return "plain";
    }
    if (this.now() < this.eventsUntil) {
      return "events";
    }
    const kind = this.probed ? "v1" : (CYCLE[this.failures % CYCLE.length] as Kind);
    const isEarly = kind === "plain" && this.knowsV1 && this.failures < CYCLE.length;
    return isEarly || (kind === "events" && !this.hasEvents) ? "v1" : kind;
  }

  /** The server answered in `ws4redis.v1`. */
  welcomed(kind: Kind): void {
    this.knowsV1 = true;
    this.probed = undefined;
    this.failures = 0;
    if (kind === "events") {
      this.eventsUntil = this.now() + DETOUR_TIME;
      // One websocket that fails is then enough.
      this.failures = CYCLE.indexOf("events") - 1;
    }
  }

  /** An attempt got through; return whether the straight way is to be tried once more. */
  opened(kind: Kind): boolean {
    const isKnown = kind === "plain" ? this.isOld() : this.now() < this.eventsUntil;
    this.probed = kind === "v1" || isKnown ? this.probed : kind;
    if (kind === "plain") {
      this.failures = 0;
    }
    return kind !== "v1" && !isKnown;
  }

  /** An attempt came to nothing. */
  failed(kind: Kind): void {
    this.failures += 1;
    this.eventsUntil = Number.NEGATIVE_INFINITY;
    const { probed } = this;
    this.probed = undefined;
    if (kind === "v1" && probed === "plain") {
      this.oldUntil = this.now() + DETOUR_TIME;
    } else if (kind === "v1" && probed === "events") {
      this.eventsUntil = this.now() + DETOUR_TIME;
    }
  }

  private isOld(): boolean {
    return this.now() < this.oldUntil;
  }
}
