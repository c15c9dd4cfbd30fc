// A WebSocket of the test's own making, and a client on it.
import { Client } from "../src/client";
import type { Environment, Options } from "../src/options";

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

  opens(): void {
    this.onopen?.();
  }

  receives(data: unknown): void {
    this.onmessage?.({ data });
  }

  ends(code = 1006): void {
    this.onclose?.({ code, reason: "" });
  }
}

export interface Surroundings {
  wake: () => void;
  reported: unknown[];
  client: Client;
  time: { value: number };
}

export function makeClient(options: Partial<Options> = {}): Surroundings {
  FakeSocket.all = [];
  const wakers = new Set<() => void>();
  const reported: unknown[] = [];
  const time = { value: 0 };
  const environment: Partial<Environment> = {
    WebSocket: FakeSocket as unknown as Environment["WebSocket"],
    random: () => 0.5,
    now: () => time.value,
    onWakeup: (callback) => {
      wakers.add(callback);
      return () => wakers.delete(callback);
    },
    report: (error) => reported.push(error),
  };
  const client = new Client({ uri: "ws://test/ws/foo", ...options }, environment);
  return { client, reported, time, wake: () => [...wakers].forEach((waker) => waker()) };
}
