import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect, Socket, type SocketOptions } from "../src/socket";
import type { Subscription, SubscriptionOptions } from "../src/subscription";
import { blockWebsockets, FakeEvents, FakeSocket, makeWorld, reconnect, type World } from "./fakes";
import POSITIONS from "./positions.json";

const { beginning, laterBeginning, beginningOfOtherData, first, seventh, otherEpoch } = POSITIONS;

const granted = (position: string, recovered?: boolean) => ({
  "broadcast:foo": { position, recovered },
});

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.failing = false;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function makeSocket(options: SocketOptions = {}): World & { socket: Socket } {
  const world = makeWorld();
  return { ...world, socket: new Socket("ws://test/ws/", options, world.environment) };
}

/** What a subscription told its page, in order. */
function follow(
  socket: Socket,
  facility = "foo",
  options: SubscriptionOptions = {},
): { told: unknown[][]; subscription: Subscription } {
  const told: unknown[][] = [];
  const subscription = socket.subscribe(facility, {
    channels: ["subscribe-broadcast"],
    onMessage: (data, { channel, position }) => told.push(["message", data, channel, position]),
    onRecovered: (channels) => told.push(["recovered", ...channels]),
    onGap: (channel) => told.push(["gap", channel]),
    onRefused: (reason, refusal) => told.push(["refused", reason, refusal]),
    onDropped: (message) => told.push(["dropped", message]),
    ...options,
  });
  return { told, subscription };
}

/** Answer a command as the server does. */
function answers(command: object | undefined, channels: object, more: object = {}): void {
  const { id, facility } = command as { id: number; facility: string };
  const rest = { publishes: [], refused: {}, ...more };
  FakeSocket.last.says({ type: "subscribed", id, facility, channels, ...rest });
}

test("nothing connects before the first subscription, whose facility is in the address", () => {
  const { socket } = makeSocket();
  expect(FakeSocket.all).toHaveLength(0);
  follow(socket, "news/a b", { channels: ["subscribe-broadcast", "publish-user"] });
  expect(FakeSocket.last.uri).toBe(
    "ws://test/ws/news/a%20b?subscribe-broadcast&publish-user&echo",
  );
  expect(FakeSocket.last.protocols).toEqual(["ws4redis.v1"]);
});

test("other facilities are subscribed over the open socket", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  const late = follow(socket, "late");
  const commands = FakeSocket.last.commands;
  expect(commands.map(({ type, facility }) => [type, facility])).toEqual([
    ["subscribe", "bar"],
    ["subscribe", "late"],
  ]);
  answers(commands[0], { "broadcast:bar": { position: "b:1" } });
  answers(commands[1], { "broadcast:late": {} });
  FakeSocket.last.delivers("1", "a:2");
  FakeSocket.last.delivers("2", "b:2", { channel: "broadcast:bar" });
  FakeSocket.last.delivers("3", undefined, { channel: "broadcast:late" });
  expect([foo.told, bar.told, late.told]).toEqual([
    [["message", "1", "broadcast:foo", "a:2"]],
    [["message", "2", "broadcast:bar", "b:2"]],
    [["message", "3", "broadcast:late", undefined]],
  ]);
  expect(FakeSocket.all).toHaveLength(1);
});

test("after a reconnect each facility goes on from where it was", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  answers(FakeSocket.last.commands[0], { "broadcast:bar": { position: "b:1" } });
  FakeSocket.last.delivers("2", "b:2", { channel: "broadcast:bar" });
  reconnect();
  expect(FakeSocket.last.query.getAll("since")).toEqual(["broadcast:foo@a:1"]);
  FakeSocket.last.welcomes(granted("a:1", true));
  const [command] = FakeSocket.last.commands;
  expect(command).toMatchObject({ facility: "bar", since: { "broadcast:bar": "b:2" } });
  answers(command, { "broadcast:bar": { position: "c:1", recovered: false } });
  expect([foo.told, bar.told.slice(1)]).toEqual([
    [["recovered", "broadcast:foo"]],
    [["gap", "broadcast:bar"]],
  ]);
});

test("the answer can be awaited, and so can a refusal", async () => {
  const { socket } = makeSocket();
  const foo = follow(socket, "foo", { channels: ["subscribe-broadcast", "subscribe-user"] });
  const bar = follow(socket, "bar");
  const refused = { "subscribe-user": "nobody is logged in" };
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["user:john:foo"], refused });
  expect(await foo.subscription.ready).toEqual({
    channels: ["broadcast:foo"],
    publishes: ["user:john:foo"],
    refused,
  });
  expect(foo.told).toEqual([["refused", "nobody is logged in", { flag: "subscribe-user" }]]);
  const [command] = FakeSocket.last.commands;
  FakeSocket.last.says({ type: "refused", id: command?.["id"], status: 403, reason: "No." });
  await expect(bar.subscription.ready).rejects.toThrow("No.");
  expect(bar.told).toEqual([["refused", "No.", { status: 403 }]]);
  reconnect().welcomes(granted("a:1", true));
  expect(FakeSocket.last.commands).toEqual([]);
});

test("a refusal for a while is no end", () => {
  const { socket } = makeSocket();
  follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  const [command] = FakeSocket.last.commands;
  FakeSocket.last.says({ type: "refused", id: command?.["id"], status: 503, reason: "Later." });
  vi.advanceTimersByTime(4000);
  const again = FakeSocket.last.commands[1];
  expect(again).toMatchObject({ type: "subscribe", facility: "bar" });
  answers(again, { "broadcast:bar": {} });
  FakeSocket.last.delivers("1", undefined, { channel: "broadcast:bar" });
  expect(bar.told).toEqual([["message", "1", "broadcast:bar", undefined]]);
});

test("a facility that is refused in the address does not keep the others from connecting", () => {
  const { socket } = makeSocket();
  follow(socket, "refused");
  follow(socket, "foo");
  expect(FakeSocket.last.uri).toContain("/ws/refused?");
  expect(reconnect().uri).toContain("/ws/foo?");
});

test("messages wait for the answer, up to a bound", () => {
  const { socket } = makeSocket();
  const { subscription, told } = follow(socket, "foo", { maxQueue: 2 });
  expect(["1", "2", "3"].map((text) => subscription.publish(text))).toEqual([true, true, false]);
  expect(told).toEqual([["dropped", "3"]]);
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  subscription.publish("4");
  expect(FakeSocket.last.sent.map((frame) => String(frame).split("\n")[1])).toEqual(["1", "2", "4"]);
});

test("own messages reach other subscriptions, and oneself only with echo", () => {
  const { socket } = makeSocket();
  const one = follow(socket);
  const other = follow(socket);
  const echoing = follow(socket, "foo", { echo: true });
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  one.subscription.publish("mine");
  FakeSocket.last.delivers("mine", "a:2");
  expect([one, other, echoing].map(({ told }) => told.length)).toEqual([0, 1, 1]);
});

test("a refused message is told to who published it", () => {
  const { socket } = makeSocket();
  const one = follow(socket);
  const other = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  one.subscription.publish("x");
  const { id } = FakeSocket.last.commands[0] as { id: number };
  FakeSocket.last.says({ type: "refused", id, status: 403, reason: "Not here." });
  expect([one.told, other.told]).toEqual([[["refused", "Not here.", { status: 403 }]], []]);
});

test("a second subscription of a facility asks for nothing twice, and gets the last message", () => {
  const { socket } = makeSocket();
  const first = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  FakeSocket.last.delivers("last", "a:2");
  const second = follow(socket);
  FakeSocket.last.delivers("next", "a:3");
  expect(FakeSocket.last.commands).toEqual([]);
  expect(first.told).toHaveLength(2);
  expect(second.told).toEqual([
    ["message", "last", "broadcast:foo", undefined],
    ["message", "next", "broadcast:foo", "a:3"],
  ]);
});

test("a second one that wants more, or comes from further back, makes the first lose nothing", async () => {
  const token = `${btoa(JSON.stringify({ p: { "broadcast:foo": "a:1" } }))}:time:signature`;
  const { socket } = makeSocket();
  const first = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  FakeSocket.last.delivers("two", "a:2");
  const channels = ["subscribe-broadcast", "subscribe-user"];
  const second = follow(socket, "foo", { from: token, channels });
  await vi.advanceTimersByTimeAsync(0);
  const [command] = FakeSocket.last.commands;
  expect(command).toMatchObject({ since: { "broadcast:foo": "a:1" }, channels });
  FakeSocket.last.delivers("three", "a:3");
  answers(command, { ...granted("a:1", true), "user:john:foo": {} });
  FakeSocket.last.delivers("two", "a:2");
  FakeSocket.last.delivers("three", "a:3");
  FakeSocket.last.delivers("private", undefined, { channel: "user:john:foo" });
  expect(first.told.map(([, data]) => data)).toEqual(["two", "three"]);
  expect(second.told.map(([, data]) => data)).toEqual([
    "broadcast:foo",
    "two",
    "three",
    "private",
  ]);
});

const tokenAt = (position: string) =>
  `${btoa(JSON.stringify({ p: { "broadcast:foo": position } }))}:time:signature`;

test.each(["a:1", beginning])("one that comes from %s has it read from there", async (position) => {
  const { socket } = makeSocket();
  follow(socket);
  FakeSocket.last.welcomes(granted("a:2"));
  follow(socket, "foo", { from: tokenAt(position) });
  await vi.advanceTimersByTimeAsync(0);
  expect(FakeSocket.last.commands).toMatchObject([{ since: { "broadcast:foo": position } }]);
});

test("one that comes from further on does not keep another from the beginning", async () => {
  const { socket } = makeSocket();
  follow(socket, "foo", { from: tokenAt(beginning) });
  follow(socket, "foo", { from: tokenAt("a:1") });
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.welcomes(granted(beginning, true));
  expect(FakeSocket.last.commands).toMatchObject([{ since: { "broadcast:foo": beginning } }]);
});

/** Lose the connection of one that was at a position; another one comes from the token of a page. */
async function comeBack(was: string, token: string) {
  const { socket } = makeSocket();
  const old = follow(socket);
  FakeSocket.last.welcomes(granted(was));
  FakeSocket.last.ends();
  const fresh = follow(socket, "foo", { from: tokenAt(token) });
  await vi.advanceTimersByTimeAsync(1000);
  const asked = FakeSocket.last.query.get("since")?.split("@")[1] as string;
  return { old, fresh, asked };
}

test.each([
  [beginning, seventh, beginning],
  [seventh, beginning, beginning],
  [beginning, laterBeginning, beginning],
  [laterBeginning, beginning, beginning],
  [first, seventh, first],
  [seventh, first, first],
])("of %s and %s everybody gets what followed %s", async (was, token, earlier) => {
  const { old, fresh, asked } = await comeBack(was, token);
  expect(asked).toBe(earlier);
  FakeSocket.last.welcomes(granted(asked, true));
  const recovered = ["recovered", "broadcast:foo"];
  expect([old.told, fresh.told]).toEqual([[recovered], [recovered]]);
});

test.each([
  [otherEpoch, seventh],
  [beginning, beginningOfOtherData],
])("of %s and %s, which can't be compared, one has a gap", async (was, token) => {
  const { old, fresh, asked } = await comeBack(was, token);
  FakeSocket.last.welcomes(granted(asked, true));
  const told = { [was]: old.told, [token]: fresh.told };
  const other = asked === was ? token : was;
  expect(told[asked]).toEqual([["recovered", "broadcast:foo"]]);
  expect(told[other]).toEqual([["gap", "broadcast:foo"]]);
});

test("what a page shows already does not come because another one is further back", async () => {
  const { fresh } = await comeBack("a:3", "a:5");
  FakeSocket.last.welcomes(granted("a:3", true));
  for (const position of ["a:4", "a:5", "a:6"]) {
    FakeSocket.last.delivers(position, position);
  }
  expect(fresh.told.slice(1).map(([, data]) => data)).toEqual(["a:6"]);
});

test("one that comes from the very same place asks for nothing", async () => {
  const { socket } = makeSocket();
  follow(socket);
  FakeSocket.last.welcomes(granted("a:2"));
  const { told } = follow(socket, "foo", { from: tokenAt("a:2") });
  await vi.advanceTimersByTimeAsync(0);
  expect(FakeSocket.last.commands).toEqual([]);
  expect(told).toEqual([["recovered", "broadcast:foo"]]);
});

test("one with a token that only the server can read may cost the others a gap, which is told", async () => {
  const { socket } = makeSocket();
  const first = follow(socket);
  FakeSocket.last.welcomes(granted("a:2"));
  follow(socket, "foo", { from: "opaque" });
  await vi.advanceTimersByTimeAsync(0);
  const [command] = FakeSocket.last.commands;
  expect(command).toMatchObject({ from: "opaque", since: {} });
  answers(command, granted("a:3", true));
  expect(first.told).toEqual([["gap", "broadcast:foo"]]);
});

test("persisted messages are for newcomers only", () => {
  const { socket } = makeSocket();
  const first = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  const second = follow(socket, "foo", { channels: ["subscribe-broadcast", "subscribe-user"] });
  answers(FakeSocket.last.commands[0], { ...granted("a:1"), "user:john:foo": {} });
  FakeSocket.last.delivers("last", undefined, { persisted: true });
  expect([first.told.length, second.told.length]).toEqual([0, 1]);
});

test("the answer to an older question counts for nobody", () => {
  const { socket } = makeSocket();
  follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  const user = follow(socket, "foo", { channels: ["subscribe-user"] });
  const group = follow(socket, "foo", { channels: ["subscribe-group"] });
  const [older, newer] = FakeSocket.last.commands;
  const asGroup = { channel: "group:x:foo" };
  answers(older, { ...granted("a:1", true), "user:john:foo": {} });
  FakeSocket.last.delivers("too early", undefined, asGroup);
  answers(newer, { ...granted("a:1", true), "user:john:foo": {}, "group:x:foo": {} });
  FakeSocket.last.delivers("1", undefined, asGroup);
  expect([user.told, group.told]).toEqual([[], [["message", "1", "group:x:foo", undefined]]]);
});

test("a token alone is read by the server", async () => {
  const { socket } = makeSocket();
  const token = `${btoa(JSON.stringify({ p: { "broadcast:foo": "a:1" } }))}:time:signature`;
  follow(socket, "foo", { from: token });
  await vi.advanceTimersByTimeAsync(0);
  expect(FakeSocket.last.query.get("from")).toBe(token);
  expect(FakeSocket.last.query.has("since")).toBe(false);
  FakeSocket.last.welcomes(granted("a:1", true));
  expect(reconnect().query.get("from")).toBe(null);
});

test("who unsubscribes hears nothing more, and without anybody there is no socket", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  answers(FakeSocket.last.commands[0], { "broadcast:bar": {} });
  foo.subscription.unsubscribe();
  FakeSocket.last.delivers("late", "a:2");
  expect(foo.told).toEqual([]);
  expect(foo.subscription.publish("late")).toBe(false);
  expect(FakeSocket.last.commands[1]).toMatchObject({ type: "unsubscribe", facility: "foo" });
  bar.subscription.unsubscribe();
  expect(FakeSocket.last.closing).toBe(true);
  follow(socket);
  expect(FakeSocket.all).toHaveLength(2);
});

test("close() is for good", async () => {
  const states: string[] = [];
  const { socket } = makeSocket({ onState: (state) => states.push(state) });
  const { subscription } = follow(socket);
  socket.close();
  await expect(subscription.ready).rejects.toThrow("unsubscribed");
  await expect(socket.subscribe("foo").ready).rejects.toThrow("closed");
  vi.advanceTimersByTime(120_000);
  expect([FakeSocket.all.length, socket.state, states.slice(-1)]).toEqual([1, "closed", ["closed"]]);
});

test("a server that closes for good ends all subscriptions", async () => {
  const { socket } = makeSocket();
  const { subscription, told } = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  FakeSocket.last.ends(4501);
  vi.advanceTimersByTime(120_000);
  expect([FakeSocket.all.length, socket.state]).toEqual([1, "closed"]);
  expect(subscription.publish("late")).toBe(false);
  expect(told).toEqual([["dropped", "late"]]);
});

test("an old server has one facility, and raw messages", async () => {
  const { socket } = makeSocket({ protocols: "own" });
  const foo = follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.opens("own");
  FakeSocket.last.receives("raw");
  foo.subscription.publish("hi");
  expect(foo.told).toEqual([["message", "raw", "", undefined]]);
  expect(FakeSocket.last.sent).toEqual(["hi"]);
  expect(bar.told).toMatchObject([["refused", expect.stringContaining("v1"), { status: 501 }]]);
});

test("where websockets do not get through, each facility has its own stream", async () => {
  const { socket, posted } = makeSocket();
  follow(socket, "dead");
  const { told, subscription } = follow(socket, "bar");
  follow(socket);
  blockWebsockets();
  // Each attempt begins with another facility.
  expect(FakeEvents.last.uri).toContain("/ws/foo?");
  FakeEvents.last.welcomes(granted("a:1"));
  const streams = FakeEvents.all.slice(1);
  const streamOf = (name: string) => streams.find(({ uri }) => uri.includes(`/ws/${name}?`));
  streamOf("bar")?.welcomes({ "broadcast:bar": {} }, { facility: "bar" });
  streamOf("bar")?.delivers("1", undefined, { channel: "broadcast:bar" });
  streamOf("dead")?.welcomes({ "broadcast:dead": {} }, { facility: "dead" });
  subscription.publish("posted");
  await vi.advanceTimersByTimeAsync(0);
  expect(streams).toHaveLength(3);
  expect(told).toEqual([["message", "1", "broadcast:bar", undefined]]);
  expect(posted.map(({ uri }) => uri)).toEqual(["http://test/ws/bar?subscribe-broadcast&echo"]);
  subscription.unsubscribe();
  expect(streamOf("bar")?.readyState).toBe(2);
});

const facilityOf = ({ uri }: FakeEvents) => new URL(uri).pathname.slice(4) as "foo" | "bar";

/** Two facilities on streams of events; the second stream is refused, and then with a status, if any. */
async function refuseStream(status: number | undefined) {
  const { socket, environment } = makeSocket();
  const all = { foo: follow(socket), bar: follow(socket, "bar") };
  const asked: unknown[] = [];
  environment.fetch = (uri, { method, headers }) => {
    asked.push([method, uri, headers]);
    return status ? Promise.resolve(new Response(null, { status })) : Promise.reject(new Error());
  };
  blockWebsockets();
  FakeEvents.last.welcomes({}, { facility: facilityOf(FakeEvents.last) });
  const refused = FakeEvents.last;
  refused.fails(2);
  await vi.advanceTimersByTimeAsync(4000);
  expect(asked).toEqual([["HEAD", refused.uri, { Accept: "text/event-stream" }]]);
  const facility = facilityOf(refused);
  const again = FakeEvents.last === refused ? undefined : FakeEvents.last;
  return { facility, told: all[facility].told, again };
}

test.each([429, 503, 200, undefined])("a stream that gets %s is tried again", async (status) => {
  const { facility, told, again } = await refuseStream(status);
  const channel = `broadcast:${facility}`;
  expect(told).toEqual([]);
  again?.welcomes({ [channel]: {} }, { facility });
  again?.delivers("1", undefined, { channel });
  expect(told).toEqual([["message", "1", channel, undefined]]);
});

test("a stream that is forbidden is not tried again", async () => {
  const { told, again } = await refuseStream(403);
  expect(told).toEqual([["refused", expect.any(String), { status: 403 }]]);
  expect(again).toBe(undefined);
});

test("a stream that is given up before its first words is closed", () => {
  const { socket } = makeSocket();
  follow(socket);
  follow(socket, "bar");
  blockWebsockets();
  FakeEvents.last.welcomes({}, { facility: facilityOf(FakeEvents.last) });
  const late = follow(socket, "late");
  const open = () => FakeEvents.all.filter(({ readyState }) => readyState < 2).map(facilityOf).sort();
  expect(open()).toEqual(["bar", "foo", "late"]);
  late.subscription.unsubscribe();
  expect(open()).toEqual(["bar", "foo"]);
});

test("what is published while a dead websocket closes waits for the next one", () => {
  const { socket } = makeSocket({ heartbeat: "--beat--" });
  const { subscription, told } = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"), { publishes: ["broadcast:foo"] });
  vi.advanceTimersByTime(20_000);
  expect(socket.state).toBe("closing");
  expect(["1", "2"].map((text) => subscription.publish(text))).toEqual([true, true]);
  reconnect().welcomes(granted("a:1", true), { publishes: ["broadcast:foo"] });
  expect(FakeSocket.last.sent.map((frame) => String(frame).split("\n")[1])).toEqual(["1", "2"]);
  FakeSocket.last.delivers("1", "a:2");
  expect(told).toEqual([["recovered", "broadcast:foo"]]);
});

test("what the site itself sends to a subscriber names no channel, and reaches its facility", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  const bar = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  answers(FakeSocket.last.commands[0], { "broadcast:bar": {} });
  FakeSocket.last.says({ type: "message", facility: "foo" }, "first");
  FakeSocket.last.says({ type: "message", facility: "bar" }, "second");
  expect(foo.told).toEqual([["message", "first", "", undefined]]);
  expect(bar.told).toEqual([["message", "second", "", undefined]]);
});

test("a facility that nobody wants any more when the websocket opens is not followed", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  follow(socket, "bar");
  foo.subscription.unsubscribe();
  FakeSocket.last.welcomes(granted("a:1"));
  expect(FakeSocket.last.commands.map(({ type, facility }) => [type, facility])).toEqual([
    ["unsubscribe", "foo"],
    ["subscribe", "bar"],
  ]);
});

test("a facility that was left for a while publishes when it is back", () => {
  const { socket } = makeSocket();
  const { subscription, told } = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  follow(socket, "foo", { channels: ["subscribe-user"] });
  // The server leaves what it had before it tries anew.
  const [command] = FakeSocket.last.commands;
  FakeSocket.last.says({ type: "refused", id: command?.["id"], status: 503, reason: "Later." });
  subscription.publish("waits");
  expect([told, FakeSocket.last.commands.length]).toEqual([[], 1]);
  vi.advanceTimersByTime(4000);
  answers(FakeSocket.last.commands[1], granted("a:1", true));
  expect(FakeSocket.last.commands.slice(2)).toMatchObject([{ type: "publish", facility: "foo" }]);
});

test("a facility that is asked for anew is not disturbed by an older refusal", () => {
  const { socket } = makeSocket();
  follow(socket);
  const before = follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  const [command] = FakeSocket.last.commands;
  FakeSocket.last.says({ type: "refused", id: command?.["id"], status: 503, reason: "Later." });
  before.subscription.unsubscribe();
  const after = follow(socket, "bar", { channels: ["subscribe-user"] });
  answers(FakeSocket.last.commands[FakeSocket.last.commands.length - 1], { "user:john:bar": {} });
  const { length } = FakeSocket.last.commands;
  vi.advanceTimersByTime(4000);
  expect(FakeSocket.last.commands).toHaveLength(length);
  FakeSocket.last.delivers("1", undefined, { channel: "user:john:bar" });
  expect(after.told).toEqual([["message", "1", "user:john:bar", undefined]]);
});

test("messages of a subscription before are no place from which to go on", () => {
  const { socket } = makeSocket();
  const before = follow(socket);
  follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  before.subscription.unsubscribe();
  follow(socket);
  FakeSocket.last.delivers("late", "a:2");
  const asked = [reconnect().query, reconnect().query].map((query) => query.getAll("since"));
  expect(asked).toEqual([[], []]);
});

test("a websocket that ends late does not hide the state of the next one", () => {
  const states: string[] = [];
  const { socket } = makeSocket({ onState: (state) => states.push(state) });
  const { subscription } = follow(socket);
  const old = FakeSocket.last;
  old.welcomes(granted("a:1"));
  subscription.unsubscribe();
  expect(socket.state).toBe("closing");
  follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  old.ends(1000);
  expect([socket.state, states.slice(-3)]).toEqual(["open", ["closing", "connecting", "open"]]);
});

test("an old server answers also those who come later, or while it is asked", async () => {
  const { socket } = makeSocket({ protocols: "own" });
  follow(socket);
  const early = follow(socket);
  FakeSocket.last.opens("own");
  const late = follow(socket);
  for (const { subscription, told } of [early, late]) {
    await subscription.ready;
    subscription.publish("hi");
    FakeSocket.last.receives("raw");
    expect(told[0]).toEqual(["message", "raw", "", undefined]);
  }
  expect(FakeSocket.last.sent).toEqual(["hi", "hi"]);
});

test("where all that is left is refused there is no socket", () => {
  const { socket } = makeSocket();
  const foo = follow(socket);
  follow(socket, "bar");
  FakeSocket.last.welcomes(granted("a:1"));
  foo.subscription.unsubscribe();
  const [command] = FakeSocket.last.commands;
  FakeSocket.last.says({ type: "refused", id: command?.["id"], status: 403, reason: "No." });
  expect(FakeSocket.last.closing).toBe(true);
});

test("an error in a callback is reported and breaks nothing", () => {
  const { socket, reported } = makeSocket();
  const onMessage = () => {
    throw new Error("bug in the page");
  };
  follow(socket, "foo", { onMessage });
  const other = follow(socket);
  FakeSocket.last.welcomes(granted("a:1"));
  FakeSocket.last.delivers("1", "a:2");
  expect([reported.length, other.told.length]).toEqual([1, 1]);
});

test("connect() takes an address or what a page says", () => {
  vi.stubGlobal("WebSocket", FakeSocket);
  makeWorld();
  const page = { uri: "ws://test/ws/", facility: "foo", channels: ["subscribe-user"] };
  const socket = connect({ ...page, from: "", heartbeat: "--beat--" });
  socket.subscribe({ ...page, from: "", heartbeat: "--beat--" });
  expect(FakeSocket.last.uri).toBe("ws://test/ws/foo?subscribe-user&echo");
  FakeSocket.last.welcomes();
  vi.advanceTimersByTime(5000);
  expect(FakeSocket.last.sent).toEqual(["--beat--"]);
  expect(() => connect("")).toThrow("No address");
});
