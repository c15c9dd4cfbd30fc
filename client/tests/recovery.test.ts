import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DETOUR_TIME } from "../src/attempts";
import { FakeSocket, makeRecovering, makeWorld, reconnect } from "./fakes";
import POSITIONS from "./positions.json";

const CHANNEL = "broadcast:foo";
const at = (position: string, recovered?: boolean) => ({ [CHANNEL]: { position, recovered } });

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.failing = false;
});

afterEach(() => {
  vi.useRealTimers();
});

test("the new protocol is offered before the page's own", () => {
  makeRecovering({ protocols: "own" });
  expect(FakeSocket.last.protocols).toEqual(["ws4redis.v1", "own"]);
});

test("payloads arrive with their channel and position", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:7"));
  FakeSocket.last.delivers("one\ntwo", "a:8");
  expect(told).toEqual([["message", "one\ntwo", "a:8"]]);
});

test("a new connection asks for what followed the last message", () => {
  makeRecovering();
  expect(FakeSocket.last.query.has("since")).toBe(false);
  FakeSocket.last.welcomes(at("a:7"));
  FakeSocket.last.delivers("one", "a:8");
  expect(reconnect().query.getAll("since")).toEqual(["broadcast:foo@a:8"]);
});

test("where nothing was published yet is a position, too", () => {
  makeRecovering();
  FakeSocket.last.welcomes(at(POSITIONS.beginning));
  expect(reconnect().query.getAll("since")).toEqual([`broadcast:foo@${POSITIONS.beginning}`]);
});

test("after a reconnect with everything the page is told before the messages", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:7"));
  reconnect().welcomes(at("a:7", true));
  FakeSocket.last.delivers("missed", "a:8");
  expect(told).toEqual([
    ["recovered", CHANNEL],
    ["message", "missed", "a:8"],
  ]);
});

test("what can't be had is told as a gap, and the next position is behind it", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:7"));
  reconnect().welcomes(at("b:3", false));
  expect(told).toEqual([["gap", CHANNEL]]);
  expect(reconnect().query.get("since")).toBe("broadcast:foo@b:3");
});

test("a gap on an open connection is told", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:7"));
  FakeSocket.last.says({ type: "gap", channel: CHANNEL, position: "b:3" });
  FakeSocket.last.delivers("next", "b:4");
  expect(told).toEqual([
    ["gap", CHANNEL],
    ["message", "next", "b:4"],
  ]);
});

test("a channel without a history may have missed something while there was no connection", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes({ [CHANNEL]: {} });
  expect(told).toEqual([]);
  reconnect().welcomes({ [CHANNEL]: {} });
  expect(told).toEqual([["gap", CHANNEL]]);
});

test("a message that was seen is dropped, one of another epoch is not", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:7"));
  for (const position of ["a:8", "a:8", "a:7", "a:10", "b:1"]) {
    FakeSocket.last.delivers("x", position);
  }
  expect(told.map(([, , position]) => position)).toEqual(["a:8", "a:10", "b:1"]);
});

test("a server that is old gets raw messages", () => {
  const { client, told } = makeRecovering({ protocols: "own" });
  FakeSocket.last.opens("own");
  client.send_message("hi");
  FakeSocket.last.receives('{"type":"message"}\nraw');
  expect(FakeSocket.last.sent).toEqual(["hi"]);
  expect(told).toEqual([["message", '{"type":"message"}\nraw', undefined]]);
});

test("a browser that gives up without an answer to the offer finds the old server", () => {
  const { client, told, time } = makeRecovering();
  const offers = () => FakeSocket.all.map((socket) => socket.protocols);
  reconnect();
  expect(offers()).toEqual([["ws4redis.v1"], undefined]);
  FakeSocket.last.opens();
  FakeSocket.last.ends(1000);
  // Is it one that does not know the protocol, or one that was away?
  vi.advanceTimersByTime(0);
  expect(offers().slice(2)).toEqual([["ws4redis.v1"]]);
  FakeSocket.last.ends();
  vi.advanceTimersByTime(1000);
  FakeSocket.last.opens();
  FakeSocket.last.receives("raw");
  expect([told, client.state]).toEqual([[["message", "raw", undefined]], "open"]);
  expect(reconnect().protocols).toBe(undefined);
  FakeSocket.last.opens();
  expect(told.slice(1)).toEqual([["gap", ""]]);
  // It may have been replaced by a new one since.
  time.value += DETOUR_TIME;
  expect(reconnect().protocols).toEqual(["ws4redis.v1"]);
  expect(FakeSocket.last.query.has("since")).toBe(false);
  FakeSocket.last.welcomes(at("a:7"));
  expect(told.slice(2)).toEqual([["gap", CHANNEL]]);
  reconnect().welcomes(at("a:7", true));
  expect(told.slice(3)).toEqual([["recovered", CHANNEL]]);
});

test("a server that is replaced by an old one is found, too", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes(at("a:1"));
  while (FakeSocket.last.protocols !== undefined) {
    reconnect();
  }
  FakeSocket.last.opens();
  FakeSocket.last.ends(1000);
  vi.advanceTimersByTime(0);
  reconnect().opens();
  FakeSocket.last.receives("raw");
  expect(told).toEqual([
    ["gap", ""],
    ["message", "raw", undefined],
  ]);
});

test("a server that was away is not taken for an old one", () => {
  const { told } = makeRecovering();
  reconnect().opens();
  FakeSocket.last.ends(1000);
  vi.advanceTimersByTime(0);
  FakeSocket.last.welcomes(at("a:1"));
  FakeSocket.last.delivers("framed", "a:2");
  expect(told).toEqual([["message", "framed", "a:2"]]);
  expect(reconnect().protocols).toEqual(["ws4redis.v1"]);
});

test("messages are published once the server has named the facility", () => {
  const { client } = makeRecovering();
  client.send_message("early");
  FakeSocket.last.opens("ws4redis.v1");
  expect(FakeSocket.last.sent).toEqual([]);
  FakeSocket.last.says({ type: "welcome", facility: "foo", channels: {}, publishes: [], refused: {} });
  client.send_message("later");
  expect(FakeSocket.last.sent).toEqual([
    '{"type":"publish","id":1,"facility":"foo"}\nearly',
    '{"type":"publish","id":2,"facility":"foo"}\nlater',
  ]);
});

test("own messages come back only with echo, and their positions count all the same", () => {
  const publishes = [CHANNEL];
  const { client, told } = makeRecovering();
  expect(FakeSocket.last.query.has("echo")).toBe(true);
  FakeSocket.last.welcomes(at("a:1"), { publishes });
  client.send_message("mine");
  FakeSocket.last.delivers("theirs", "a:2");
  FakeSocket.last.delivers("mine", "a:3");
  FakeSocket.last.delivers("mine", "a:4");
  expect(told).toEqual([
    ["message", "theirs", "a:2"],
    ["message", "mine", "a:4"],
  ]);
  const uri = "ws://test/ws/foo?subscribe-broadcast&echo";
  const { client: other, told: heard } = makeRecovering({ uri });
  expect(FakeSocket.last.uri).toBe(uri);
  FakeSocket.last.welcomes(at("a:1"), { publishes });
  other.send_message("mine");
  FakeSocket.last.delivers("mine", "a:2");
  expect(heard).toEqual([["message", "mine", "a:2"]]);
});

test("what never comes back hides nothing of others for long", () => {
  const { client, told, time } = makeRecovering();
  FakeSocket.last.welcomes(at("a:1"), { publishes: [CHANNEL, "user:john:foo"] });
  client.send_message("same");
  time.value += 11_000;
  FakeSocket.last.delivers("same", "a:2");
  expect(told).toHaveLength(1);
});

test("a server that stops says when to come back", () => {
  const { time } = makeRecovering();
  FakeSocket.last.welcomes(at("a:1"));
  time.value += 10_000;
  FakeSocket.last.says({ type: "closing", code: 1001, reconnect: true, delay: 1740, reason: "" });
  FakeSocket.last.ends(1001);
  vi.advanceTimersByTime(1739);
  expect(FakeSocket.all).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(FakeSocket.all).toHaveLength(2);
});

test("a server that says not to come back is obeyed", () => {
  const { client } = makeRecovering();
  FakeSocket.last.welcomes(at("a:1"));
  FakeSocket.last.says({ type: "closing", code: 4501, reconnect: false, reason: "out" });
  FakeSocket.last.ends(1006);
  vi.advanceTimersByTime(120_000);
  expect([FakeSocket.all.length, client.state]).toEqual([1, "closed"]);
});

test("refused flags and publishes are told", () => {
  const { told } = makeRecovering();
  FakeSocket.last.welcomes({}, { refused: { "subscribe-user": "nobody is logged in" } });
  FakeSocket.last.says({ type: "refused", id: 1, status: 403, reason: "Not here." });
  expect(told).toEqual([
    ["refused", "nobody is logged in", { flag: "subscribe-user" }],
    ["refused", "Not here.", { status: 403 }],
  ]);
});

test("heartbeats are no frames, and neither is what can't be read", () => {
  const { told } = makeRecovering({ heartbeat_msg: "--beat--" });
  FakeSocket.last.welcomes(at("a:1"));
  vi.advanceTimersByTime(5000);
  expect(FakeSocket.last.sent).toEqual(["--beat--"]);
  FakeSocket.last.receives("--beat--");
  FakeSocket.last.receives("--another--");
  FakeSocket.last.receives("17");
  expect(told).toEqual([]);
});

test("binary messages arrive as the page wants them", async () => {
  const bytes = new TextEncoder().encode(`{"type":"message","channel":"${CHANNEL}"}\n\u0000\n`);
  for (const binaryType of [undefined, "arraybuffer"] as const) {
    const { told } = makeRecovering(binaryType && { binaryType });
    FakeSocket.last.welcomes({ [CHANNEL]: {} });
    expect(FakeSocket.last.binaryType).toBe("arraybuffer");
    FakeSocket.last.receives(bytes.buffer);
    const data = told[0]?.[1] as Blob | ArrayBuffer;
    expect(data instanceof Blob).toBe(binaryType === undefined);
    expect(await new Response(data).text()).toBe("\u0000\n");
  }
});

test("positions survive a reload of the page by choice", () => {
  const world = makeWorld();
  const first = makeRecovering({ storage: "session" }, world);
  FakeSocket.last.welcomes(at("a:7"));
  FakeSocket.last.delivers("seen", "a:8");
  first.client.close();
  makeRecovering({ storage: "session" }, world);
  expect(FakeSocket.last.query.getAll("since")).toEqual(["broadcast:foo@a:8"]);
  FakeSocket.last.welcomes(at("a:8", true));
  makeRecovering({}, world);
  expect(FakeSocket.last.query.has("since")).toBe(false);
  makeRecovering({ storage: "session", uri: "ws://test/ws/bar" }, world);
  expect(FakeSocket.last.query.has("since")).toBe(false);
});

test("a page begins where its token says, until there are positions", () => {
  const { told } = makeRecovering({ from: "token:x" });
  expect(FakeSocket.last.query.get("from")).toBe("token:x");
  FakeSocket.last.opens("ws4redis.v1");
  // It is lost before the first words.
  reconnect();
  reconnect();
  expect(FakeSocket.last.query.get("from")).toBe("token:x");
  FakeSocket.last.welcomes(at("a:7", true));
  expect(told).toEqual([["recovered", CHANNEL]]);
  expect(reconnect().query.get("from")).toBe(null);
  expect(FakeSocket.last.query.get("since")).toBe("broadcast:foo@a:7");
});

test("a token that is of no use means a gap", () => {
  const { told } = makeRecovering({ from: "token:x" });
  FakeSocket.last.welcomes(at("a:7", false));
  expect(told).toEqual([["gap", CHANNEL]]);
});

test("a page with a token has shown nothing of what was stored", () => {
  const world = makeWorld();
  makeRecovering({ storage: "session" }, world);
  FakeSocket.last.welcomes(at("a:7"));
  makeRecovering({ storage: "session", from: "token:x" }, world);
  expect(FakeSocket.last.query.has("since")).toBe(false);
});

test("without recover the protocol is the raw one, whatever the server could", () => {
  const { client, told } = makeRecovering({ recover: false as never });
  expect(FakeSocket.last.protocols).toBe(undefined);
  expect(FakeSocket.last.uri).toBe("ws://test/ws/foo?subscribe-broadcast&publish-broadcast");
  FakeSocket.last.opens();
  client.send_message("raw");
  expect(FakeSocket.last.sent).toEqual(["raw"]);
  expect(told).toEqual([]);
});
