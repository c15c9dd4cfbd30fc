// The ES module.
export { Client, WS4Redis } from "./client";
export type * from "./options";
export { page, type Page, type PageOptions } from "./page";
export { connect, Socket, type SocketOptions } from "./socket";
export type { Granted, Subscription, SubscriptionOptions } from "./subscription";
