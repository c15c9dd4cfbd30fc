// Which close codes tell a client to stay away.

/** Return whether a client may come back: a server says "don't" with 1008 and with 4500 to 4999. */
export function mayReconnect(code: number): boolean {
  return code !== 1008 && !(code >= 4500 && code <= 4999);
}
