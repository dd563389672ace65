import {useEffect, useMemo, useRef, useState} from "preact/hooks";
import type {Alert, Forecast, Limits} from "../api/types";
import {useApp} from "../context";
import {quantityText} from "../format/number";
import {durationText, timeText} from "../format/time";
import {ChartControls} from "./controls";
import {ChartTable} from "./table";
import {addGestures, type GestureTarget} from "./gestures";
import {SeriesHistory, type Loaded} from "./history";
import {SeriesPlot} from "./plot";
import {append, drawn, summarise, type Drawn, type Rows} from "./rows";
import {clampRange, covers, loadRange, type Range} from "./resolution";
import {NO_USUAL, slotsOf, type Usual} from "./usual";

const LIVE_MS = 3_000;
const SETTLE_MS = 150;
const OVERLAP_MS = 120_000;
const RELOAD_MS = 60_000;

interface Properties {
  gateway: string;
  series: string;
  unit: string;
  rawWidthMs: number;
  alerts: readonly Alert[];
  limits: Limits;
  forecast: Forecast | null;
  /** Range at first; `null` for the last `spanMs` up to now. */
  range: Range | null;
  spanMs: number;
  onRange?: (range: Range, following: boolean) => void;
}

/** Chart of a series with its controls: loads rows as the view moves, and follows new ones. */
export function SeriesChart(given: Properties) {
  const {client} = useApp();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<SeriesPlot | null>(null);
  const rows = useRef<{loaded: Loaded | null; data: Drawn; fresh: Rows | null}>({loaded: null, data: [[], [], [], []], fresh: null});
  const view = useRef<Range>(given.range ?? {from: Date.now() - given.spanMs, to: Date.now()});
  const [following, setFollowing] = useState(given.range === null);
  const [shown, setShown] = useState<Range>(view.current);
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [problem, setProblem] = useState("");
  const [cursor, setCursor] = useState<number | null>(null);
  const [table, setTable] = useState(false);
  const [usual, setUsual] = useState<Usual>(NO_USUAL);
  const [withUsual, setWithUsual] = useState(true);
  const [reload, setReload] = useState(0);
  const loadedAt = useRef(0);
  const loading = useRef<{history: SeriesHistory; range: Range; abort: AbortController} | null>(null);
  const history = useMemo(
    () => new SeriesHistory(client, given.gateway, given.series, given.unit, given.rawWidthMs),
    [client, given.gateway, given.series, given.unit, given.rawWidthMs],
  );
  const settle = useRef<number | undefined>(undefined);
  const follow = useRef(following);
  follow.current = following;

  const overlays = {
    alerts: given.alerts, limits: given.limits, forecast: given.forecast, unit: given.unit, nowMs: Date.now(),
    last: lastOf(loaded?.rows), usual: withUsual ? usual : NO_USUAL,
  };

  const show = (range: Range, keepFollowing = false): void => {
    view.current = clampRange(range);
    plot.current?.setView(view.current);
    if (!keepFollowing) setFollowing(false);
    window.clearTimeout(settle.current);
    settle.current = window.setTimeout(() => {
      setShown(view.current);
      given.onRange?.(view.current, keepFollowing);
    }, SETTLE_MS);
  };
  const followNow = (): void => {
    setFollowing(true);
    const span = view.current.to - view.current.from;
    show({from: Date.now() - span, to: Date.now()}, true);
  };

  useEffect(() => {
    if (!host.current) return undefined;
    const element = host.current;
    const made = new SeriesPlot(element, overlays, view.current, setCursor);
    plot.current = made;
    const target: GestureTarget = {
      view: () => view.current,
      area: () => made.area(),
      show: (range) => show(range),
      follow: followNow,
      moveCursor: (step) => setCursor((before) => {
        const count = rows.current.data[0].length;
        const next = Math.min(count - 1, Math.max(0, (before ?? (step > 0 ? -1 : count)) + step));
        made.setCursor(next);
        return next;
      }),
    };
    const remove = addGestures(element, target);
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(element);
    const themes = new MutationObserver(() => made.resize());
    themes.observe(document.documentElement, {attributeFilter: ["data-theme"]});
    return () => {
      remove();
      observer.disconnect();
      themes.disconnect();
      window.clearTimeout(settle.current);
      loading.current?.abort.abort();
      loading.current = null;
      made.destroy();
      plot.current = null;
    };
  }, [given.gateway, given.series]);

  const draw = (next: Loaded): void => {
    const data = drawn(next.rows);
    rows.current = {loaded: next, data, fresh: null};
    plot.current?.setData(data);
    setLoaded(next);
  };

  useEffect(() => {
    const present = rows.current.loaded;
    // Rows of late batches and of the present hour's roll-up appear by loading the range again.
    const stale = Date.now() - loadedAt.current > RELOAD_MS;
    if (present && !stale && covers(present.range, shown)) return;
    // A chart that follows moves every few seconds: a slower request that serves the new view, too, is not repeated.
    if (loading.current?.history === history && covers(loading.current.range, shown)) return;
    loading.current?.abort.abort();
    const own = {history, range: loadRange(shown), abort: new AbortController()};
    loading.current = own;
    history.load(own.range, shown.to - shown.from, own.abort.signal)
      .then((next) => {
        if (own.abort.signal.aborted) return;
        setProblem("");
        loadedAt.current = Date.now();
        draw(next);
      })
      .catch((error: unknown) => {
        if (!own.abort.signal.aborted) setProblem(String(error instanceof Error ? error.message : error));
      })
      .finally(() => {
        if (loading.current === own) loading.current = null;
      });
  }, [history, shown.from, shown.to, reload]);

  useEffect(() => {
    if (!following) return undefined;
    const abort = new AbortController();
    const timer = window.setInterval(() => {
      if (document.hidden) return;
      const span = view.current.to - view.current.from;
      show({from: Date.now() - span, to: Date.now()}, true);
      const present = rows.current.loaded;
      const last = present?.rows.start.at(-1);
      // Late readings revise windows that were drawn already.
      const overlap = Math.max(OVERLAP_MS, 30 * given.rawWidthMs);
      if (present && Date.now() - loadedAt.current > RELOAD_MS) setReload((before) => before + 1);
      if (!present || present.resolution !== "raw") return;
      history.since(Math.max(present.range.from, (last ?? 0) - overlap), Date.now(), abort.signal)
        .then((tail) => {
          setProblem("");
          if (tail.start.length && follow.current) {
            draw({...present, range: {from: present.range.from, to: Math.max(present.range.to, Date.now())}, rows: append(present.rows, tail)});
          }
        })
        .catch((error: unknown) => {
          if (!abort.signal.aborted) setProblem(String(error instanceof Error ? error.message : error));
        });
    }, LIVE_MS);
    return () => {
      window.clearInterval(timer);
      abort.abort();
    };
  }, [following, history]);

  const slots = slotsOf(shown);
  useEffect(() => {
    if (!withUsual) return undefined;
    const abort = new AbortController();
    // The chart is of use without the usual range: its rows report a failing API.
    history.usual(slots, abort.signal).then(setUsual, () => {
      if (!abort.signal.aborted) setUsual(NO_USUAL);
    });
    return () => abort.abort();
  }, [history, withUsual, slots.from, slots.to]);

  useEffect(() => plot.current?.setOverlays(overlays), [given.alerts, given.limits, given.forecast, loaded, usual, withUsual]);

  const summary = loaded ? summarise(loaded.rows, shown.from, shown.to) : null;
  const span = shown.to - shown.from;
  const described = summary && summary.rows
    ? `${summary.rows} rows, minimum ${quantityText(summary.min, given.unit)}, mean ${quantityText(summary.mean, given.unit)}, maximum ${quantityText(summary.max, given.unit)}`
    : loaded ? "no rows in this range" : "loading";
  const inView = given.alerts.filter((alert) => alert.onset_ms < shown.to && (alert.ended_ms ?? Date.now()) > shown.from);
  return (
    <section class="chart" aria-label={`Chart of ${given.series}`}>
      <ChartControls
        following={following} span={span} table={table} onFollow={followNow}
        onSpan={(ms) => show({from: following ? Date.now() - ms : (shown.from + shown.to - ms) / 2, to: following ? Date.now() : (shown.from + shown.to + ms) / 2}, following)}
        view={() => view.current} onShow={(range) => show(range)} onTable={() => setTable(!table)}
        usual={withUsual} onUsual={() => setWithUsual(!withUsual)} forecast={forecastRange(given.forecast, Date.now())}
      />
      <div
        ref={host} class="plot" tabIndex={0} role="img"
        aria-label={`${given.series} from ${timeText(shown.from)} to ${timeText(shown.to)}: ${described}; ${inView.length} alerts. Arrow keys move, plus and minus zoom, shift and arrow read single rows, End follows.`}
      />
      <p class="readout" aria-live="polite">{readout(rows.current.data, cursor, given.unit)}</p>
      <p class="caption">
        {timeText(shown.from)} to {timeText(shown.to)} ({durationText(span)}) · {described}
        {loaded && ` · ${loaded.resolution === "raw" ? "raw windows" : `roll-ups of ${loaded.resolution}`}`}
        {loaded?.older && `, before that roll-ups of ${loaded.older}`}
        {limitsText(given.limits, given.unit)}
        {withUsual && usual.start.length > 0 && " · green: usual range at this time of day"}
      </p>
      {problem && <p class="problem" role="alert">{problem}</p>}
      {table && loaded && <ChartTable rows={loaded.rows} range={shown} unit={given.unit} />}
    </section>
  );
}

/** Return the limits as a part of the caption. */
function limitsText(limits: Limits, unit: string): string {
  const known = (["high", "low"] as const).filter((side) => typeof limits[side] === "number");
  return known.map((side) => ` · ${side} limit ${quantityText(limits[side], unit)}`).join("");
}

/** Return a range with recent rows and the whole of a forecast, or null without an estimate. */
export function forecastRange(forecast: Forecast | null, nowMs: number): Range | null {
  const ends = (forecast?.limits ?? []).flatMap((entry) => (entry.estimate ? [entry.estimate.late_ms] : []));
  if (ends.length === 0) return null;
  const ahead = Math.max(60_000, Math.max(...ends) - nowMs);
  return {from: Math.round(nowMs - 2 * ahead), to: Math.round(nowMs + 1.15 * ahead)};
}

function lastOf(rows: Rows | undefined): {ms: number; value: number} | null {
  const at = (rows?.start.length ?? 0) - 1;
  const value = rows?.mean[at];
  return rows && at >= 0 && typeof value === "number" ? {ms: rows.start[at] as number, value} : null;
}

function readout(data: Drawn, at: number | null, unit: string): string {
  const ms = at === null ? undefined : data[0][at];
  if (ms === undefined || at === null || data[3][at] === null) return "\u00a0";
  return `${timeText(ms)}  mean ${quantityText(data[3][at], unit)}, min ${quantityText(data[1][at], unit)}, max ${quantityText(data[2][at], unit)}`;
}
