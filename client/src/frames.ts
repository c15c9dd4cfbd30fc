// The frames of the subprotocol `ws4redis.v1`: a line of JSON, the head, and behind it the payload.
import type { Sendable } from "./options";

export const PROTOCOL = "ws4redis.v1";

/** How a channel begins. */
export interface Start {
  /** Where it is before the messages that follow; absent without a history. */
  position?: string;
  /** Whether everything since the given position is there; absent if none was given. */
  recovered?: boolean;
}

/** The server has subscribed a facility. */
export interface Answer {
  type: "welcome" | "subscribed";
  id?: number;
  facility: string;
  channels: Record<string, Start>;
  publishes: string[];
  refused: Record<string, string>;
}

/** What stands for an answer where the server does not speak it: one channel without a name. */
export const RAW: Answer = {
  type: "welcome",
  facility: "",
  channels: { "": {} },
  publishes: [],
  refused: {},
};

export interface MessageHead {
  type: "message";
  /** Empty for what the site itself sends to a subscriber. */
  channel: string;
  /** Instead of the channel: whose subscriber it is for. */
  facility?: string;
  position?: string;
  persisted?: boolean;
  base64?: boolean;
  /** Whether what is in base64 is text. */
  text?: boolean;
}

export interface GapHead {
  type: "gap";
  channel: string;
  position?: string;
}

export interface RefusedHead {
  type: "refused";
  id?: number;
  status: number;
  reason: string;
}

export interface ClosingHead {
  type: "closing";
  code: number;
  reconnect: boolean;
  delay?: number;
  reason: string;
}

export type Head =
  | Answer
  | MessageHead
  | GapHead
  | RefusedHead
  | ClosingHead
  | { type: "unsubscribed"; id: number; facility: string };

/** What a client says. */
export type Command =
  | {
      type: "subscribe";
      id: number;
      facility: string;
      channels: string[];
      since: Record<string, string>;
      echo: boolean;
      from?: string;
    }
  | { type: "unsubscribe"; id: number; facility: string }
  | { type: "publish"; id: number; facility: string };

export type Payload = string | ArrayBuffer;

export interface Frame {
  head: Head;
  payload: Payload;
}

/** Return what a websocket sends for a command. */
export function encode(command: Command, payload?: Sendable): Sendable {
  const line = JSON.stringify(command);
  if (payload === undefined) {
    return line;
  }
  return typeof payload === "string" ? `${line}\n${payload}` : new Blob([`${line}\n`, payload]);
}

/** Return the frame that arrived; undefined if it is none. */
export function decode(data: Payload): Frame | undefined {
  const [line, payload] = split(data);
  const head = parse(line);
  if (head?.type === "message" && head.base64 && typeof payload === "string") {
    const bytes = fromBase64(payload);
    // A byte order mark is part of the message.
    const text = () => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    return { head, payload: head.text ? text() : bytes };
  }
  return head && { head, payload };
}

function split(data: Payload): [string, Payload] {
  if (typeof data === "string") {
    const end = data.indexOf("\n");
    return end < 0 ? [data, ""] : [data.slice(0, end), data.slice(end + 1)];
  }
  const bytes = new Uint8Array(data);
  const found = bytes.indexOf(10);
  const end = found < 0 ? bytes.length : found;
  return [new TextDecoder().decode(bytes.subarray(0, end)), data.slice(end + 1)];
}

function parse(line: string): Head | undefined {
  try {
    const head: unknown = JSON.parse(line);
    if (typeof head !== "object" || head === null || !("type" in head)) {
      return undefined;
    }
    return head.type === "message" ? ({ channel: "", ...head } as MessageHead) : (head as Head);
  } catch {
    return undefined;
  }
}

function fromBase64(text: string): ArrayBuffer {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}
