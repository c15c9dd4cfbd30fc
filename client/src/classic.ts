// The classic script: sets the global `WS4Redis`.
import { WS4Redis } from "./client";

(globalThis as unknown as { WS4Redis: typeof WS4Redis }).WS4Redis = WS4Redis;
