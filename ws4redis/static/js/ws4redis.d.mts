/* ws4redis, MIT licence. Built from client/src; do not edit. */
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
/** How a page starts a subscription. */
export interface Page {
    /** Address of all websockets, such as `wss://example.com/ws/`. */
    uri: string;
    facility: string;
    /** Flags, as in an address: `subscribe-broadcast`. */
    channels: string[];
    /** Says where to begin: where the channels were before the page was made. */
    from: string;
    /** Text of the heartbeats; null without any. */
    heartbeat: string | null;
}
/** What of it `WS4Redis` needs. */
export interface PageOptions {
    uri: string;
    heartbeat_msg: string | null;
    from: string;
    recover: true;
}
/** Return what a page says of a facility. */
export declare function page(facility: string): Page;
/** A websocket that reconnects, beats and queues. It connects at once. */
export declare class Client {
    private readonly options;
    private readonly link;
    private readonly queue;
    private readonly environment;
    private readonly reader;
    private facility;
    private number;
    constructor(options: Options, environment?: Partial<Environment>);
    /**
     * Send a message, or keep it until there is a connection.
     *
     * Returns false if it was dropped: too many wait already, or the websocket was closed for good.
     */
    send_message(message: Sendable): boolean;
    /** Close the websocket for good. */
    close(): void;
    /** Where the websocket is, by name. */
    get state(): StateName;
    /** Where the websocket is, as a `readyState` of browsers: 0 to 3. */
    get_state(): number;
    is_connecting(): boolean;
    is_connected(): boolean;
    is_closing(): boolean;
    is_closed(): boolean;
    private createLink;
    private createReader;
    /** Return the address for the next attempt. */
    private address;
    private send;
    private changed;
    private answered;
    private take;
    private received;
    private lost;
    /** Call a page's callback; what it throws must not break the connection. */
    private call;
}
/** Open a websocket that reconnects; works with and without `new`. */
export interface WS4RedisFactory {
    new (options: Options, jquery?: unknown): Client;
    (options: Options, jquery?: unknown): Client;
    /** Return the options that the template tag `ws4redis_socket` has put into the page. */
    page(facility: string): PageOptions;
}
/** Open a websocket that reconnects. A second argument, once jQuery, is not needed any more. */
export declare const WS4Redis: WS4RedisFactory;
/** What the server has granted. */
export interface Granted {
    /** Channels that are followed, such as `broadcast:chat`. */
    channels: string[];
    /** Channels on which `publish()` publishes. */
    publishes: string[];
    /** Flags that were not granted, and why. */
    refused: Record<string, string>;
}
export interface SubscriptionOptions {
    /** Flags as in an address; default `subscribe-broadcast`. */
    channels?: string[];
    /** A message arrived; each one once. */
    onMessage?: (data: Data, meta: Meta) => void;
    /** After a start or a reconnect everything that was missed on these channels is there, and follows. */
    onRecovered?: (channels: string[]) => void;
    /** Messages on this channel were missed, and can't be had. */
    onGap?: (channel: string) => void;
    /** Something that was asked for is not granted. */
    onRefused?: (reason: string, refusal: Refusal) => void;
    /** A message was not sent: `maxQueue` messages wait already, or the subscription has ended. */
    onDropped?: (message: Sendable) => void;
    /** The token of a page, which says where to begin. */
    from?: string;
    /** Whether own messages are wanted, too. */
    echo?: boolean;
    /** Where positions are kept over reloads of the page; by default nowhere. */
    storage?: "session";
    binaryType?: BinaryType;
    /** Messages kept while there is no connection; default 100. */
    maxQueue?: number;
}
export declare class Subscription {
    private readonly place;
    readonly facility: string;
    private readonly options;
    private readonly owner;
    private readonly environment;
    /** The answer of the server; fails if there is none, or a refusal. */
    readonly ready: Promise<Granted>;
    readonly key: string;
    private readonly flags;
    private readonly reader;
    private readonly queue;
    private isAnswered;
    private isOver;
    private begin;
    private resolve;
    private reject;
    /**
     * Publish on the channels that were granted, or keep it until there is a connection.
     *
     * Returns false if it was dropped: too many wait already, or the subscription has ended.
     */
    publish(message: Sendable): boolean;
    /** Follow it no longer. */
    unsubscribe(): void;
    private enter;
    private concerns;
    private take;
    private answered;
    /** Other subscriptions of the same facility may have asked for more. */
    private ownPart;
    private wants;
    private createReader;
    private call;
}
export interface SocketOptions extends Common {
    /** Text that server and client send each other to see that the other one is there. */
    heartbeat?: string | null;
    /** One socket for all tabs of the browser that have the same `uri` and `identity`. */
    shared?: boolean;
    /** Who uses the page, such as the id of the user: tabs with another identity share nothing. */
    identity?: string | number;
    /** The state changed. */
    onState?: (state: StateName) => void;
}
export declare class Socket {
    private readonly uri;
    private readonly options;
    private readonly environment;
    private readonly tab;
    private readonly subscriptions;
    private readonly backend;
    private current;
    private isFinal;
    private unwake;
    constructor(uri: string, options?: SocketOptions, environment?: Environment);
    /** Where the websocket is, by name. */
    get state(): StateName;
    /**
     * Subscribe the channels of a facility.
     *
     * The facility is a name, then `channels` says what is wanted of it, or what `page()` returns.
     */
    subscribe(facility: string | Page, options?: SubscriptionOptions): Subscription;
    /** Close the websocket for good; other tabs keep theirs. */
    close(): void;
    private createBackend;
    private createHub;
    private hear;
    private end;
    private changed;
}
/** Open one websocket for many facilities; it connects with the first subscription. */
export declare function connect(uri: string | Page, options?: SocketOptions): Socket;
