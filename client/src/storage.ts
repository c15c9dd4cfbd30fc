// Positions that survive a reload of the page.
import type { Environment } from "./options";
import { Positions, type Since } from "./positions";

type Store = Environment["storage"];

/**
 * Return the positions that were stored under a key, and are from now on. A page that `begins`
 * somewhere shows nothing of what came before.
 */
export function storedPositions(store: Store, key: string, begins: boolean): Positions {
  const save = (since: Since) => {
    try {
      store?.setItem(key, JSON.stringify(since));
    } catch {
      // It is full: then positions are only in memory.
    }
  };
  return new Positions(begins ? {} : load(store, key), save);
}

function load(store: Store, key: string): Since {
  try {
    return JSON.parse(store?.getItem(key) ?? "{}") as Since;
  } catch {
    return {};
  }
}
