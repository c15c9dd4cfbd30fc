// One websocket that comes back: the only place that opens, loses and reopens sockets.
//
// The state holds whatever belongs to it, so there is no timer while a socket is open and no second
// socket while there is one. `enter` is the only writer of the state, and leaves the old one first.
import { backoff, type Bounds } from "./backoff";
import { mayReconnect } from "./codes";
import type { Data, Environment, StateName } from "./options";

type Timer = ReturnType<typeof setTimeout>;

/** The part of a WebSocket that is needed here. */
export interface Socket<Message> {
  readonly protocol: string;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<Data>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(message: Message): void;
  close(): void;
}

type State<Message> =
  | { name: "connecting"; socket: Socket<Message> }
  | { name: "open"; socket: Socket<Message>; since: number }
  | { name: "closing"; socket: Socket<Message>; timer: Timer }
  | { name: "waiting"; timer: Timer; wake: () => void }
  | { name: "closed" };

export interface Listener {
  onState(state: StateName): void;
  onOpen(protocol: string): void;
  onMessage(data: Data): void;
  onLost(event: CloseEvent): void;
}

export interface ConnectionOptions<Message> extends Bounds {
  minUptime: number;
  /** Makes a socket that connects. */
  open: () => Socket<Message>;
}

/** Milliseconds for which a closing socket may wait for the other side. */
export const CLOSE_TIMEOUT = 2000;

export class Connection<Message> {
  private state: State<Message> = { name: "closed" };
  private attempt = 0;
  private advised: number | undefined;
  private final = false;

  constructor(
    private readonly options: ConnectionOptions<Message>,
    private readonly listener: Listener,
    private readonly environment: Environment,
  ) {}

  get stateName(): StateName {
    return this.state.name;
  }

  get isFinal(): boolean {
    return this.final;
  }

  /** Open a socket now, unless there is one. */
  connect(): void {
    if (this.final || (this.state.name !== "closed" && this.state.name !== "waiting")) {
      return;
    }
    let socket: Socket<Message>;
    try {
      socket = this.createSocket();
    } catch (error) {
      this.environment.report(error);
      this.wait();
      return;
    }
    this.enter({ name: "connecting", socket });
  }

  /** Send a message; return false if the socket is not open. */
  send(message: Message): boolean {
    if (this.state.name !== "open") {
      return false;
    }
    this.state.socket.send(message);
    return true;
  }

  /** Close the socket and open another one later. */
  restart(): void {
    if (this.state.name === "open" || this.state.name === "connecting") {
      const socket = this.state.socket;
      const timer = setTimeout(() => this.lose(socket, lostEvent()), CLOSE_TIMEOUT);
      this.enter({ name: "closing", socket, timer });
      socket.close();
    }
  }

  /** Close the socket and open another one at once. */
  again(): void {
    this.attempt = 0;
    this.advised = 0;
    this.restart();
  }

  /** Close the socket for good. */
  close(): void {
    this.final = true;
    this.restart();
    if (this.state.name === "waiting") {
      this.enter({ name: "closed" });
    }
  }

  /** The other side has said how long to stay away when the socket has ended; null for good. */
  advise(delay: number | null): void {
    if (delay === null) {
      this.final = true;
    } else {
      this.advised = delay;
    }
  }

  private createSocket(): Socket<Message> {
    const socket = this.options.open();
    socket.onopen = () => this.open(socket);
    socket.onmessage = (event) => this.receive(socket, event.data);
    socket.onclose = (event) => this.lose(socket, event);
    return socket;
  }

  private owns(socket: Socket<Message>): boolean {
    return "socket" in this.state && this.state.socket === socket;
  }

  private open(socket: Socket<Message>): void {
    if (this.owns(socket) && this.state.name === "connecting") {
      this.enter({ name: "open", socket, since: this.environment.now() });
      this.listener.onOpen(socket.protocol);
    }
  }

  private receive(socket: Socket<Message>, data: Data): void {
    if (this.owns(socket) && this.state.name === "open") {
      this.listener.onMessage(data);
    }
  }

  private lose(socket: Socket<Message>, event: CloseEvent): void {
    if (!this.owns(socket)) {
      return;
    }
    if (this.wasGood()) {
      this.attempt = 0;
    }
    if (!mayReconnect(event.code)) {
      this.final = true;
    }
    if (this.final) {
      this.enter({ name: "closed" });
    } else {
      this.wait();
    }
    this.listener.onLost(event);
  }

  private wasGood(): boolean {
    return (
      this.state.name === "open" &&
      this.environment.now() - this.state.since >= this.options.minUptime
    );
  }

  private wait(): void {
    const delay = this.delay();
    this.attempt += 1;
    const timer = setTimeout(() => this.connect(), delay);
    const wake = this.environment.onWakeup(() => this.connect());
    this.enter({ name: "waiting", timer, wake });
  }

  /** An advice counts for the first attempt only: later ones have to be ever more patient. */
  private delay(): number {
    const { advised, attempt } = this;
    this.advised = undefined;
    return advised !== undefined && attempt === 0
      ? advised
      : backoff(attempt, this.options, this.environment.random);
  }

  private enter(state: State<Message>): void {
    const old = this.state;
    if (old.name === "waiting" || old.name === "closing") {
      clearTimeout(old.timer);
    }
    if (old.name === "waiting") {
      old.wake();
    }
    this.state = state;
    if (old.name !== state.name) {
      this.listener.onState(state.name);
    }
  }
}

/** The event for a socket whose end the browser has not told yet. */
function lostEvent(): CloseEvent {
  const values = { code: 1006, reason: "", wasClean: false };
  return typeof CloseEvent === "undefined"
    ? (values as CloseEvent)
    : new CloseEvent("close", values);
}
