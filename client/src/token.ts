// What the token of a page says. The server has signed it, but it is no secret.
import type { Since } from "./positions";

/** Return the positions in a token; undefined if it can't be read here. */
export async function positionsIn(token: string): Promise<Since | undefined> {
  try {
    // With a dot before it, it is compressed.
    const [, dot, encoded = ""] = /^(\.?)([^:]*):/.exec(token) ?? [];
    const bytes = fromBase64(encoded);
    const text = new TextDecoder().decode(dot ? await inflate(bytes) : bytes);
    return (JSON.parse(text) as { p: Since }).p;
  } catch {
    return undefined;
  }
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const standard = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(standard), (character) => character.charCodeAt(0));
}

function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(inflated).arrayBuffer();
}
