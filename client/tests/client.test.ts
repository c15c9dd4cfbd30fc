import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WS4Redis } from "../src/client";
import { FakeSocket, makeClient } from "./fakes";

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.failing = false;
});

afterEach(() => {
  expect(FakeSocket.all.filter((socket) => !socket.closing).length).toBeLessThan(20);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a missing uri is named", () => {
  expect(() => WS4Redis({ uri: "" })).toThrow("No Websocket URI in options");
});

test("works with and without new, and ignores jQuery", () => {
  vi.stubGlobal("WebSocket", FakeSocket);
  FakeSocket.all = [];
  const jquery = () => undefined;
  const first = WS4Redis({ uri: "ws://test/1" }, jquery);
  const second = new WS4Redis({ uri: "ws://test/2" });
  expect(FakeSocket.all.map((socket) => socket.uri)).toEqual(["ws://test/1", "ws://test/2"]);
  expect(first.is_connecting() && second.is_connecting()).toBe(true);
});

test("calls back in the documented order", () => {
  const calls: string[] = [];
  makeClient({
    connecting: () => calls.push("connecting"),
    connected: () => calls.push("connected"),
    receive_message: (data) => calls.push(`message ${String(data)}`),
    disconnected: (event) => calls.push(`disconnected ${event.code}`),
  });
  FakeSocket.last.opens();
  FakeSocket.last.receives("hi");
  FakeSocket.last.ends(1001);
  expect(calls).toEqual(["connecting", "connected", "message hi", "disconnected 1001"]);
});

test("the state can be read by name, by number and by question", () => {
  const { client } = makeClient();
  const seen = () => [client.state, client.get_state(), client.is_connected()];
  expect(seen()).toEqual(["connecting", 0, false]);
  FakeSocket.last.opens();
  expect(seen()).toEqual(["open", 1, true]);
  client.close();
  expect(seen()).toEqual(["closing", 2, false]);
  expect(client.is_closing()).toBe(true);
  FakeSocket.last.ends(1000);
  expect(seen()).toEqual(["closed", 3, false]);
  expect(client.is_closed()).toBe(true);
});

test("messages sent while there is no connection go out in order when it opens", () => {
  const { client } = makeClient();
  expect(client.send_message("one")).toBe(true);
  client.send_message("two");
  FakeSocket.last.opens();
  client.send_message("three");
  expect(FakeSocket.last.sent).toEqual(["one", "two", "three"]);
});

test("messages beyond the bound of the queue are reported, not lost in silence", () => {
  const dropped: unknown[] = [];
  const { client } = makeClient({ maxQueue: 1, dropped: (message) => dropped.push(message) });
  expect([client.send_message("kept"), client.send_message("lost")]).toEqual([true, false]);
  expect(dropped).toEqual(["lost"]);
});

test("nothing is queued for a websocket that was closed for good", () => {
  const dropped: unknown[] = [];
  const { client } = makeClient({ dropped: (message) => dropped.push(message) });
  client.close();
  expect(client.send_message("late")).toBe(false);
  expect(dropped).toEqual(["late"]);
});

test("an error in a callback is reported and breaks nothing", () => {
  const { client, reported } = makeClient({
    connected: () => {
      throw new Error("bug in the page");
    },
  });
  FakeSocket.last.opens();
  expect(reported).toHaveLength(1);
  expect(client.is_connected()).toBe(true);
});

test("heartbeats are sent, and never reach the page", () => {
  const received: unknown[] = [];
  makeClient({ heartbeat_msg: "--beat--", receive_message: (data) => received.push(data) });
  FakeSocket.last.opens();
  vi.advanceTimersByTime(5000);
  FakeSocket.last.receives("--beat--");
  FakeSocket.last.receives("real");
  expect(FakeSocket.last.sent).toEqual(["--beat--"]);
  expect(received).toEqual(["real"]);
});

test("too many missed heartbeats lead to a new connection", () => {
  const { client } = makeClient({ heartbeat_msg: "--beat--" });
  const first = FakeSocket.last;
  first.opens();
  vi.advanceTimersByTime(20000);
  expect(first.closing).toBe(true);
  expect(client.state).toBe("closing");
  // The dead socket never answers the close.
  vi.advanceTimersByTime(2000 + 500);
  expect(FakeSocket.last).not.toBe(first);
  expect(client.state).toBe("connecting");
});

test("any message shows that the server is there", () => {
  const { client } = makeClient({ heartbeat_msg: "--beat--" });
  FakeSocket.last.opens();
  for (let beat = 0; beat < 10; beat += 1) {
    vi.advanceTimersByTime(5000);
    FakeSocket.last.receives("something");
  }
  expect(client.is_connected()).toBe(true);
});

test("a new connection starts with no missed heartbeats", () => {
  const { client } = makeClient({ heartbeat_msg: "--beat--" });
  FakeSocket.last.opens();
  vi.advanceTimersByTime(15000);
  FakeSocket.last.ends();
  vi.advanceTimersByTime(500);
  FakeSocket.last.opens();
  vi.advanceTimersByTime(15000);
  expect(client.is_connected()).toBe(true);
});

test("without a heartbeat nothing is sent by itself", () => {
  makeClient();
  FakeSocket.last.opens();
  vi.advanceTimersByTime(60000);
  expect(FakeSocket.last.sent).toEqual([]);
});

test("binaryType and protocols are handed to the socket", () => {
  makeClient({ binaryType: "arraybuffer", protocols: ["a", "b"] });
  expect(FakeSocket.last.binaryType).toBe("arraybuffer");
  expect(FakeSocket.last.protocols).toEqual(["a", "b"]);
});
