// A connection that speaks `ws4redis.v1`, by whatever way gets through.
import { Attempts, type Kind } from "./attempts";
import { Connection, type Socket } from "./connection";
import { EventStream, type Order, tokenOfCookie } from "./eventstream";
import { type Command, decode, encode, type Frame, PROTOCOL, type RefusedHead } from "./frames";
import { Heartbeat } from "./heartbeat";
import type { Common, Data, Environment, Sendable, StateName } from "./options";

export interface LinkOptions extends Common {
  /** Whether to speak `ws4redis.v1` with servers that do. */
  speaksV1: boolean;
  /** Returns the address for the next attempt. */
  uri: (kind: Kind) => string;
  /** Returns the address of another facility. */
  locate: (facility: string, flags: string[]) => string;
  heartbeat: string | null | undefined;
}

export interface LinkListener {
  onState(state: StateName): void;
  /** The server does not speak `ws4redis.v1`: messages come as they are. */
  onRaw(): void;
  onFrame(frame: Frame): void;
  onRawMessage(data: Data): void;
  onLost(event: CloseEvent): void;
}

export class Link {
  private readonly connection: Connection<Sendable | Order>;
  private readonly heartbeat: Heartbeat;
  private readonly attempts: Attempts;
  private kind: Kind = "v1";
  private socket: WebSocket | undefined;
  private raw = false;
  /** Whether this attempt has only shown that a server is there. */
  private isDetour = false;
  /** Whether the server has spoken to us in this attempt. */
  private isWelcome = false;

  constructor(
    private readonly options: LinkOptions,
    private readonly listener: LinkListener,
    private readonly environment: Environment,
  ) {
    const { minDelay = 1000, maxDelay = 30000, minUptime = 5000 } = options;
    this.attempts = new Attempts(options.speaksV1, Boolean(environment.EventSource), environment.now);
    this.connection = new Connection(
      { minDelay, maxDelay, minUptime, open: () => this.open() },
      {
        onState: (state) => this.changed(state),
        onOpen: (protocol) => this.opened(protocol),
        onMessage: (data) => this.received(data),
        onLost: (event) => this.lost(event),
      },
      environment,
    );
    this.heartbeat = new Heartbeat(
      () => this.connection.send(options.heartbeat ?? ""),
      () => this.connection.restart(),
    );
  }

  get stateName(): StateName {
    return this.connection.stateName;
  }

  get isFinal(): boolean {
    return this.connection.isFinal;
  }

  /** Whether messages come as they are: the server, or the page, wants no frames. */
  get isRaw(): boolean {
    return this.raw;
  }

  connect(): void {
    this.connection.connect();
  }

  close(): void {
    this.connection.close();
  }

  /** Send a command; return false if that is not possible now. */
  send(command: Command, payload?: Sendable): boolean {
    if (!this.isWelcome) {
      return false;
    }
    return this.connection.send(
      this.kind === "events" ? { command, payload } : encode(command, payload),
    );
  }

  /** Send a message as it is. */
  sendRaw(message: Sendable): boolean {
    return this.connection.send(message);
  }

  private open(): Socket<Sendable | Order> {
    this.kind = this.attempts.next();
    this.isDetour = false;
    this.isWelcome = false;
    try {
      return this.kind === "events" ? this.openEvents() : this.openWebsocket(this.kind);
    } catch (error) {
      this.attempts.failed(this.kind);
      throw error;
    }
  }

  private openEvents(): Socket<Sendable | Order> {
    const { uri, locate, csrfToken } = this.options;
    const token = () => csrfToken ?? tokenOfCookie();
    // Not through the stream: it may have ended by then.
    const unposted = (head: RefusedHead) => this.listener.onFrame({ head, payload: "" });
    const options = { uri: uri("events"), locate, csrfToken: token, unposted };
    return new EventStream(options, this.environment) as Socket<Sendable | Order>;
  }

  private openWebsocket(kind: Kind): Socket<Sendable | Order> {
    const own = this.options.protocols ?? [];
    const offered = [...(kind === "v1" ? [PROTOCOL] : []), ...(Array.isArray(own) ? own : [own])];
    const { WebSocket } = this.environment;
    const uri = this.options.uri(kind);
    const socket = offered.length ? new WebSocket(uri, offered) : new WebSocket(uri);
    this.socket = socket;
    // Frames are taken apart as they arrive; a Blob could not be.
    socket.binaryType = kind === "v1" ? "arraybuffer" : (this.options.binaryType ?? "blob");
    return socket as Socket<Sendable | Order>;
  }

  private changed(state: StateName): void {
    if (state !== "open") {
      this.heartbeat.stop();
    }
    this.listener.onState(state);
  }

  private opened(protocol: string): void {
    this.raw = this.kind !== "events" && protocol !== PROTOCOL;
    if (this.attempts.opened(this.kind)) {
      this.isDetour = true;
      this.connection.again();
      return;
    }
    if (this.kind !== "events" && this.hasHeartbeat()) {
      this.heartbeat.start();
    }
    if (this.raw) {
      this.becomeRaw();
    }
  }

  private becomeRaw(): void {
    if (this.socket) {
      this.socket.binaryType = this.options.binaryType ?? "blob";
    }
    this.listener.onRaw();
  }

  private received(data: Data): void {
    this.heartbeat.heard();
    if (this.hasHeartbeat() && data === this.options.heartbeat) {
      return;
    }
    if (this.raw) {
      this.listener.onRawMessage(data);
      return;
    }
    const frame = decode(data as string | ArrayBuffer);
    if (frame) {
      this.take(frame);
    }
  }

  private take(frame: Frame): void {
    const { head } = frame;
    if (head.type === "welcome") {
      this.isWelcome = true;
      this.attempts.welcomed(this.kind);
    }
    if (head.type === "closing") {
      this.connection.advise(head.reconnect ? (head.delay ?? 0) : null);
    }
    this.listener.onFrame(frame);
  }

  private lost(event: CloseEvent): void {
    if (!this.isWelcome && !this.raw && !this.isDetour) {
      this.attempts.failed(this.kind);
    }
    this.raw = false;
    this.isWelcome = false;
    this.listener.onLost(event);
  }

  private hasHeartbeat(): boolean {
    return this.options.heartbeat !== undefined && this.options.heartbeat !== null;
  }
}
