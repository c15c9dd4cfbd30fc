import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeSocket, makeClient } from "./fakes";

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.failing = false;
});

afterEach(() => {
  vi.useRealTimers();
});

test("a lost connection comes back after a delay", () => {
  const { client } = makeClient();
  FakeSocket.last.opens();
  FakeSocket.last.ends();
  expect(client.state).toBe("waiting");
  vi.advanceTimersByTime(499);
  expect(FakeSocket.all).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(FakeSocket.all).toHaveLength(2);
});

test("delays grow while connections stay bad, and begin anew after a good one", () => {
  const { time } = makeClient();
  const delays: number[] = [];
  const cycle = (uptime: number) => {
    FakeSocket.last.opens();
    time.value += uptime;
    FakeSocket.last.ends();
    const before = FakeSocket.all.length;
    let waited = 0;
    while (FakeSocket.all.length === before) {
      vi.advanceTimersByTime(100);
      waited += 100;
    }
    delays.push(waited);
  };
  [0, 0, 0, 10000, 0].forEach(cycle);
  expect(delays).toEqual([500, 1000, 2000, 500, 1000]);
});

test("delays are capped", () => {
  makeClient({ maxDelay: 4000 });
  for (let count = 0; count < 10; count += 1) {
    FakeSocket.last.ends();
    vi.advanceTimersByTime(2000);
    expect(FakeSocket.all).toHaveLength(count + 2);
  }
});

test("a browser that refuses to make a socket is tried again", () => {
  FakeSocket.failing = true;
  const { client, reported } = makeClient();
  expect(reported).toHaveLength(1);
  expect(client.state).toBe("waiting");
  FakeSocket.failing = false;
  vi.advanceTimersByTime(500);
  expect(client.state).toBe("connecting");
});

test("when the network is back nobody waits for the delay, and one socket is enough", () => {
  const { wake } = makeClient();
  FakeSocket.last.ends();
  wake();
  wake();
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.last.opens();
  vi.advanceTimersByTime(60000);
  wake();
  expect(FakeSocket.all).toHaveLength(2);
});

test("after close() nothing comes back", () => {
  const { client, wake } = makeClient();
  FakeSocket.last.opens();
  client.close();
  FakeSocket.last.ends(1000);
  wake();
  vi.advanceTimersByTime(120000);
  expect(FakeSocket.all).toHaveLength(1);
  expect(client.state).toBe("closed");
});

test("close() while waiting cancels the next attempt", () => {
  const { client, wake } = makeClient();
  FakeSocket.last.ends();
  client.close();
  wake();
  vi.advanceTimersByTime(120000);
  expect(FakeSocket.all).toHaveLength(1);
  expect(client.state).toBe("closed");
});

test("close() while connecting does not open", () => {
  const connected = vi.fn();
  const { client } = makeClient({ connected });
  client.close();
  FakeSocket.last.opens();
  FakeSocket.last.ends(1006);
  expect(connected).not.toHaveBeenCalled();
  expect(client.state).toBe("closed");
});

test("late events of an old socket are ignored", () => {
  const received: unknown[] = [];
  const { client } = makeClient({ receive_message: (data) => received.push(data) });
  const old = FakeSocket.last;
  old.opens();
  old.ends();
  vi.advanceTimersByTime(500);
  FakeSocket.last.opens();
  old.receives("late");
  old.ends();
  expect(received).toEqual([]);
  expect(client.is_connected()).toBe(true);
});

test.each([1008, 4500, 4999])("the code %i tells the client to stay away", (code) => {
  const { client } = makeClient();
  FakeSocket.last.opens();
  FakeSocket.last.ends(code);
  vi.advanceTimersByTime(120000);
  expect(FakeSocket.all).toHaveLength(1);
  expect(client.state).toBe("closed");
});

test.each([1000, 1001, 1006, 1011, 1012, 4000])("after the code %i it comes back", (code) => {
  makeClient();
  FakeSocket.last.opens();
  FakeSocket.last.ends(code);
  vi.advanceTimersByTime(500);
  expect(FakeSocket.all).toHaveLength(2);
});

test("state changes are told once each", () => {
  const states: string[] = [];
  const { client } = makeClient({ statechange: (state) => states.push(state) });
  FakeSocket.last.opens();
  FakeSocket.last.ends();
  vi.advanceTimersByTime(500);
  client.close();
  FakeSocket.last.ends();
  expect(states).toEqual(["connecting", "open", "waiting", "connecting", "closing", "closed"]);
});
