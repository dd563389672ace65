import type {Aggregates} from "../api/types";

/** Rows of a series by start, as columns of equal length. */
export interface Rows {
  start: number[];
  width: number[];
  count: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
}

export const NO_ROWS: Rows = {start: [], width: [], count: [], mean: [], min: [], max: []};

/** Return the rows of an answer. */
export function rowsOf(answer: Aggregates): Rows {
  const column = (name: string): (number | null)[] => answer.columns[name] ?? [];
  return {
    start: column("start_ms") as number[],
    width: column("width_ms") as number[],
    count: column("count") as number[],
    mean: column("mean"),
    min: column("min"),
    max: column("max"),
  };
}

/** Return the rows of `before` that start earlier than the first of `after`, then those of `after`. */
export function append(before: Rows, after: Rows): Rows {
  const first = after.start[0];
  if (first === undefined) return before;
  const end = lowerBound(before.start, first);
  const join = <T>(head: T[], tail: T[]): T[] => head.slice(0, end).concat(tail);
  return {
    start: join(before.start, after.start),
    width: join(before.width, after.width),
    count: join(before.count, after.count),
    mean: join(before.mean, after.mean),
    min: join(before.min, after.min),
    max: join(before.max, after.max),
  };
}

/** Return the index of the first value that is not less than `wanted`. */
export function lowerBound(values: readonly number[], wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Return at most about `maxRows` rows: neighbours are combined into buckets of equal duration, with the least minimum,
 * the greatest maximum and the mean weighted by count, so that no extreme disappears.
 */
export function downsample(rows: Rows, maxRows: number): Rows {
  const n = rows.start.length;
  if (n <= maxRows || n < 2) return rows;
  const first = rows.start[0] as number;
  const last = (rows.start[n - 1] as number) + (rows.width[n - 1] as number);
  const step = Math.max(1, (last - first) / maxRows);
  const out: Rows = {start: [], width: [], count: [], mean: [], min: [], max: []};
  let at = 0;
  while (at < n) {
    const start = rows.start[at] as number;
    const end = first + (Math.floor((start - first) / step) + 1) * step;
    let until = at;
    let count = 0;
    let sum = 0;
    let min: number | null = null;
    let max: number | null = null;
    while (until < n && (until === at || (rows.start[until] as number) < end)) {
      const mean = rows.mean[until] as number | null;
      const weight = Math.max(1, rows.count[until] as number);
      if (mean !== null) {
        count += weight;
        sum += mean * weight;
      }
      const low = rows.min[until] as number | null;
      const high = rows.max[until] as number | null;
      if (low !== null && (min === null || low < min)) min = low;
      if (high !== null && (max === null || high > max)) max = high;
      until += 1;
    }
    out.start.push(start);
    out.width.push((rows.start[until - 1] as number) + (rows.width[until - 1] as number) - start);
    out.count.push(count);
    out.mean.push(count > 0 ? sum / count : null);
    out.min.push(min);
    out.max.push(max);
    at = until;
  }
  return out;
}

/** Columns to draw: times in ms, then minimum, maximum and mean; null where rows are missing. */
export type Drawn = [number[], (number | null)[], (number | null)[], (number | null)[]];

/**
 * Return rows as columns to draw, each value in the middle of its window. A null is inserted where the distance of two
 * neighbours is more than three times the usual one, so that no line crosses a gap.
 */
export function drawn(rows: Rows): Drawn {
  const out: Drawn = [[], [], [], []];
  const n = rows.start.length;
  const gap = 3 * usualStep(rows);
  for (let at = 0; at < n; at += 1) {
    const start = rows.start[at] as number;
    const width = rows.width[at] as number;
    const before = at > 0 ? (rows.start[at - 1] as number) : start;
    if (start - before > Math.max(gap, 3 * width)) {
      out[0].push(Math.round((before + start) / 2));
      out[1].push(null);
      out[2].push(null);
      out[3].push(null);
    }
    out[0].push(width > 1 ? start + width / 2 : start);
    out[1].push(rows.min[at] as number | null);
    out[2].push(rows.max[at] as number | null);
    out[3].push(rows.mean[at] as number | null);
  }
  return out;
}

/** Return the median distance between neighbours of about a thousand sampled rows, in ms; 0 for fewer than two. */
export function usualStep(rows: Rows): number {
  const n = rows.start.length;
  if (n < 2) return 0;
  const stride = Math.max(1, Math.floor(n / 1_000));
  const steps: number[] = [];
  for (let at = 1; at < n; at += stride) steps.push((rows.start[at] as number) - (rows.start[at - 1] as number));
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1] as number;
}

/** Summary of the rows within [from, to). */
export interface Summary {
  rows: number;
  min: number | null;
  max: number | null;
  mean: number | null;
}

/** Return the summary of the rows that start within [from, to). */
export function summarise(rows: Rows, fromMs: number, toMs: number): Summary {
  const begin = lowerBound(rows.start, fromMs);
  const end = lowerBound(rows.start, toMs);
  const part = (values: (number | null)[]): number[] =>
    values.slice(begin, end).filter((value): value is number => value !== null);
  const lows = part(rows.min);
  const highs = part(rows.max);
  let weight = 0;
  let sum = 0;
  for (let at = begin; at < end; at += 1) {
    const mean = rows.mean[at];
    if (mean === null || mean === undefined) continue;
    const own = Math.max(1, rows.count[at] as number);
    weight += own;
    sum += mean * own;
  }
  return {
    rows: end - begin,
    min: lows.length ? lows.reduce((a, b) => Math.min(a, b)) : null,
    max: highs.length ? highs.reduce((a, b) => Math.max(a, b)) : null,
    mean: weight ? sum / weight : null,
  };
}
