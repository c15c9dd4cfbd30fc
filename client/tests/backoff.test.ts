import { expect, test } from "vitest";
import { backoff } from "../src/backoff";

const bounds = { minDelay: 1000, maxDelay: 30000 };

test("the bound doubles up to the cap", () => {
  const bound = (attempt: number) => backoff(attempt, bounds, () => 1);
  expect([0, 1, 2, 4, 5, 99].map(bound)).toEqual([1000, 2000, 4000, 16000, 30000, 30000]);
});

test("the whole range below the bound is used", () => {
  expect([0, 0.25, 0.999].map((random) => backoff(1, bounds, () => random))).toEqual([0, 500, 1998]);
});
