// One socket for many facilities and, if they share it, many tabs.
//
// What it gets goes to all tabs, and each subscription takes what it has not seen yet.
import type { Kind } from "./attempts";
import { backoff } from "./backoff";
import { type Answer, type Frame, RAW } from "./frames";
import { Group } from "./group";
import { Link } from "./link";
import type { Member, News, Wish } from "./messages";
import type { Common, Data, Environment, Sendable, StateName } from "./options";
import { address } from "./page";
import { withQuery, withSince } from "./positions";

export interface HubOptions extends Common {
  /** Address of all websockets, such as `wss://example.com/ws/`. */
  uri: string;
  heartbeat: string | null | undefined;
}

/** Commands whose senders are remembered, should they be refused. */
const REMEMBERED = 200;
const RETRY = { minDelay: 2000, maxDelay: 30000 };

export class Hub {
  private readonly groups = new Map<string, Group>();
  private readonly channels = new Map<string, string>();
  private readonly publishers = new Map<number, string>();
  private readonly timers = new Set<ReturnType<typeof setTimeout>>();
  private link: Link | undefined;
  private first = "";
  private isUp = false;
  private number = 0;
  private failures = 0;

  constructor(
    private readonly options: HubOptions,
    private readonly tell: (news: News) => void,
    private readonly environment: Environment,
  ) {}

  /** Do what a tab wants. */
  wish(wish: Wish): void {
    if (wish.wish === "subscribe") {
      this.subscribe(wish.member);
    } else if (wish.wish === "unsubscribe") {
      this.remove((group) => group.remove(wish.key));
    } else if (wish.wish === "publish") {
      this.publish(wish.key, wish.payload);
    } else {
      this.link?.connect();
    }
  }

  /** A tab is gone. */
  leave(tab: string): void {
    this.remove((group) => group.removeTab(tab));
  }

  /** Close the socket for good. */
  close(): void {
    this.groups.clear();
    this.rest();
  }

  get state(): StateName {
    return this.link?.stateName ?? "closed";
  }

  private subscribe(member: Member): void {
    const group = this.groups.get(member.facility) ?? new Group(member.facility);
    this.groups.set(member.facility, group);
    group.add(member);
    if (!this.link) {
      this.link = this.createLink();
      this.link.connect();
    } else if (this.isUp) {
      this.join(group, member);
    }
  }

  private join(group: Group, member: Member): void {
    if (this.link?.isRaw) {
      this.joinRaw(member);
      return;
    }
    const answer = group.answerFor(member);
    if (!answer) {
      this.ask(group);
      return;
    }
    const { key, facility } = member;
    this.tell({ news: "answer", keys: [key], answer });
    for (const [head, payload] of group.lastsFor(member)) {
      this.tell({ news: "message", facility, head, payload, key });
    }
  }

  private ask(group: Group): void {
    const id = this.nextNumber();
    const { facility } = group;
    const { channels, since, from } = group.ask(id);
    const command = { type: "subscribe" as const, id, facility, channels, since, echo: true };
    this.link?.send(from === undefined ? command : { ...command, from });
  }

  private publish(key: string, payload: Sendable): void {
    const group = [...this.groups.values()].find((one) => one.has(key));
    if (!group?.isAnswered || !this.send(group.facility, key, payload)) {
      this.tell({ news: "unsent", key, payload });
    }
  }

  private send(facility: string, key: string, payload: Sendable): boolean {
    if (this.link?.isRaw) {
      return this.link.sendRaw(payload);
    }
    const id = this.nextNumber();
    this.publishers.set(id, key);
    this.publishers.delete(id - REMEMBERED);
    return this.link?.send({ type: "publish", id, facility }, payload) ?? false;
  }

  private remove(remove: (group: Group) => void): void {
    for (const group of [...this.groups.values()]) {
      remove(group);
      if (group.isEmpty) {
        this.drop(group);
      }
    }
    this.restIfUnwanted();
  }

  private drop({ facility }: Group): void {
    this.groups.delete(facility);
    this.unsubscribe(facility);
  }

  private unsubscribe(facility: string): void {
    this.link?.send({ type: "unsubscribe", id: this.nextNumber(), facility });
  }

  /** Where nobody wants anything, there is no socket. */
  private restIfUnwanted(): void {
    if (!this.groups.size) {
      this.rest();
    }
  }

  private rest(): void {
    const { link } = this;
    this.link = undefined;
    this.down();
    link?.close();
  }

  private down(): void {
    this.isUp = false;
    this.channels.clear();
    this.timers.forEach(clearTimeout);
    this.timers.clear();
  }

  private createLink(): Link {
    const link: Link = new Link(
      {
        ...this.options,
        speaksV1: true,
        uri: (kind) => this.address(kind),
        locate: (facility, flags) => this.locate(facility, [...flags, "echo"]),
      },
      {
        // One that is not wanted any more may end after the next one has begun.
        onState: (state) => (this.link ?? link) === link && this.tell({ news: "state", state }),
        onRaw: () => this.becomeRaw(),
        onFrame: (frame) => this.take(frame),
        onRawMessage: (data) => this.pass(data),
        onLost: () => this.lost(link),
      },
      this.environment,
    );
    return link;
  }

  private locate(facility: string, flags: string[]): string {
    return address(this.options.uri, facility, flags);
  }

  /** Return the address for the next attempt: of another facility, if one was refused. */
  private address(kind: Kind): string {
    const groups = [...this.groups.values()];
    const group = groups[this.failures % groups.length] ?? new Group("");
    this.first = group.facility;
    const { channels, since, from } = group.ask(0);
    const uri = this.locate(group.facility, channels);
    return kind === "plain" ? uri : withSince(withQuery(uri, ["echo"]), since, from);
  }

  private take({ head, payload }: Frame): void {
    if (head.type === "message" || head.type === "gap") {
      const named = head.type === "message" ? head.facility : undefined;
      const facility = named ?? this.channels.get(head.channel) ?? "";
      this.groups.get(facility)?.advance(head, payload);
      this.tell(
        head.type === "gap"
          ? { news: "gap", facility, head }
          : { news: "message", facility, head, payload },
      );
    } else if (head.type === "welcome") {
      this.opened(head);
    } else if (head.type === "subscribed") {
      this.answered(head, head.id ?? 0);
    } else if (head.type === "refused") {
      this.refused(head.id ?? 0, head.status, head.reason);
    }
  }

  private opened(answer: Answer): void {
    this.isUp = true;
    this.failures = 0;
    // What the server calls it is what we asked for.
    this.answered({ ...answer, facility: this.first }, 0);
    if (!this.groups.has(this.first)) {
      // Who wanted it left while it connected.
      this.unsubscribe(this.first);
    }
    this.groups.forEach((group) => this.catchUp(group));
  }

  /** Serve those who came while there was no connection, or after the first words on it. */
  private catchUp(group: Group): void {
    for (const member of group.unasked) {
      // One question may have been for all of them.
      if (group.unasked.includes(member)) {
        this.join(group, member);
      }
    }
  }

  private answered(answer: Answer, id: number): void {
    const group = this.groups.get(answer.facility);
    if (!group || group.id !== id) {
      // Meanwhile it was asked for anew, or nobody wants it any more.
      return;
    }
    for (const channel of Object.keys(answer.channels)) {
      this.channels.set(channel, answer.facility);
    }
    this.tell({ news: "answer", keys: group.answered(answer), answer });
  }

  private refused(id: number, status: number, reason: string): void {
    const publisher = this.publishers.get(id);
    const group = [...this.groups.values()].find((one) => one.id === id);
    if (publisher !== undefined) {
      this.tell({ news: "refused", keys: [publisher], status, reason, isOver: false });
    } else if (group && (status === 429 || status >= 500)) {
      // The server has left what it was.
      group.lost();
      this.later(() => this.groups.get(group.facility) === group && group.id < 0 && this.ask(group));
    } else if (group) {
      this.tell({ news: "refused", keys: group.keys, status, reason, isOver: true });
      this.groups.delete(group.facility);
      this.restIfUnwanted();
    }
  }

  private later(todo: () => void): void {
    const delay = backoff(1, RETRY, this.environment.random);
    this.timers.add(setTimeout(todo, delay));
  }

  /** The server does not know `ws4redis.v1`: there is one facility, and no names of channels. */
  private becomeRaw(): void {
    this.isUp = true;
    const facility = this.first;
    this.answered({ ...RAW, facility }, this.groups.get(facility)?.id ?? 0);
    this.groups.forEach((group) => this.catchUp(group));
  }

  private joinRaw({ key, facility }: Member): void {
    if (facility === this.first) {
      this.tell({ news: "answer", keys: [key], answer: { ...RAW, facility } });
      return;
    }
    const reason = "The server does not speak ws4redis.v1.";
    this.tell({ news: "refused", keys: [key], status: 501, reason, isOver: true });
    this.remove((group) => group.remove(key));
  }

  private pass(data: Data): void {
    const head = { type: "message" as const, channel: "" };
    this.tell({ news: "message", facility: this.first, head, payload: data });
  }

  private lost(link: Link): void {
    if (this.link !== link) {
      return;
    }
    this.failures += this.isUp ? 0 : 1;
    this.down();
    this.groups.forEach((group) => group.lost());
    this.tell({ news: link.isFinal ? "final" : "lost" });
  }

  private nextNumber(): number {
    this.number += 1;
    return this.number;
  }
}
