// One websocket for many facilities: what a page uses of the ES module.
import { browser } from "./browser";
import { Hub, type HubOptions } from "./hub";
import type { News, Wish } from "./messages";
import type { Common, Environment, StateName } from "./options";
import type { Page } from "./page";
import { canShare, Sharing } from "./sharing";
import { Subscription, type SubscriptionOptions } from "./subscription";

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

/**
 * Where wishes go to.
 * @internal
 */
interface Backend {
  wish(wish: Wish): void;
  close(): void;
}

export class Socket {
  private readonly tab = unique();
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly backend: Backend;
  private current: StateName = "closed";
  private isFinal = false;
  private unwake: () => void = () => undefined;

  constructor(
    private readonly uri: string,
    private readonly options: SocketOptions = {},
    private readonly environment: Environment = browser(),
  ) {
    if (!uri) {
      throw new Error("No address for the websocket");
    }
    this.backend = this.createBackend();
  }

  /** Where the websocket is, by name. */
  get state(): StateName {
    return this.current;
  }

  /**
   * Subscribe the channels of a facility.
   *
   * The facility is a name, then `channels` says what is wanted of it, or what `page()` returns.
   */
  subscribe(facility: string | Page, options: SubscriptionOptions = {}): Subscription {
    const page = typeof facility === "string" ? undefined : facility;
    const subscription = new Subscription(
      { key: `${this.tab}.${unique()}`, tab: this.tab, uri: this.uri },
      page?.facility ?? (facility as string),
      { ...this.options, ...(page && { channels: page.channels, from: page.from }), ...options },
      { wish: (wish) => this.backend.wish(wish), forget: (key) => this.subscriptions.delete(key) },
      this.environment,
    );
    this.subscriptions.set(subscription.key, subscription);
    if (this.isFinal) {
      subscription.ended("The websocket is closed.");
    } else {
      subscription.start();
    }
    return subscription;
  }

  /** Close the websocket for good; other tabs keep theirs. */
  close(): void {
    [...this.subscriptions.values()].forEach((subscription) => subscription.unsubscribe());
    this.end();
  }

  private createBackend(): Backend {
    const { shared, identity } = this.options;
    const tell = (news: News) => this.hear(news);
    if (!shared) {
      return this.createHub(tell);
    }
    if (identity === undefined) {
      throw new Error("Tabs share a websocket only with an identity: whose it is");
    }
    if (!canShare()) {
      return this.createHub(tell);
    }
    const name = `ws4redis ${this.uri} ${identity}`;
    const sharing = new Sharing(name, this.tab, (all) => this.createHub(all), tell);
    // The tab with the hub may be hidden, and its timers slow.
    this.unwake = this.environment.onWakeup(() => sharing.wish({ wish: "connect" }));
    return sharing;
  }

  private createHub(tell: (news: News) => void): Hub & Backend {
    const { heartbeat } = this.options;
    const options: HubOptions = { ...this.options, uri: this.uri, heartbeat };
    return new Hub(options, tell, this.environment);
  }

  private hear(news: News): void {
    if (this.isFinal) {
      return;
    }
    if (news.news === "state") {
      this.changed(news.state);
    } else if (news.news === "final") {
      [...this.subscriptions.values()].forEach((one) => one.ended("The server closed it for good."));
      this.end();
    } else {
      [...this.subscriptions.values()].forEach((subscription) => subscription.hear(news));
    }
  }

  private end(): void {
    this.isFinal = true;
    this.unwake();
    this.backend.close();
    this.changed("closed");
  }

  private changed(state: StateName): void {
    if (this.current === state) {
      return;
    }
    this.current = state;
    try {
      this.options.onState?.(state);
    } catch (error) {
      this.environment.report(error);
    }
  }
}

/** Return a text that no other tab has. */
function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
}

/** Open one websocket for many facilities; it connects with the first subscription. */
export function connect(uri: string | Page, options: SocketOptions = {}): Socket {
  return typeof uri === "string"
    ? new Socket(uri, options)
    : new Socket(uri.uri, { heartbeat: uri.heartbeat, ...options });
}
