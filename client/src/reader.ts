// What one subscriber has seen of its channels, and what a page is told of it.
import { Echoes } from "./echoes";
import type { Answer, GapHead, MessageHead, Start } from "./frames";
import type { Data, Meta, Refusal, Sendable } from "./options";
import { compare, isUpTo, type Positions, type Since } from "./positions";

export interface ReaderOptions {
  positions: Positions;
  /** The token of a page, which says where to begin. */
  from: string | undefined;
  /** Whether own messages are wanted. */
  echo: boolean;
  binaryType: BinaryType | undefined;
  now: () => number;
}

/** What a page wants to hear. */
export interface Told {
  message(data: Data, meta: Meta): void;
  recovered(channels: string[]): void;
  gap(channel: string): void;
  refused(reason: string, refusal: Refusal): void;
}

export class Reader {
  private readonly echoes: Echoes;
  private readonly known = new Set<string>();
  private returning: string[] = [];
  /** Whether there was no answer yet since the start, or since a loss. */
  private isFresh = true;
  private hasBegun = false;
  /** What the token says: the page shows everything up to there. */
  private shown: Since = {};
  private takesPersisted = true;
  private wasRaw = false;

  constructor(
    private readonly options: ReaderOptions,
    private readonly told: Told,
  ) {
    this.echoes = new Echoes(options.now);
  }

  /** Return where to go on, by channel. */
  get since(): Since {
    return this.options.positions.since();
  }

  /** Return the token from which to begin, as long as there are no own positions. */
  get from(): string | undefined {
    return this.hasBegun ? undefined : this.options.from;
  }

  /** The token was read. */
  beginAt(shown: Since): void {
    this.shown = shown;
  }

  /** The server has subscribed the channels. */
  answered(answer: Answer): void {
    const { isFresh } = this;
    if ("" in answer.channels) {
      // Nobody knows any more which messages were seen.
      this.options.positions.clear();
      this.shown = {};
    }
    const starts = Object.entries(answer.channels);
    const whole = starts.filter(([channel, start]) => this.begin(channel, start));
    this.returning = answer.publishes.filter((channel) => channel in answer.channels);
    this.wasRaw = "" in answer.channels;
    this.isFresh = false;
    this.hasBegun = true;
    this.takesPersisted = isFresh;
    if (isFresh && whole.length) {
      this.told.recovered(whole.map(([channel]) => channel));
    }
    for (const [flag, reason] of Object.entries(answer.refused)) {
      this.told.refused(reason, { flag });
    }
  }

  received(head: MessageHead, payload: Data): void {
    const { channel, position, persisted = false } = head;
    const isOld = position !== undefined && !this.options.positions.advance(channel, position);
    if (isOld || (persisted && !this.takesPersisted)) {
      return;
    }
    if (!this.options.echo && this.echoes.take(channel, payload)) {
      return;
    }
    this.told.message(this.asWanted(payload), { channel, position, persisted });
  }

  gap({ channel, position }: GapHead): void {
    if (position !== undefined) {
      if (this.options.positions.covers(channel, position)) {
        return;
      }
      this.options.positions.set(channel, position);
    }
    this.told.gap(channel);
  }

  /** A message of this subscriber was sent. */
  published(payload: Sendable): void {
    if (!this.options.echo) {
      this.echoes.expect(this.returning, payload);
    }
  }

  /** It was not sent, after all. */
  unpublished(payload: Sendable): void {
    this.returning.forEach((channel) => this.echoes.take(channel, payload));
  }

  /** There is no connection any more. */
  lost(): void {
    this.isFresh = true;
    this.echoes.clear();
  }

  /** Note where a channel begins; return whether everything since its known position is there. */
  private begin(channel: string, { position, recovered }: Start): boolean {
    const { positions } = this.options;
    const isOther = this.wasRaw || (channel === "" && this.known.size > 0);
    const wasKnown = this.known.has(channel) || isOther;
    this.known.add(channel);
    if (position === undefined) {
      if (wasKnown) {
        this.told.gap(channel);
      }
      return false;
    }
    const seen = positions.get(channel) ?? this.shown[channel];
    const hasAll = seen === undefined ? recovered === true : hasAllSince(seen, position, recovered);
    positions.set(channel, (hasAll && seen) || position);
    if (!hasAll && (seen !== undefined || recovered === false || this.wasRaw)) {
      this.told.gap(channel);
    }
    return hasAll;
  }

  private asWanted(payload: Data): Data {
    const isBlob = payload instanceof ArrayBuffer && this.options.binaryType !== "arraybuffer";
    return isBlob ? new Blob([payload]) : payload;
  }
}

/** Whether nothing is missing between what was seen and where a channel begins. */
function hasAllSince(seen: string, position: string, recovered: boolean | undefined): boolean {
  // It may have been recovered for another reader, which was further, or in another epoch.
  return recovered ? isUpTo(position, seen) : compare(position, seen) <= 0;
}
