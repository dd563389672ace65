import type {Resolution} from "../api/types";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const MAX_POINTS = 10_000;
/** Shortest and longest range of a chart. */
export const MIN_SPAN_MS = MINUTE_MS;
export const MAX_SPAN_MS = 2 * 366 * DAY_MS;

const WIDTHS: readonly [Resolution, number][] = [["15m", 15 * MINUTE_MS], ["1h", 60 * MINUTE_MS], ["1d", DAY_MS]];
/** Roll-ups are used only where they give at least this number of rows; finer ones are shown below that. */
const ENOUGH_ROWS = 700;

export interface Range {
  from: number;
  to: number;
}

/**
 * Return the resolution to request for a range: raw rows while their expected number is at most MAX_POINTS, then the
 * coarsest roll-up with at least ENOUGH_ROWS rows.
 */
export function chooseResolution(spanMs: number, rawWidthMs: number): Resolution {
  if (spanMs / Math.max(1, rawWidthMs) <= MAX_POINTS) return "raw";
  let chosen: Resolution = "15m";
  for (const [name, width] of WIDTHS) {
    if (spanMs / width >= ENOUGH_ROWS) chosen = name;
  }
  return chosen;
}

/** Return the next coarser resolution, or null. */
export function coarser(resolution: Resolution): Resolution | null {
  const order: Resolution[] = ["raw", "15m", "1h", "1d"];
  return order[order.indexOf(resolution) + 1] ?? null;
}

/** Return a range of an allowed length that does not begin before 1970. */
export function clampRange(range: Range): Range {
  const span = Math.min(MAX_SPAN_MS, Math.max(MIN_SPAN_MS, range.to - range.from));
  const middle = (range.from + range.to) / 2;
  const from = Math.max(0, Math.round(middle - span / 2));
  return {from, to: from + Math.round(span)};
}

/** Return the range moved by a fraction of its length. */
export function pan(range: Range, fraction: number): Range {
  const shift = Math.round((range.to - range.from) * fraction);
  return clampRange({from: range.from + shift, to: range.to + shift});
}

/** Return the range scaled by a factor around the time at `anchor`, 0 for its begin and 1 for its end. */
export function zoom(range: Range, factor: number, anchor = 0.5): Range {
  const span = range.to - range.from;
  const wanted = Math.min(MAX_SPAN_MS, Math.max(MIN_SPAN_MS, span * factor));
  const fixed = range.from + span * anchor;
  return clampRange({from: Math.round(fixed - wanted * anchor), to: Math.round(fixed + wanted * (1 - anchor))});
}

/** Return the range to load so that a view can be moved by its own length before more is needed. */
export function loadRange(view: Range): Range {
  const span = view.to - view.from;
  return {from: Math.max(0, view.from - span), to: view.to + span};
}

/** True if loaded rows still serve a view: it lies within them, and they are not too coarse or too many. */
export function covers(loaded: Range, view: Range): boolean {
  const span = view.to - view.from;
  const size = loaded.to - loaded.from;
  return view.from >= loaded.from && view.to <= loaded.to && size <= 6 * span;
}
