// The ES module.
export { Client, WS4Redis } from "./client";
export type { Data, Environment, Options, Sendable, StateName } from "./options";
