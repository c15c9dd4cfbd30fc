// What a page may say about its websocket.

/** Where a websocket is: `waiting` means that a new attempt is scheduled. */
export type StateName = "connecting" | "open" | "closing" | "waiting" | "closed";

/** A message that arrives: text as a string, binary as `binaryType` says. */
export type Data = string | Blob | ArrayBuffer;

/** A message to send. */
export type Sendable = string | Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

/** What is known of a message. */
export interface Meta {
  /** The channel, such as `broadcast:chat`; empty if the server does not tell. */
  channel: string;
  /** Where the channel is with this message; undefined if it has no history. */
  position: string | undefined;
  /** Whether this is the last message of the channel, sent to one who is new. */
  persisted: boolean;
}

/** What was refused. */
export interface Refusal {
  /** The flag that was not granted, such as `subscribe-group`; undefined if it is the whole command. */
  flag?: string;
  /** Why, as an HTTP answer would have it. */
  status?: number;
}

/** What any websocket may have. */
export interface Common {
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
  /** Django's token for publishing without websockets; by default the cookie `csrftoken`. */
  csrfToken?: string;
}

/** What a websocket of `WS4Redis` may have. */
export interface BaseOptions extends Common {
  /** Address of the websocket, such as `wss://example.com/ws/chat?subscribe-broadcast`. */
  uri: string;
  /** An attempt to connect begins. */
  connecting?: () => void;
  /** The websocket is open. */
  connected?: () => void;
  /** The websocket was lost or could not be opened; a new attempt follows unless `close()` was called. */
  disconnected?: (event: CloseEvent) => void;
  /** The state changed. */
  statechange?: (state: StateName) => void;
  /** A message was not sent: `maxQueue` messages wait already, or the websocket was closed for good. */
  dropped?: (message: Sendable) => void;
  /** Text that server and client send each other to see that the other one is there. */
  heartbeat_msg?: string | null;
}

export interface PlainOptions extends BaseOptions {
  recover?: false;
  /** A message arrived; heartbeats don't get here. */
  receive_message?: (data: Data) => void;
}

export interface RecoverOptions extends BaseOptions {
  /** Get what was missed while there was no connection. */
  recover: true;
  /** A message arrived; each one once. */
  receive_message?: (data: Data, meta: Meta) => void;
  /** After a start or a reconnect everything that was missed on these channels is there, and follows. */
  recovered?: (channels: string[]) => void;
  /** Messages on this channel were missed, and can't be had. */
  gap?: (channel: string) => void;
  /** Something that was asked for is not granted. */
  refused?: (reason: string, refusal: Refusal) => void;
  /** Where positions are kept over reloads of the page; by default nowhere. */
  storage?: "session";
  /** The token of a page, which says where to begin. */
  from?: string;
}

export type Options = PlainOptions | RecoverOptions;

/** What the client needs from its surroundings; tests bring their own. */
export interface Environment {
  WebSocket: new (uri: string, protocols?: string | string[]) => WebSocket;
  EventSource: (new (uri: string) => EventSource) | undefined;
  fetch: (uri: string, request: RequestInit) => Promise<Response>;
  /** Where positions may be kept over reloads. */
  storage: Pick<Storage, "getItem" | "setItem"> | undefined;
  random: () => number;
  now: () => number;
  /** Calls back whenever an attempt to connect is likely to succeed; returns the unsubscriber. */
  onWakeup: (callback: () => void) => () => void;
  /** Is told of errors that a page's callback threw. */
  report: (error: unknown) => void;
}
