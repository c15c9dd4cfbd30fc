// What pages use: the documented options, callbacks and methods around one connection.
import type { Kind } from "./attempts";
import { browser } from "./browser";
import { type Answer, type Frame, RAW } from "./frames";
import { Link } from "./link";
import type {
  Data,
  Environment,
  Meta,
  Options,
  RecoverOptions,
  Sendable,
  StateName,
} from "./options";
import { clientOptions, type PageOptions } from "./page";
import { withQuery, withSince } from "./positions";
import { Queue } from "./queue";
import { Reader } from "./reader";
import { storedPositions } from "./storage";

const READY_STATES: Record<StateName, number> = {
  connecting: 0,
  open: 1,
  closing: 2,
  waiting: 3,
  closed: 3,
};
const NOTHING_KNOWN: Meta = { channel: "", position: undefined, persisted: false };
const ECHO = /[?&]echo\b/i;

/** A websocket that reconnects, beats and queues. It connects at once. */
export class Client {
  private readonly link: Link;
  private readonly queue: Queue<Sendable>;
  private readonly environment: Environment;
  private readonly reader: Reader | undefined;
  private facility = "";
  private number = 1;

  constructor(
    private readonly options: Options,
    environment: Partial<Environment> = {},
  ) {
    if (!options?.uri) {
      throw new Error("No Websocket URI in options");
    }
    this.environment = { ...browser(), ...environment };
    this.queue = new Queue(options.maxQueue ?? 100);
    this.reader = options.recover ? this.createReader(options) : undefined;
    this.link = this.createLink();
    this.link.connect();
  }

  /**
   * Send a message, or keep it until there is a connection.
   *
   * Returns false if it was dropped: too many wait already, or the websocket was closed for good.
   */
  send_message(message: Sendable): boolean {
    if (this.send(message)) {
      return true;
    }
    const kept = !this.link.isFinal && this.queue.push(message);
    if (!kept) {
      this.call(() => this.options.dropped?.(message));
    }
    return kept;
  }

  /** Close the websocket for good. */
  close(): void {
    this.link.close();
  }

  /** Where the websocket is, by name. */
  get state(): StateName {
    return this.link.stateName;
  }

  /** Where the websocket is, as a `readyState` of browsers: 0 to 3. */
  get_state(): number {
    return READY_STATES[this.link.stateName];
  }

  is_connecting(): boolean {
    return this.get_state() === 0;
  }

  is_connected(): boolean {
    return this.get_state() === 1;
  }

  is_closing(): boolean {
    return this.get_state() === 2;
  }

  is_closed(): boolean {
    return this.get_state() === 3;
  }

  private createLink(): Link {
    return new Link(
      {
        ...this.options,
        speaksV1: this.reader !== undefined,
        heartbeat: this.options.heartbeat_msg,
        uri: (kind) => this.address(kind),
        locate: () => this.options.uri,
      },
      {
        onState: (state) => this.changed(state),
        onRaw: () => this.answered(RAW),
        onFrame: (frame) => this.take(frame),
        onRawMessage: (data) => this.received(data),
        onLost: (event) => this.lost(event),
      },
      this.environment,
    );
  }

  private createReader(options: RecoverOptions): Reader {
    const { uri, binaryType, from, storage } = options;
    const store = storage && this.environment.storage;
    const positions = storedPositions(store, `ws4redis:${uri}`, from !== undefined);
    const { now } = this.environment;
    return new Reader({ positions, from, echo: ECHO.test(uri), binaryType, now }, {
      message: (data, meta) => this.call(() => options.receive_message?.(data, meta)),
      recovered: (channels) => this.call(() => options.recovered?.(channels)),
      gap: (channel) => this.call(() => options.gap?.(channel)),
      refused: (reason, refusal) => this.call(() => options.refused?.(reason, refusal)),
    });
  }

  /** Return the address for the next attempt. */
  private address(kind: Kind): string {
    const { uri } = this.options;
    if (!this.reader || kind === "plain") {
      return uri;
    }
    const { since, from } = this.reader;
    return withSince(ECHO.test(uri) ? uri : withQuery(uri, ["echo"]), since, from);
  }

  private send(message: Sendable): boolean {
    if (this.link.isRaw || !this.reader) {
      return this.link.sendRaw(message);
    }
    const { facility, number } = this;
    const wasSent = this.link.send({ type: "publish", id: number, facility }, message);
    if (wasSent) {
      this.number += 1;
      this.reader.published(message);
    }
    return wasSent;
  }

  private changed(state: StateName): void {
    this.call(() => this.options.statechange?.(state));
    if (state === "connecting") {
      this.call(() => this.options.connecting?.());
    }
  }

  private answered(answer: Answer): void {
    this.facility = answer.facility;
    this.reader?.answered(answer);
    for (const message of this.queue.take()) {
      this.send_message(message);
    }
    this.call(() => this.options.connected?.());
  }

  private take({ head, payload }: Frame): void {
    if (head.type === "welcome") {
      this.answered(head);
    } else if (head.type === "message") {
      this.reader?.received(head, payload);
    } else if (head.type === "gap") {
      this.reader?.gap(head);
    } else if (head.type === "refused") {
      const { status, reason } = head;
      this.call(() => (this.options as RecoverOptions).refused?.(reason, { status }));
    }
  }

  private received(data: Data): void {
    const { options } = this;
    this.call(() =>
      options.recover
        ? options.receive_message?.(data, NOTHING_KNOWN)
        : options.receive_message?.(data),
    );
  }

  private lost(event: CloseEvent): void {
    this.reader?.lost();
    this.call(() => this.options.disconnected?.(event));
  }

  /** Call a page's callback; what it throws must not break the connection. */
  private call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.environment.report(error);
    }
  }
}

/** Open a websocket that reconnects; works with and without `new`. */
export interface WS4RedisFactory {
  new (options: Options, jquery?: unknown): Client;
  (options: Options, jquery?: unknown): Client;
  /** Return the options that the template tag `ws4redis_socket` has put into the page. */
  page(facility: string): PageOptions;
}

/** Open a websocket that reconnects. A second argument, once jQuery, is not needed any more. */
export const WS4Redis = function (options: Options): Client {
  return new Client(options);
} as unknown as WS4RedisFactory;

WS4Redis.page = clientOptions;
