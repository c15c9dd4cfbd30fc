// One hub for all tabs: the tab that holds a lock has it, the others talk to it.
//
// The browser gives the lock to the next tab when the one that has it is gone, however it went. Each
// tab also has a lock of its own, so that the hub learns in the same way that a tab is gone.
import type { Hub } from "./hub";
import type { News, Wish } from "./messages";

type Letter = { tab: string; wish: Wish } | { news: News };

const LOST: Letter = { news: { news: "lost" } };

/** Return whether the browser has what is needed; it is only there over HTTPS and on localhost. */
export function canShare(): boolean {
  return typeof BroadcastChannel !== "undefined" && Boolean(globalThis.navigator?.locks);
}

export class Sharing {
  private readonly channel: BroadcastChannel;
  private readonly locks = navigator.locks;
  private readonly abort = new AbortController();
  private readonly watched = new Set<string>();
  private hub: Hub | undefined;
  private release: (() => void)[] = [];
  /** Wishes that wait until others can see that this tab is there. */
  private early: Wish[] | undefined = [];

  constructor(
    private readonly name: string,
    private readonly tab: string,
    private readonly createHub: (tell: (news: News) => void) => Hub,
    private readonly hear: (news: News) => void,
  ) {
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = (event: MessageEvent<Letter>) => this.read(event.data);
    // So that nobody posts wishes to a hub that is not there any more.
    globalThis.addEventListener("pagehide", () => this.hub && this.post(LOST));
    this.hold(this.lockOf(tab), () => this.arrived());
  }

  wish(wish: Wish): void {
    if (this.early) {
      this.early.push(wish);
    } else if (this.hub) {
      this.hub.wish(wish);
    } else {
      this.post({ tab: this.tab, wish });
    }
  }

  /** Leave; another tab takes over if this one has the hub. */
  close(): void {
    this.hub?.close();
    if (this.hub) {
      this.post(LOST);
    }
    this.hub = undefined;
    this.abort.abort();
    this.release.forEach((release) => release());
    this.channel.close();
  }

  private arrived(): void {
    const wishes = this.early ?? [];
    this.early = undefined;
    wishes.forEach((wish) => this.wish(wish));
    this.hold(this.name, () => this.lead());
  }

  private lead(): void {
    this.hub = this.createHub((news) => this.tell(news));
    // Who was never there needs not to be told; the others knew another hub, or none.
    this.tell({ news: "lead" });
  }

  /** Tell this tab and all others. */
  private tell(news: News): void {
    this.post({ news });
    this.hear(news);
  }

  private post(letter: Letter): void {
    // A websocket may end later than its hub.
    if (!this.abort.signal.aborted) {
      this.channel.postMessage(letter);
    }
  }

  private read(letter: Letter): void {
    if ("news" in letter) {
      this.hear(letter.news);
    } else if (this.hub) {
      this.watch(letter.tab);
      this.hub.wish(letter.wish);
      this.post({ news: { news: "state", state: this.hub.state } });
    }
  }

  /** Learn when a tab is gone. */
  private watch(tab: string): void {
    if (!this.watched.has(tab)) {
      this.watched.add(tab);
      this.request(this.lockOf(tab), () => this.hub?.leave(tab));
    }
  }

  private lockOf(tab: string): string {
    return `${this.name} ${tab}`;
  }

  /** Keep a lock, as soon as it can be had, until the end. */
  private hold(name: string, held: () => void): void {
    this.request(name, () => {
      held();
      return new Promise<void>((resolve) => this.release.push(resolve));
    });
  }

  private request(name: string, held: () => void | Promise<void>): void {
    const { signal } = this.abort;
    this.locks.request(name, { signal }, held).catch(() => undefined);
  }
}
