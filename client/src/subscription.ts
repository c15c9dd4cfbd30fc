// One facility that a page follows over a `Socket`.
import type { Answer } from "./frames";
import type { Member, News, Wish } from "./messages";
import type { Data, Environment, Meta, Refusal, Sendable } from "./options";
import type { Since } from "./positions";
import { Queue } from "./queue";
import { Reader } from "./reader";
import { storedPositions } from "./storage";
import { positionsIn } from "./token";

const AUDIENCES = ["broadcast", "user", "group", "session"];

/** What the server has granted. */
export interface Granted {
  /** Channels that are followed, such as `broadcast:chat`. */
  channels: string[];
  /** Channels on which `publish()` publishes. */
  publishes: string[];
  /** Flags that were not granted, and why. */
  refused: Record<string, string>;
}

export interface SubscriptionOptions {
  /** Flags as in an address; default `subscribe-broadcast`. */
  channels?: string[];
  /** A message arrived; each one once. */
  onMessage?: (data: Data, meta: Meta) => void;
  /** After a start or a reconnect everything that was missed on these channels is there, and follows. */
  onRecovered?: (channels: string[]) => void;
  /** Messages on this channel were missed, and can't be had. */
  onGap?: (channel: string) => void;
  /** Something that was asked for is not granted. */
  onRefused?: (reason: string, refusal: Refusal) => void;
  /** A message was not sent: `maxQueue` messages wait already, or the subscription has ended. */
  onDropped?: (message: Sendable) => void;
  /** The token of a page, which says where to begin. */
  from?: string;
  /** Whether own messages are wanted, too. */
  echo?: boolean;
  /** Where positions are kept over reloads of the page; by default nowhere. */
  storage?: "session";
  binaryType?: BinaryType;
  /** Messages kept while there is no connection; default 100. */
  maxQueue?: number;
}

/** @internal */
interface Place {
  key: string;
  tab: string;
  uri: string;
}

/** @internal */
interface Owner {
  wish(wish: Wish): void;
  forget(key: string): void;
}

export class Subscription {
  /** The answer of the server; fails if there is none, or a refusal. */
  readonly ready: Promise<Granted>;
  readonly key: string;
  private readonly flags: string[];
  private readonly reader: Reader;
  private readonly queue: Queue<Sendable>;
  private isAnswered = false;
  private isOver = false;
  private begin: Since | undefined;
  private resolve: (granted: Granted) => void = () => undefined;
  private reject: (error: Error) => void = () => undefined;

  /** @internal */
  constructor(
    private readonly place: Place,
    readonly facility: string,
    private readonly options: SubscriptionOptions,
    private readonly owner: Owner,
    private readonly environment: Environment,
  ) {
    this.key = place.key;
    this.flags = options.channels ?? ["subscribe-broadcast"];
    this.queue = new Queue(options.maxQueue ?? 100);
    this.reader = this.createReader();
    this.ready = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A page that does not ask for the answer gets no error about it.
    this.ready.catch(() => undefined);
  }

  /**
   * Publish on the channels that were granted, or keep it until there is a connection.
   *
   * Returns false if it was dropped: too many wait already, or the subscription has ended.
   */
  publish(message: Sendable): boolean {
    if (this.isAnswered && !this.isOver) {
      this.reader.published(message);
      this.owner.wish({ wish: "publish", key: this.key, payload: message });
      return true;
    }
    const kept = !this.isOver && this.queue.push(message);
    if (!kept) {
      this.call(() => this.options.onDropped?.(message));
    }
    return kept;
  }

  /** Follow it no longer. */
  unsubscribe(): void {
    if (!this.isOver) {
      this.owner.wish({ wish: "unsubscribe", key: this.key });
      this.ended("It was unsubscribed.");
    }
  }

  /** @internal */
  start(): void {
    const { from } = this.reader;
    if (from && !this.begin) {
      // Others may follow the same facility: then it has to be known who comes first.
      void positionsIn(from).then((begin) => {
        this.begin = begin;
        this.reader.beginAt(begin ?? {});
        this.enter();
      });
    } else {
      this.enter();
    }
  }

  private enter(): void {
    const { facility, flags } = this;
    const { key, tab } = this.place;
    const { since, from } = this.reader;
    if (!this.isOver) {
      const begin = from ? this.begin : undefined;
      const member: Member = { key, tab, facility, flags, since, from, begin };
      this.owner.wish({ wish: "subscribe", member });
    }
  }

  /** @internal */
  ended(reason: string): void {
    this.isOver = true;
    this.owner.forget(this.key);
    this.reject(new Error(reason));
  }

  /** @internal */
  hear(news: News): void {
    if (news.news === "lost" || news.news === "lead") {
      this.isAnswered = false;
      this.reader.lost();
    }
    if (news.news === "lead") {
      this.start();
    } else if ("keys" in news ? news.keys.includes(this.key) : this.concerns(news)) {
      this.take(news);
    }
  }

  private concerns(news: News): boolean {
    if ("key" in news && news.key !== undefined) {
      return news.key === this.key;
    }
    return (
      this.isAnswered &&
      "facility" in news &&
      news.facility === this.facility &&
      this.wants(news.head.channel)
    );
  }

  private take(news: News): void {
    if (news.news === "answer") {
      this.answered(news.answer);
    } else if (news.news === "message") {
      this.reader.received(news.head, news.payload);
    } else if (news.news === "gap") {
      this.reader.gap(news.head);
    } else if (news.news === "unsent") {
      // The socket is not what it was any more; there will be another answer.
      this.isAnswered = false;
      this.reader.unpublished(news.payload);
      this.publish(news.payload);
    } else if (news.news === "refused") {
      const { reason, status, isOver } = news;
      this.call(() => this.options.onRefused?.(reason, { status }));
      if (isOver) {
        this.ended(reason);
      }
    }
  }

  private answered(answer: Answer): void {
    this.isAnswered = true;
    const own = this.ownPart(answer);
    this.reader.answered(own);
    const { publishes, refused } = own;
    this.resolve({ channels: Object.keys(own.channels), publishes, refused });
    for (const message of this.queue.take()) {
      this.publish(message);
    }
  }

  /** Other subscriptions of the same facility may have asked for more. */
  private ownPart(answer: Answer): Answer {
    const channels = Object.entries(answer.channels).filter(([channel]) => this.wants(channel));
    const refused = Object.entries(answer.refused).filter(([flag]) => this.flags.includes(flag));
    return {
      ...answer,
      channels: Object.fromEntries(channels),
      refused: Object.fromEntries(refused),
    };
  }

  private wants(channel: string): boolean {
    const wanted = this.flags
      .filter((flag) => flag.startsWith("subscribe-"))
      .map((flag) => flag.slice("subscribe-".length));
    const hasOwnFlags = wanted.some((audience) => !AUDIENCES.includes(audience));
    return !channel || hasOwnFlags || wanted.includes(channel.split(":", 1)[0] ?? "");
  }

  private createReader(): Reader {
    const { from, storage, binaryType, echo = false } = this.options;
    const store = storage && this.environment.storage;
    const key = `ws4redis:${this.place.uri}${this.facility}`;
    const positions = storedPositions(store, key, from !== undefined);
    const { now } = this.environment;
    return new Reader({ positions, from, echo, binaryType, now }, {
      message: (data, meta) => this.call(() => this.options.onMessage?.(data, meta)),
      recovered: (channels) => this.call(() => this.options.onRecovered?.(channels)),
      gap: (channel) => this.call(() => this.options.onGap?.(channel)),
      refused: (reason, refusal) => this.call(() => this.options.onRefused?.(reason, refusal)),
    });
  }

  private call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.environment.report(error);
    }
  }
}
