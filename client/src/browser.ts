// What a browser offers to the client.
import type { Environment } from "./options";
import { onWakeup } from "./wakeup";

export function browser(): Environment {
  return {
    WebSocket: globalThis.WebSocket,
    EventSource: globalThis.EventSource,
    fetch: (uri, request) => globalThis.fetch(uri, request),
    storage: sessionStorageIfAny(),
    random: Math.random,
    now: () => performance.now(),
    onWakeup,
    report: (error) => console.error(error),
  };
}

function sessionStorageIfAny(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    // The user wants nothing to be stored.
    return undefined;
  }
}
