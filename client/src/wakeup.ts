// Tells when waiting any longer makes no sense: the network is back, or somebody looks at the page.

/** Call back on `online` and when the page becomes visible; return the unsubscriber. */
export function onWakeup(callback: () => void): () => void {
  if (typeof window === "undefined" || typeof document === "undefined") {
    return () => undefined;
  }
  const onVisible = () => {
    if (document.visibilityState === "visible") {
      callback();
    }
  };
  window.addEventListener("online", callback);
  document.addEventListener("visibilitychange", onVisible);
  return () => {
    window.removeEventListener("online", callback);
    document.removeEventListener("visibilitychange", onVisible);
  };
}
