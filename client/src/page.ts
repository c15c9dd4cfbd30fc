// What the template tag `ws4redis_socket` has put into a page.

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
export function page(facility: string): Page {
  const element = document.getElementById(`ws4redis-${encodeURIComponent(facility)}`);
  if (!element?.textContent) {
    throw new Error(`The page says nothing of ${facility}: {% ws4redis_socket '${facility}' … %}`);
  }
  return JSON.parse(element.textContent) as Page;
}

/** @internal */
export function clientOptions(facility: string): PageOptions {
  const { uri, channels, from, heartbeat } = page(facility);
  return { uri: address(uri, facility, channels), heartbeat_msg: heartbeat, from, recover: true };
}

/**
 * Return the address of one facility.
 * @internal
 */
export function address(uri: string, facility: string, flags: string[]): string {
  const path = facility.split("/").map(encodeURIComponent).join("/");
  return `${uri}${path}${flags.length ? `?${flags.join("&")}` : ""}`;
}
