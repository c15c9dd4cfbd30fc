// One facility on a shared socket: who wants it, and from where it has to be read for all of them.
import type { Answer, GapHead, MessageHead, Payload } from "./frames";
import type { Member } from "./messages";
import { isUpTo, type Since } from "./positions";

export class Group {
  /** The number of the last command that subscribed it. */
  id = -1;
  private readonly members = new Map<string, Member>();
  /** Where the socket is on each channel: everybody who was answered has all up to there. */
  private heads: Since = {};
  private readonly lasts = new Map<string, Payload>();
  private asked: Member[] = [];
  private waiting = new Set<string>();
  private answer: Answer | undefined;
  private flags: string[] = [];

  constructor(readonly facility: string) {}

  get isEmpty(): boolean {
    return this.members.size === 0;
  }

  get keys(): string[] {
    return [...this.members.keys()];
  }

  /** Whether messages can be published. */
  get isAnswered(): boolean {
    return this.answer !== undefined;
  }

  /** Those for whom the server was not asked. */
  get unasked(): Member[] {
    const waiting = [...this.members.values()].filter(
      (member) => this.id < 0 || this.waiting.has(member.key),
    );
    return waiting.filter((member) => !this.asked.includes(member));
  }

  has(key: string): boolean {
    return this.members.has(key);
  }

  add(member: Member): void {
    this.members.set(member.key, member);
    this.waiting.add(member.key);
  }

  remove(key: string): void {
    this.members.delete(key);
    this.waiting.delete(key);
  }

  removeTab(tab: string): void {
    for (const member of this.members.values()) {
      if (member.tab === tab) {
        this.remove(member.key);
      }
    }
  }

  /** Return what to ask the server for, so that nobody misses anything. */
  ask(id: number): { channels: string[]; since: Since; from: string | undefined } {
    this.id = id;
    this.asked = [...this.members.values()];
    this.flags = [...new Set(this.asked.flatMap((member) => member.flags))];
    const newcomers = this.asked.filter((member) => this.waiting.has(member.key));
    const from = newcomers.find((member) => this.mustTrust(member))?.from;
    const since = from ? {} : newcomers.map(startOf).reduce(earliest, this.heads);
    return { channels: this.flags, since, from };
  }

  /** Whether the server has to read the token of a member: nobody else is here, or only it can. */
  private mustTrust({ from, since, begin }: Member): boolean {
    const isAlone = this.asked.length === 1 && isEmpty(this.heads);
    return Boolean(from) && isEmpty(since) && (isAlone || !begin);
  }

  /** The server has subscribed it; return the keys of those who were waiting for that. */
  answered(answer: Answer): string[] {
    this.answer = answer;
    this.heads = {};
    for (const [channel, { position }] of Object.entries(answer.channels)) {
      if (position !== undefined) {
        this.heads[channel] = position;
      }
    }
    for (const { key } of this.asked) {
      this.waiting.delete(key);
    }
    return this.asked.map((member) => member.key).filter((key) => this.members.has(key));
  }

  /** A message, or a gap, went to everybody. */
  advance(head: MessageHead | GapHead, payload: Payload): void {
    if (!this.answer) {
      // It belongs to a subscription that was given up.
      return;
    }
    if (head.position !== undefined) {
      this.heads[head.channel] = head.position;
    }
    if (head.type === "message") {
      this.lasts.set(head.channel, payload);
    }
  }

  /** The connection was lost; everybody who was answered goes on from the heads. */
  lost(): void {
    this.id = -1;
    this.asked = [];
    this.answer = undefined;
  }

  /** Return the last message of each channel that is new for a member, as Redis would have it. */
  lastsFor(member: Member): [MessageHead, Payload][] {
    const since = startOf(member);
    return [...this.lasts]
      .filter(([channel]) => !(channel in since))
      .map(([channel, payload]) => [{ type: "message", channel, persisted: true }, payload]);
  }

  /** Return an answer without asking the server, if a member misses nothing up to here. */
  answerFor(member: Member): Answer | undefined {
    const { answer } = this;
    const since = startOf(member);
    const isGranted = member.flags.every((flag) => this.flags.includes(flag));
    const isHere = Object.entries(since).every(([channel, at]) => this.heads[channel] === at);
    if (!answer || !isGranted || !isHere || (member.from && isEmpty(since))) {
      return undefined;
    }
    this.waiting.delete(member.key);
    return { ...answer, channels: this.channelsFor(answer, since) };
  }

  private channelsFor(answer: Answer, since: Since): Answer["channels"] {
    const entries = Object.keys(answer.channels).map((channel) => {
      const position = this.heads[channel];
      const start = position === undefined ? {} : { position };
      return [channel, channel in since ? { ...start, recovered: true } : start];
    });
    return Object.fromEntries(entries);
  }
}

/** Return where a member begins: its own positions, or those in the token of its page. */
function startOf(member: Member): Since {
  return isEmpty(member.since) ? (member.begin ?? {}) : member.since;
}

function isEmpty(since: Since): boolean {
  return Object.keys(since).length === 0;
}

/** Return the earlier one of two positions of each channel. */
function earliest(one: Since, other: Since): Since {
  const merged = { ...one };
  for (const [channel, position] of Object.entries(other)) {
    const known = merged[channel];
    if (known === undefined || !isUpTo(known, position)) {
      merged[channel] = position;
    }
  }
  return merged;
}
