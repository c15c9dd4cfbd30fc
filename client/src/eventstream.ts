// Stands in for a websocket where only HTTP gets through: listens to an EventSource, and posts.
//
// It takes the commands of `ws4redis.v1`, and its messages are frames of it, so whoever uses it need
// not know. Each facility has an EventSource of its own.
import type { Socket } from "./connection";
import type { Answer, Command, Head, RefusedHead } from "./frames";
import type { Data, Environment, Sendable } from "./options";
import { withQuery, withSince } from "./positions";

/** A command, and what it publishes. */
export interface Order {
  command: Command;
  payload: Sendable | undefined;
}

export interface EventOptions {
  /** Address of the first facility, as for a websocket. */
  uri: string;
  /** Returns the address of another facility. */
  locate: (facility: string, flags: string[]) => string;
  /** Django's token for requests that change something. */
  csrfToken: () => string;
  /** Is told of what could not be posted, perhaps after the stream has ended. */
  unposted: (head: RefusedHead) => void;
}

type Surroundings = Pick<Environment, "EventSource" | "fetch">;

export class EventStream implements Socket<Order> {
  readonly protocol = "";
  onopen: Socket<Order>["onopen"] = null;
  onmessage: Socket<Order>["onmessage"] = null;
  onclose: Socket<Order>["onclose"] = null;
  private readonly sources = new Set<EventSource>();
  private readonly facilities = new Map<string, { uri: string; source: EventSource }>();
  private posted: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: EventOptions,
    private readonly environment: Surroundings,
  ) {
    const source = this.listen(options.uri);
    source.onopen = (event) => this.onopen?.(event);
  }

  send({ command, payload }: Order): void {
    if (command.type === "subscribe") {
      this.subscribe(command);
    } else if (command.type === "unsubscribe") {
      this.unsubscribe(command.facility);
      this.emit({ type: "unsubscribed", id: command.id, facility: command.facility });
    } else {
      // One after the other, so that they stay in order.
      this.posted = this.posted.then(() => this.post(command.id, command.facility, payload ?? ""));
    }
  }

  close(): void {
    this.end(1000);
  }

  private subscribe(command: Command & { type: "subscribe" }): void {
    this.unsubscribe(command.facility);
    const uri = this.options.locate(command.facility, command.channels);
    const where = withSince(uri, command.since, command.from);
    const source = this.listen(where, command.id);
    this.facilities.set(command.facility, { uri: where, source });
  }

  private unsubscribe(facility: string): void {
    const known = this.facilities.get(facility);
    this.facilities.delete(facility);
    if (known) {
      this.sources.delete(known.source);
      known.source.close();
    }
  }

  private listen(uri: string, id?: number): EventSource {
    const { EventSource } = this.environment;
    if (!EventSource) {
      throw new Error("There is no EventSource");
    }
    const source = new EventSource(overHttp(uri));
    this.sources.add(source);
    const pass = (event: MessageEvent<string>) => this.pass(event.data);
    source.onmessage = pass;
    source.addEventListener("gap", pass);
    source.addEventListener("closing", pass);
    source.addEventListener("welcome", (event: MessageEvent<string>) =>
      this.welcome(source, uri, event.data, id),
    );
    source.onerror = () => this.fail(source, id);
    return source;
  }

  private welcome(source: EventSource, uri: string, data: string, id: number | undefined): void {
    const head = JSON.parse(data) as Answer;
    this.facilities.set(head.facility, { uri, source });
    this.emit(id === undefined ? head : { ...head, type: "subscribed", id });
  }

  /** A stream has ended, or was refused: then the others go on without it. */
  private fail(source: EventSource, id: number | undefined): void {
    if (!this.sources.has(source)) {
      return;
    }
    if (id === undefined || source.readyState !== 2) {
      this.end(1006);
      return;
    }
    this.sources.delete(source);
    void this.ask(source.url).then((status) => this.refuse(id, status, "The event stream was refused."));
  }

  /** Return why a stream was refused, which no EventSource tells; 503 if that has passed. */
  private async ask(url: string): Promise<number> {
    const request = { method: "HEAD", headers: { Accept: "text/event-stream" } };
    try {
      const { ok, status } = await this.environment.fetch(url, request);
      return ok ? 503 : status;
    } catch {
      return 503;
    }
  }

  private async post(id: number, facility: string, payload: Sendable): Promise<void> {
    const known = this.facilities.get(facility);
    if (!known) {
      this.unposted(id, 404, "This facility is not subscribed.");
      return;
    }
    try {
      const answer = await this.environment.fetch(overHttp(bare(known.uri)), this.request(payload));
      if (!answer.ok) {
        this.unposted(id, answer.status, await answer.text());
      }
    } catch {
      this.unposted(id, 503, "The message could not be posted.");
    }
  }

  private unposted(id: number, status: number, reason: string): void {
    this.options.unposted({ type: "refused", id, status, reason });
  }

  private request(payload: Sendable): RequestInit {
    const type = typeof payload === "string" ? "text/plain" : "application/octet-stream";
    return {
      method: "POST",
      body: payload,
      credentials: "include",
      headers: { "Content-Type": type, "X-CSRFToken": this.options.csrfToken() },
    };
  }

  private refuse(id: number, status: number, reason: string): void {
    const head: RefusedHead = { type: "refused", id, status, reason };
    this.emit(head);
  }

  private emit(head: Head): void {
    this.pass(JSON.stringify(head));
  }

  private pass(data: Data): void {
    this.onmessage?.({ data } as MessageEvent<Data>);
  }

  private end(code: number): void {
    for (const source of this.sources) {
      source.close();
    }
    this.sources.clear();
    this.onclose?.({ code, reason: "", wasClean: code === 1000 } as CloseEvent);
  }
}

function overHttp(uri: string): string {
  return uri.replace(/^ws/, "http");
}

/** Return the address without where to begin. */
function bare(uri: string): string {
  const [path = "", query = ""] = uri.split("?");
  const pairs = query.split("&").filter((pair) => pair && !/^(since|from)=/.test(pair));
  return withQuery(path, pairs);
}

/** Return Django's token from its cookie; empty if there is none. */
export function tokenOfCookie(): string {
  const cookies = typeof document === "undefined" ? "" : document.cookie;
  const found = /(?:^|;\s*)csrftoken=([^;]*)/.exec(cookies);
  return found?.[1] ? decodeURIComponent(found[1]) : "";
}
