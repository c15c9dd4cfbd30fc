// What tabs and the hub say to each other; all of it can be posted from one tab to another.
import type { Answer, GapHead, MessageHead, Payload } from "./frames";
import type { Data, Sendable, StateName } from "./options";
import type { Since } from "./positions";

/** A tab wants something of the hub. */
export type Wish =
  | { wish: "subscribe"; member: Member }
  | { wish: "unsubscribe"; key: string }
  | { wish: "publish"; key: string; payload: Sendable }
  /** Somebody looks at the tab, or the network is back: wait no longer. */
  | { wish: "connect" };

/** One subscription of one tab. */
export interface Member {
  /** Unique among all tabs. */
  key: string;
  /** The tab. */
  tab: string;
  facility: string;
  flags: string[];
  /** Where it was, by channel. */
  since: Since;
  /** The token of a page, where it knows no more than that. */
  from: string | undefined;
  /** What the token says; undefined if it can't be read here. */
  begin: Since | undefined;
}

/** The hub tells all tabs what happened. */
export type News =
  | { news: "state"; state: StateName }
  | { news: "answer"; keys: string[]; answer: Answer }
  /** With a key it is for that subscription only. */
  | { news: "message"; facility: string; head: MessageHead; payload: Payload | Data; key?: string }
  | { news: "gap"; facility: string; head: GapHead }
  | { news: "refused"; keys: string[]; status: number; reason: string; isOver: boolean }
  /** A message could not be sent now. */
  | { news: "unsent"; key: string; payload: Sendable }
  /** There is no connection any more; it will come back. */
  | { news: "lost" }
  /** There is another hub, which knows nothing: who wants to go on subscribes again. */
  | { news: "lead" }
  /** It will not come back. */
  | { news: "final" };
