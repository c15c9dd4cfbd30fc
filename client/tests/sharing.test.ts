import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Socket, type SocketOptions } from "../src/socket";
import type { Subscription, SubscriptionOptions } from "../src/subscription";
import { FakeSocket, makeWorld, type World } from "./fakes";

type Held = () => void | Promise<void>;

interface Request {
  held: Held;
  tab: object;
}

/** The locks of all tabs: who asks first has it first, and a tab that is gone has none. */
class FakeLocks {
  private readonly queues = new Map<string, Request[]>();

  of(tab: object) {
    return {
      request: (name: string, { signal }: { signal: AbortSignal }, held: Held) => {
        const request = { held, tab };
        signal.addEventListener("abort", () => {
          if (this.queue(name)[0] !== request) this.remove(name, request);
        });
        this.queue(name).push(request);
        if (this.queue(name).length === 1) this.grant(name);
        return new Promise<void>(() => undefined);
      },
    };
  }

  kill(tab: object): void {
    for (const [name, queue] of this.queues) {
      const [first] = queue;
      this.queues.set(
        name,
        queue.filter((request) => request.tab !== tab),
      );
      if (first?.tab === tab) this.grant(name);
    }
  }

  private queue(name: string): Request[] {
    if (!this.queues.has(name)) this.queues.set(name, []);
    return this.queues.get(name) as Request[];
  }

  private grant(name: string): void {
    const [request] = this.queue(name);
    if (!request) return;
    queueMicrotask(async () => {
      await request.held();
      this.remove(name, request);
    });
  }

  private remove(name: string, request: Request): void {
    const queue = this.queue(name);
    const wasFirst = queue[0] === request;
    if (!queue.includes(request)) return;
    queue.splice(queue.indexOf(request), 1);
    if (wasFirst) this.grant(name);
  }
}

/** Posts to all other channels of its name, later and by copy, as browsers do. */
class FakeChannel {
  static all = new Set<FakeChannel>();
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly name: string) {
    FakeChannel.all.add(this);
  }

  postMessage(data: unknown): void {
    if (!FakeChannel.all.has(this)) throw new Error("the channel is closed");
    const others = [...FakeChannel.all].filter((one) => one !== this && one.name === this.name);
    for (const other of others) {
      const copy = structuredClone(data);
      queueMicrotask(() => FakeChannel.all.has(other) && other.onmessage?.({ data: copy }));
    }
  }

  close(): void {
    FakeChannel.all.delete(this);
  }
}

interface Tab {
  socket: Socket;
  told: unknown[];
  subscription: Subscription;
  /** End it as a browser does: nothing of it runs any more. */
  kill: () => Promise<void>;
}

let locks: FakeLocks;
let world: World;
const settle = () => vi.advanceTimersByTimeAsync(0);
const granted = (position: string, recovered?: boolean) => ({
  "broadcast:foo": { position, recovered },
});

beforeEach(() => {
  vi.useFakeTimers();
  locks = new FakeLocks();
  FakeChannel.all.clear();
  vi.stubGlobal("BroadcastChannel", FakeChannel);
  vi.stubGlobal("addEventListener", () => undefined);
  world = makeWorld();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(
  options: SubscriptionOptions = {},
  { identity = "john", ...more }: SocketOptions = {},
): Promise<Tab> {
  const page = {};
  const before = new Set(FakeChannel.all);
  const made = FakeSocket.all.length;
  vi.stubGlobal("navigator", { locks: locks.of(page) });
  const shared = { shared: true, identity, ...more };
  const socket = new Socket("ws://test/ws/", shared, world.environment);
  const channels = [...FakeChannel.all].filter((channel) => !before.has(channel));
  const told: unknown[] = [];
  const subscription = socket.subscribe("foo", {
    onMessage: (data) => told.push(data),
    onRecovered: () => told.push("-- recovered"),
    onGap: () => told.push("-- gap"),
    ...options,
  });
  await settle();
  const kill = async () => {
    channels.forEach((channel) => channel.close());
    FakeSocket.all.slice(made, made + 1).forEach((one) => (one.onclose = null));
    vi.clearAllTimers();
    locks.kill(page);
    await settle();
  };
  return { socket, told, subscription, kill };
}

test("two tabs have one socket, and both get all messages", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  const follower = await open();
  FakeSocket.last.delivers("1", "a:2");
  await settle();
  expect([leader.told, follower.told]).toEqual([["1"], ["1"]]);
  expect(FakeSocket.all).toHaveLength(1);
  expect(follower.socket.state).toBe("open");
  expect((await follower.subscription.ready).channels).toEqual(["broadcast:foo"]);
});

test("a follower publishes over the socket, and reaches the other tab only", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  const follower = await open();
  follower.subscription.publish("hi");
  await settle();
  expect(FakeSocket.last.sent).toEqual(['{"type":"publish","id":1,"facility":"foo"}\nhi']);
  FakeSocket.last.delivers("hi", "a:2");
  await settle();
  expect([leader.told, follower.told]).toEqual([["hi"], []]);
});

test("when the leader is gone the next tab goes on from where it was", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  const next = await open();
  const other = await open();
  FakeSocket.last.delivers("1", "a:2");
  await settle();
  await leader.kill();
  expect(FakeSocket.all).toHaveLength(2);
  expect(FakeSocket.last.query.getAll("since")).toEqual(["broadcast:foo@a:2"]);
  other.subscription.publish("waits");
  FakeSocket.last.welcomes(granted("a:2", true), { publishes: ["broadcast:foo"] });
  FakeSocket.last.delivers("2", "a:3");
  await settle();
  expect([next.told, other.told]).toEqual([
    ["1", "-- recovered", "2"],
    ["1", "-- recovered", "2"],
  ]);
  expect(FakeSocket.last.commands).toMatchObject([{ type: "publish" }]);
});

test("a tab that closes its socket hands over, too", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"));
  const next = await open();
  leader.socket.close();
  await settle();
  expect(FakeSocket.all.map((socket) => socket.closing)).toEqual([true, false]);
  FakeSocket.all[0]?.ends(1000);
  FakeSocket.last.welcomes(granted("a:1", true));
  FakeSocket.last.delivers("1", "a:2");
  await settle();
  expect([leader.told, next.told]).toEqual([[], ["-- recovered", "1"]]);
});

test("a tab that is gone leaves nothing subscribed", async () => {
  await open();
  FakeSocket.last.welcomes(granted("a:1"));
  const follower = await open();
  follower.socket.subscribe("bar");
  await settle();
  expect(FakeSocket.last.commands).toMatchObject([{ type: "subscribe", facility: "bar" }]);
  await follower.kill();
  expect(FakeSocket.last.commands.slice(1)).toMatchObject([{ type: "unsubscribe", facility: "bar" }]);
});

test("a lost connection is told to all tabs, and recovered for all", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"));
  const follower = await open();
  FakeSocket.last.ends();
  await settle();
  expect(follower.socket.state).toBe("waiting");
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.welcomes(granted("a:3", false));
  await settle();
  expect([leader.told, follower.told]).toEqual([["-- gap"], ["-- gap"]]);
});

test("what a tab publishes while the connection breaks is sent when it is back", async () => {
  await open();
  FakeSocket.last.welcomes(granted("a:1"));
  const follower = await open();
  FakeSocket.last.ends();
  // The tab does not know it yet.
  follower.subscription.publish("late");
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.welcomes(granted("a:1", true));
  await settle();
  expect(FakeSocket.last.sent).toEqual([expect.stringContaining("\nlate")]);
});

test("what a tab publishes while a dead websocket closes is sent by the next one", async () => {
  await open({}, { heartbeat: "--beat--" });
  FakeSocket.last.welcomes(granted("a:1"));
  const follower = await open();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(follower.socket.state).toBe("closing");
  follower.subscription.publish("late");
  await vi.advanceTimersByTimeAsync(4000);
  FakeSocket.last.welcomes(granted("a:1", true));
  await settle();
  expect(FakeSocket.last.sent).toEqual([expect.stringContaining("\nlate")]);
});

test("a tab that wakes up lets the others wait no longer", async () => {
  await open();
  const follower = await open();
  FakeSocket.last.ends();
  await settle();
  expect(follower.socket.state).toBe("waiting");
  world.wake();
  await settle();
  expect(follower.socket.state).toBe("connecting");
  expect(FakeSocket.all).toHaveLength(2);
});

test("two identities share nothing", async () => {
  await open();
  await open({}, { identity: "mary" });
  expect(FakeSocket.all).toHaveLength(2);
  expect(() => new Socket("ws://test/ws/", { shared: true })).toThrow("identity");
});

test("a socket that is closed for good is not left to those who come later", async () => {
  const leader = await open();
  FakeSocket.last.welcomes(granted("a:1"));
  const follower = await open();
  FakeSocket.last.ends(4501);
  await settle();
  expect([leader.socket.state, follower.socket.state]).toEqual(["closed", "closed"]);
  const fresh = await open();
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.last.welcomes(granted("a:1"));
  FakeSocket.last.delivers("1", "a:2");
  expect([leader.told, follower.told, fresh.told]).toEqual([[], [], ["1"]]);
});

test("without the means to share, each tab has its own socket", async () => {
  vi.stubGlobal("BroadcastChannel", undefined);
  await open();
  await open();
  expect(FakeSocket.all).toHaveLength(2);
});
