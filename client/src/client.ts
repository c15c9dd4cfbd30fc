// What pages use: the documented options, callbacks and methods around one connection.
import { Connection } from "./connection";
import { Heartbeat } from "./heartbeat";
import type { Data, Environment, Options, Sendable, StateName } from "./options";
import { Queue } from "./queue";
import { onWakeup } from "./wakeup";

const READY_STATES: Record<StateName, number> = {
  connecting: 0,
  open: 1,
  closing: 2,
  waiting: 3,
  closed: 3,
};

/** A websocket that reconnects, beats and queues. It connects at once. */
export class Client {
  private readonly connection: Connection;
  private readonly heartbeat: Heartbeat;
  private readonly queue: Queue<Sendable>;
  private readonly environment: Environment;

  constructor(
    private readonly options: Options,
    environment: Partial<Environment> = {},
  ) {
    if (!options?.uri) {
      throw new Error("No Websocket URI in options");
    }
    this.environment = { ...browser(), ...environment };
    this.queue = new Queue(options.maxQueue ?? 100);
    this.connection = this.createConnection();
    this.heartbeat = new Heartbeat(
      () => this.connection.send(options.heartbeat_msg ?? ""),
      () => this.connection.restart(),
    );
    this.connection.connect();
  }

  /**
   * Send a message, or keep it until there is a connection.
   *
   * Returns false if it was dropped: too many wait already, or the websocket was closed for good.
   */
  send_message(message: Sendable): boolean {
    if (this.connection.send(message)) {
      return true;
    }
    const kept = !this.connection.isFinal && this.queue.push(message);
    if (!kept) {
      this.call(() => this.options.dropped?.(message));
    }
    return kept;
  }

  /** Close the websocket for good. */
  close(): void {
    this.connection.close();
  }

  /** Where the websocket is, by name. */
  get state(): StateName {
    return this.connection.stateName;
  }

  /** Where the websocket is, as a `readyState` of browsers: 0 to 3. */
  get_state(): number {
    return READY_STATES[this.connection.stateName];
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

  private createConnection(): Connection {
    const { uri, protocols, binaryType } = this.options;
    const { minDelay = 1000, maxDelay = 30000, minUptime = 5000 } = this.options;
    return new Connection(
      { uri, protocols, binaryType, minDelay, maxDelay, minUptime },
      {
        onState: (state) => this.changed(state),
        onOpen: () => this.opened(),
        onMessage: (data) => this.received(data),
        onLost: (event) => this.call(() => this.options.disconnected?.(event)),
      },
      this.environment,
    );
  }

  private changed(state: StateName): void {
    if (state !== "open") {
      this.heartbeat.stop();
    }
    this.call(() => this.options.statechange?.(state));
    if (state === "connecting") {
      this.call(() => this.options.connecting?.());
    }
  }

  private opened(): void {
    if (this.hasHeartbeat()) {
      this.heartbeat.start();
    }
    for (const message of this.queue.take()) {
      this.send_message(message);
    }
    this.call(() => this.options.connected?.());
  }

  private received(data: Data): void {
    this.heartbeat.heard();
    if (!this.hasHeartbeat() || data !== this.options.heartbeat_msg) {
      this.call(() => this.options.receive_message?.(data));
    }
  }

  private hasHeartbeat(): boolean {
    return this.options.heartbeat_msg !== undefined && this.options.heartbeat_msg !== null;
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

function browser(): Environment {
  return {
    WebSocket: globalThis.WebSocket,
    random: Math.random,
    now: () => performance.now(),
    onWakeup,
    report: (error) => console.error(error),
  };
}

/** Open a websocket that reconnects; works with and without `new`. */
export interface WS4RedisFactory {
  new (options: Options, jquery?: unknown): Client;
  (options: Options, jquery?: unknown): Client;
}

/** Open a websocket that reconnects. A second argument, once jQuery, is not needed any more. */
export const WS4Redis = function (options: Options): Client {
  return new Client(options);
} as unknown as WS4RedisFactory;
