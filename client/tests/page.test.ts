import { afterEach, expect, test, vi } from "vitest";
import { WS4Redis } from "../src/client";
import { page } from "../src/page";
import { positionsIn } from "../src/token";

const content = {
  uri: "wss://host/ws/",
  facility: "news/1",
  channels: ["subscribe-broadcast", "publish-user"],
  from: "token",
  heartbeat: "--heartbeat--",
};

function stubPage(id: string): void {
  const getElementById = (asked: string) =>
    asked === id ? { textContent: JSON.stringify(content) } : null;
  vi.stubGlobal("document", { getElementById });
}

afterEach(() => vi.unstubAllGlobals());

test("a page says what its facility needs", () => {
  stubPage("ws4redis-news%2F1");
  expect(page("news/1")).toEqual(content);
  expect(WS4Redis.page("news/1")).toEqual({
    uri: "wss://host/ws/news/1?subscribe-broadcast&publish-user",
    heartbeat_msg: "--heartbeat--",
    from: "token",
    recover: true,
  });
});

test("a page that says nothing of a facility is named", () => {
  stubPage("ws4redis-other");
  expect(() => page("chat")).toThrow("chat");
});

test("tokens are read, compressed or not, and others are not", async () => {
  const positions = { "broadcast:chat": "3f:12" };
  // Made by Django: signing.dumps({"f": …, "c": …, "p": …}, salt="ws4redis.page", compress=…)
  const plain = [
    "eyJmIjoiY2hhdCIsImMiOlsic3Vic2NyaWJlLWJyb2FkY2FzdCIsInB1Ymxpc2gtYnJvYWRjYXN0Il0s",
    "InAiOnsiYnJvYWRjYXN0OmNoYXQiOiIzZjoxMiJ9fQ:1xUnKh:9ankHLQjG4826MiUR33WAEo-qgypjH",
    "pwhEYrPi6CaZ8",
  ].join("");
  const compressed = [
    ".eJyrVkpTslJKzkgsUdJRSlayilYqLk0qTi7KTErVTSrKT0xJTiwGSRWUJuVkFmcgicUCBZWsqpXgIlZ",
    "gU6yUjNOsDI2UamsBbMseSg:1xUnKh:0Hnf9JgEQksJW-epLZ30eTRVC7Kv10LeXvaHBXrTfGc",
  ].join("");
  expect(await positionsIn(plain)).toEqual(positions);
  expect(await positionsIn(compressed)).toEqual(positions);
  expect(await positionsIn("nonsense")).toBe(undefined);
  expect(await positionsIn("")).toBe(undefined);
});
