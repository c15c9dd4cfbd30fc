// What a page may say about its websocket.

/** Where a websocket is: `waiting` means that a new attempt is scheduled. */
export type StateName = "connecting" | "open" | "closing" | "waiting" | "closed";

/** A message that arrives: text as a string, binary as `binaryType` says. */
export type Data = string | Blob | ArrayBuffer;

/** A message to send. */
export type Sendable = string | Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

export interface Options {
  /** Address of the websocket, such as `wss://example.com/ws/chat?subscribe-broadcast`. */
  uri: string;
  /** An attempt to connect begins. */
  connecting?: () => void;
  /** The websocket is open. */
  connected?: () => void;
  /** A message arrived; heartbeats don't get here. */
  receive_message?: (data: Data) => void;
  /** The websocket was lost or could not be opened; a new attempt follows unless `close()` was called. */
  disconnected?: (event: CloseEvent) => void;
  /** The state changed. */
  statechange?: (state: StateName) => void;
  /** A message was not sent: `maxQueue` messages wait already, or the websocket was closed for good. */
  dropped?: (message: Sendable) => void;
  /** Text that server and client send each other to see that the other one is there. */
  heartbeat_msg?: string | null;
  /** How binary messages arrive; default `blob`, as in browsers. */
  binaryType?: BinaryType;
  /** Subprotocols to offer. */
  protocols?: string | string[];
  /** Messages kept while there is no connection; default 100. */
  maxQueue?: number;
  /** Upper bound of the first delay, in milliseconds; it doubles with each attempt. Default 1000. */
  minDelay?: number;
  /** Upper bound of all delays, in milliseconds; default 30000. */
  maxDelay?: number;
  /** Milliseconds after which a connection counts as good, so that delays begin anew; default 5000. */
  minUptime?: number;
}

/** What the client needs from its surroundings; tests bring their own. */
export interface Environment {
  WebSocket: new (uri: string, protocols?: string | string[]) => WebSocket;
  random: () => number;
  now: () => number;
  /** Calls back whenever an attempt to connect is likely to succeed; returns the unsubscriber. */
  onWakeup: (callback: () => void) => () => void;
  /** Is told of errors that a page's callback threw. */
  report: (error: unknown) => void;
}
