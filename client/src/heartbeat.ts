// Sends the heartbeat on an interval, and gives up when too many stay unanswered.

export const INTERVAL = 5000;
/** Heartbeats that may be missed; with one more the connection counts as dead. */
export const TOLERANCE = 3;

/**
 * Only own ticks are counted. A browser that slows the timers of a hidden page down therefore makes
 * this slower, and never gives up a connection on which messages arrive.
 */
export class Heartbeat {
  private timer: ReturnType<typeof setInterval> | undefined;
  private missed = 0;

  constructor(
    private readonly beat: () => void,
    private readonly giveUp: () => void,
  ) {}

  start(): void {
    this.stop();
    this.timer = setInterval(() => this.tick(), INTERVAL);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.missed = 0;
  }

  /** Something arrived, so the other side is there. */
  heard(): void {
    this.missed = 0;
  }

  private tick(): void {
    this.missed += 1;
    if (this.missed > TOLERANCE) {
      this.stop();
      this.giveUp();
    } else {
      this.beat();
    }
  }
}
