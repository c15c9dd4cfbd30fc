// A WebSocket of the test's own making, and a client on it.
import { vi } from "vitest";
import { Client } from "../src/client";
import type { Environment, PlainOptions, RecoverOptions } from "../src/options";

export class FakeSocket {
  static all: FakeSocket[] = [];
  static failing = false;

  static get last(): FakeSocket {
    const socket = FakeSocket.all[FakeSocket.all.length - 1];
    if (socket === undefined) throw new Error("no socket was made");
    return socket;
  }

  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  binaryType = "blob";
  protocol = "";
  sent: unknown[] = [];
  closing = false;

  constructor(
    readonly uri: string,
    readonly protocols?: string | string[],
  ) {
    if (FakeSocket.failing) throw new Error("refused by the browser");
    FakeSocket.all.push(this);
  }

  send(data: unknown): void {
    this.sent.push(data);
  }

  close(): void {
    this.closing = true;
  }

  opens(protocol = ""): void {
    this.protocol = protocol;
    this.onopen?.();
  }

  /** Opens as a server does that speaks `ws4redis.v1`. */
  welcomes(channels: object = {}, head: object = {}): void {
    this.opens("ws4redis.v1");
    const more = { facility: "foo", publishes: [], refused: {}, ...head };
    this.says({ type: "welcome", channels, ...more });
  }

  says(head: object, payload?: string): void {
    this.receives(JSON.stringify(head) + (payload === undefined ? "" : `\n${payload}`));
  }

  /** Sends a message of `broadcast:foo`, or of another channel. */
  delivers(payload: string, position?: string, head: object = {}): void {
    this.says({ type: "message", channel: "broadcast:foo", position, ...head }, payload);
  }

  /** The commands that it got, without those of heartbeats. */
  get commands(): Record<string, unknown>[] {
    return this.sent.map((frame) => JSON.parse(String(frame).split("\n")[0] as string));
  }

  get query(): URLSearchParams {
    return new URL(this.uri).searchParams;
  }

  receives(data: unknown): void {
    this.onmessage?.({ data });
  }

  ends(code = 1006): void {
    this.onclose?.({ code, reason: "" });
  }
}

/** Let websockets fail until an EventSource is used for good. */
export function blockWebsockets(): void {
  while (FakeEvents.all.length < 2) {
    FakeSocket.last.ends();
    vi.advanceTimersToNextTimer();
    FakeEvents.all.forEach((source) => source.readyState < 2 && FakeEvents.all.length < 2 && source.opens());
    vi.advanceTimersByTime(0);
  }
}

/** Lose the connection, and let the next one be made. */
export function reconnect(): FakeSocket {
  const { length } = FakeSocket.all;
  FakeSocket.last.ends();
  while (FakeSocket.all.length === length) {
    vi.advanceTimersToNextTimer();
    // Nor does anything else get through.
    FakeEvents.all.forEach((source) => source.readyState < 2 && source.fails());
  }
  return FakeSocket.last;
}

/** An EventSource of the test's own making. */
export class FakeEvents extends EventTarget {
  static all: FakeEvents[] = [];

  static get last(): FakeEvents {
    const source = FakeEvents.all[FakeEvents.all.length - 1];
    if (source === undefined) throw new Error("no EventSource was made");
    return source;
  }

  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: unknown) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  readyState = 0;

  constructor(readonly uri: string) {
    super();
    FakeEvents.all.push(this);
  }

  get url(): string {
    return this.uri;
  }

  close(): void {
    this.readyState = 2;
  }

  opens(): void {
    this.onopen?.({});
  }

  welcomes(channels: object = {}, head: object = {}): void {
    this.opens();
    const more = { facility: "foo", publishes: [], refused: {}, ...head };
    this.says("welcome", { type: "welcome", channels, ...more });
  }

  says(kind: string, head: object): void {
    this.dispatchEvent(new MessageEvent(kind, { data: JSON.stringify(head) }));
  }

  delivers(payload: string, position?: string, head: object = {}): void {
    const line = JSON.stringify({ type: "message", channel: "broadcast:foo", position, ...head });
    this.onmessage?.({ data: `${line}\n${payload}` });
  }

  fails(readyState = 0): void {
    this.readyState = readyState;
    this.onerror?.({});
  }
}

export class FakeStore {
  readonly items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
}

export interface World {
  environment: Environment;
  wake: () => void;
  reported: unknown[];
  time: { value: number };
  store: FakeStore;
  posted: { uri: string; request: RequestInit }[];
}

/** Surroundings in which the test says what happens. */
export function makeWorld(): World {
  FakeSocket.all = [];
  FakeEvents.all = [];
  const wakers = new Set<() => void>();
  const world = { reported: [], time: { value: 0 }, store: new FakeStore(), posted: [] };
  const { reported, time, store, posted }: Omit<World, "environment" | "wake"> = world;
  const environment: Environment = {
    WebSocket: FakeSocket as unknown as Environment["WebSocket"],
    EventSource: FakeEvents as unknown as Environment["EventSource"],
    fetch: (uri, request) => {
      posted.push({ uri, request });
      return Promise.resolve(new Response(null, { status: 204 }));
    },
    storage: store,
    random: () => 0.5,
    now: () => time.value,
    onWakeup: (callback) => {
      wakers.add(callback);
      return () => wakers.delete(callback);
    },
    report: (error) => reported.push(error),
  };
  return { ...world, environment, wake: () => [...wakers].forEach((waker) => waker()) };
}

export interface Surroundings extends World {
  client: Client;
}

export function makeClient(options: Partial<PlainOptions> = {}): Surroundings {
  const world = makeWorld();
  return { ...world, client: new Client({ uri: "ws://test/ws/foo", ...options }, world.environment) };
}

/** What a recovering client told its page, in order. */
export interface Recovering extends Surroundings {
  told: unknown[][];
}

export function makeRecovering(
  options: Partial<RecoverOptions> = {},
  world: World = makeWorld(),
): Recovering {
  const told: unknown[][] = [];
  const callbacks: Partial<RecoverOptions> = {
    receive_message: (data, { position }) => told.push(["message", data, position]),
    recovered: (channels) => told.push(["recovered", ...channels]),
    gap: (channel) => told.push(["gap", channel]),
    refused: (reason, refusal) => told.push(["refused", reason, refusal]),
  };
  const uri = "ws://test/ws/foo?subscribe-broadcast&publish-broadcast";
  const given = { uri, recover: true as const, ...callbacks, ...options };
  return { ...world, told, client: new Client(given, world.environment) };
}
