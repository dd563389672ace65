import {useCallback, useEffect, useRef, useState} from "preact/hooks";
import {ApiError} from "./client";

export interface Polled<T> {
  value: T | undefined;
  error: ApiError | undefined;
  /** Load again now. */
  refresh: () => void;
}

const MAX_DELAY_MS = 60_000;

/** Return the delay before the next request: the interval, doubled with each failure in sequence. */
export function nextDelay(intervalMs: number, failures: number): number {
  return Math.min(MAX_DELAY_MS, intervalMs * 2 ** Math.min(failures, 10));
}

/**
 * Load a value now, again at the interval, and again after each change of `key`. A hidden page does not poll. The last
 * value stays while requests fail; `error` then has the reason.
 */
export function usePolling<T>(load: (signal: AbortSignal) => Promise<T>, intervalMs: number, key: string): Polled<T> {
  const [state, setState] = useState<{key: string; value?: T; error?: ApiError}>({key});
  const latest = useRef(load);
  latest.current = load;
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer: number | undefined;
    let failures = 0;
    const run = async (): Promise<void> => {
      if (document.hidden) return;
      try {
        const value = await latest.current(abort.signal);
        failures = 0;
        setState((before) =>
          before.key === key && before.value === value && !before.error ? before : {key, value});
      } catch (error) {
        if (abort.signal.aborted) return;
        failures += 1;
        const known = error instanceof ApiError ? error : new ApiError(0, String(error), []);
        setState((before) => (before.key === key ? {...before, error: known} : {key, error: known}));
      }
      if (!abort.signal.aborted) timer = window.setTimeout(run, nextDelay(intervalMs, failures));
    };
    const onVisible = (): void => {
      window.clearTimeout(timer);
      void run();
    };
    document.addEventListener("visibilitychange", onVisible);
    void run();
    return () => {
      document.removeEventListener("visibilitychange", onVisible);
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [key, intervalMs, turn]);
  const refresh = useCallback(() => setTurn((before) => before + 1), []);
  const current = state.key === key;
  return {value: current ? state.value : undefined, error: current ? state.error : undefined, refresh};
}
