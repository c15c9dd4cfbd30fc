import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DETOUR_TIME } from "../src/attempts";
import { blockWebsockets, FakeEvents, FakeSocket, makeRecovering, makeWorld, type Recovering } from "./fakes";

const CHANNEL = "broadcast:foo";

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.failing = false;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Let websockets fail until something else is tried. */
function failing(options = {}, world = makeWorld()): Recovering {
  const recovering = makeRecovering(options, world);
  blockWebsockets();
  return recovering;
}

/** Lose the stream, and let something be made in its place. */
function lose(): void {
  FakeEvents.last.fails();
  vi.advanceTimersToNextTimer();
}

const made = () => [FakeSocket.all.length, FakeEvents.all.length];

test("where only websockets do not get through, an EventSource is used", () => {
  const { told, client } = failing();
  expect(made()).toEqual([4, 2]);
  expect(FakeEvents.last.uri).toBe(
    "http://test/ws/foo?subscribe-broadcast&publish-broadcast&echo",
  );
  FakeEvents.last.welcomes({ [CHANNEL]: { position: "a:1" } });
  FakeEvents.last.delivers("over http", "a:2");
  expect(told).toEqual([["message", "over http", "a:2"]]);
  expect(client.is_connected()).toBe(true);
});

test("websockets that opened before do not count as broken", () => {
  makeRecovering();
  for (let count = 0; count < 10; count += 1) {
    FakeSocket.last.welcomes();
    FakeSocket.last.ends();
    vi.advanceTimersToNextTimer();
  }
  expect(made()).toEqual([11, 0]);
});

test("a server that was only away is found by the EventSource, and gets a websocket", () => {
  const { told } = makeRecovering();
  while (!FakeEvents.all.length) {
    FakeSocket.last.ends();
    vi.advanceTimersToNextTimer();
  }
  expect(made()).toEqual([3, 1]);
  FakeEvents.last.opens();
  vi.advanceTimersByTime(0);
  expect([made(), FakeEvents.last.readyState]).toEqual([[4, 1], 2]);
  FakeSocket.last.welcomes({ [CHANNEL]: { position: "a:1" } });
  FakeSocket.last.delivers("by websocket", "a:2");
  expect(told).toEqual([["message", "by websocket", "a:2"]]);
});

test("where neither gets through, both are tried again", () => {
  failing();
  lose();
  expect(made()).toEqual([5, 2]);
});

test("where there is no EventSource, websockets are tried on", () => {
  const world = makeWorld();
  world.environment.EventSource = undefined;
  makeRecovering({}, world);
  for (let count = 0; count < 9; count += 1) {
    FakeSocket.last.ends();
    vi.advanceTimersToNextTimer();
  }
  expect(FakeSocket.all).toHaveLength(10);
});

test("a lost stream is followed by another one, from where the first one was", () => {
  const { told } = failing();
  FakeEvents.last.welcomes({ [CHANNEL]: { position: "a:1" } });
  FakeEvents.last.delivers("one", "a:2");
  lose();
  expect(made()).toEqual([4, 3]);
  expect(new URL(FakeEvents.last.uri).searchParams.get("since")).toBe("broadcast:foo@a:2");
  FakeEvents.last.welcomes({ [CHANNEL]: { position: "a:2", recovered: true } });
  expect(told.slice(1)).toEqual([["recovered", CHANNEL]]);
});

test("after some minutes the next attempt is a websocket, and one failure is enough", () => {
  const { time } = failing();
  FakeEvents.last.welcomes();
  time.value += DETOUR_TIME;
  lose();
  expect(made()).toEqual([5, 2]);
  FakeSocket.last.ends();
  vi.advanceTimersToNextTimer();
  expect(made()).toEqual([5, 3]);
});

test("messages are posted with Django's token, and without positions in the address", async () => {
  vi.stubGlobal("document", { cookie: "a=b; csrftoken=from%20cookie" });
  for (const [csrfToken, expected] of [
    [undefined, "from cookie"],
    ["given", "given"],
  ]) {
    const { client, posted } = failing({ from: "t:1", ...(csrfToken && { csrfToken }) });
    FakeEvents.last.welcomes({ [CHANNEL]: { position: "a:1", recovered: true } });
    client.send_message("text");
    client.send_message(new Uint8Array([1]));
    await vi.advanceTimersByTimeAsync(0);
    const uri = "http://test/ws/foo?subscribe-broadcast&publish-broadcast&echo";
    const types = posted.map(({ request }) => (request.headers as never)["Content-Type"]);
    expect(posted.map((one) => one.uri)).toEqual([uri, uri]);
    expect(posted.map(({ request }) => request.body)).toEqual(["text", new Uint8Array([1])]);
    expect(types).toEqual(["text/plain", "application/octet-stream"]);
    expect(posted[0]?.request).toMatchObject({
      method: "POST",
      headers: { "X-CSRFToken": expected },
    });
  }
});

test("a refused post is told", async () => {
  const world = makeWorld();
  world.environment.fetch = () => Promise.resolve(new Response("No token.", { status: 403 }));
  const { client, told } = failing({}, world);
  FakeEvents.last.welcomes();
  client.send_message("text");
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toEqual([["refused", "No token.", { status: 403 }]]);
});

test("a post that fails when its stream has ended is told all the same", async () => {
  const world = makeWorld();
  let answer: (response: Response) => void = () => undefined;
  world.environment.fetch = () => new Promise((resolve) => (answer = resolve));
  const { client, told } = failing({}, world);
  FakeEvents.last.welcomes();
  client.send_message("text");
  client.send_message("behind it");
  await vi.advanceTimersByTimeAsync(0);
  FakeEvents.last.fails();
  answer(new Response("Bad gateway", { status: 502 }));
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toContainEqual(["refused", "Bad gateway", { status: 502 }]);
  answer(new Response("Bad gateway", { status: 502 }));
  await vi.advanceTimersByTimeAsync(0);
  expect(told.filter(([kind]) => kind === "refused")).toHaveLength(2);
});

test("binary messages come as text, and arrive as what they were", async () => {
  const { told } = failing();
  FakeEvents.last.welcomes({ [CHANNEL]: {} });
  FakeEvents.last.delivers("AAoB", undefined, { base64: true });
  const data = await new Response(told[0]?.[1] as Blob).arrayBuffer();
  expect([...new Uint8Array(data)]).toEqual([0, 10, 1]);
});

test("text that an event could not hold arrives as text", () => {
  const { told } = failing();
  FakeEvents.last.welcomes({ [CHANNEL]: {} });
  // A byte order mark, and a carriage return before a line feed.
  FakeEvents.last.delivers("77u/YQ0KYg==", undefined, { base64: true, text: true });
  expect(told[0]?.[1]).toBe("\ufeffa\r\nb");
});

test("a stream can tell of gaps and of its end", () => {
  const { told, client } = failing();
  FakeEvents.last.welcomes({ [CHANNEL]: { position: "a:1" } });
  FakeEvents.last.says("gap", { type: "gap", channel: CHANNEL, position: "b:1" });
  const end = { type: "closing", code: 4501, reconnect: false, reason: "logged out" };
  FakeEvents.last.says("closing", end);
  FakeEvents.last.fails();
  expect([told, client.state]).toEqual([[["gap", CHANNEL]], "closed"]);
});

test("no heartbeats go over a stream", () => {
  const { client } = failing({ heartbeat_msg: "--beat--" });
  FakeEvents.last.welcomes();
  vi.advanceTimersByTime(120_000);
  expect(client.is_connected()).toBe(true);
  client.close();
  expect([FakeEvents.last.readyState, client.state]).toEqual([2, "closed"]);
});
