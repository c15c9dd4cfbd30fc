import { afterEach, expect, test, vi } from "vitest";
import { onWakeup } from "../src/wakeup";

afterEach(() => vi.unstubAllGlobals());

test("online and a visible page call back until unsubscribed", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const surroundings = new EventTarget();
  vi.stubGlobal("window", surroundings);
  vi.stubGlobal("document", page);
  const callback = vi.fn();
  const unsubscribe = onWakeup(callback);
  surroundings.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("visibilitychange"));
  expect(callback).toHaveBeenCalledTimes(2);
  page.visibilityState = "hidden";
  page.dispatchEvent(new Event("visibilitychange"));
  unsubscribe();
  surroundings.dispatchEvent(new Event("online"));
  expect(callback).toHaveBeenCalledTimes(2);
});

test("without a page there is nothing to wait for", () => {
  expect(() => onWakeup(() => undefined)()).not.toThrow();
});
