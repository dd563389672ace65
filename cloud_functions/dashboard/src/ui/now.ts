import {useEffect, useState} from "preact/hooks";

const TICK_MS = 5_000;
const listeners = new Set<(nowMs: number) => void>();

window.setInterval(() => {
  if (document.hidden) return;
  const now = Date.now();
  for (const listener of listeners) listener(now);
}, TICK_MS);

/** Return the present time, and draw again every few seconds. */
export function useNow(): number {
  const [, tick] = useState(0);
  useEffect(() => {
    listeners.add(tick);
    return () => {
      listeners.delete(tick);
    };
  }, []);
  return Date.now();
}
