import type uPlot from "uplot";
import type {Palette} from "./overlays";
import {lowerBound, type Drawn} from "./rows";

/** Pixels of the columns into which rows are combined where they are denser than that. */
const COLUMN_PIXELS = 1;
const MAX_DOTS = 80;
const LINE_WIDTH = 1.5;

/** Envelope of rows in columns of equal duration: positions in pixels, NaN where a gap interrupts it. */
export interface Envelope {
  x: number[];
  low: number[];
  high: number[];
  mean: number[];
}

/** Linear mapping from a value to a pixel: `offset + value * factor`. */
export interface Axis {
  offset: number;
  factor: number;
}

/**
 * Return the rows [begin, end) as an envelope. Rows are combined into columns of `columnMs`, whose bounds are multiples of
 * it, so that a chart that is moved shows the same columns; 0 keeps every row.
 */
export function envelope(data: Drawn, begin: number, end: number, columnMs: number, x: Axis, y: Axis): Envelope {
  const [times, lows, highs, means] = data;
  const out: Envelope = {x: [], low: [], high: [], mean: []};
  let at = begin;
  while (at < end) {
    const time = times[at] as number;
    if (means[at] === null) {
      push(out, x.offset + time * x.factor, NaN, NaN, NaN);
      at += 1;
      continue;
    }
    const until = columnMs > 0 ? (Math.floor(time / columnMs) + 1) * columnMs : time;
    let low = Infinity;
    let high = -Infinity;
    let sum = 0;
    let count = 0;
    do {
      const mean = means[at] as number;
      low = Math.min(low, lows[at] ?? mean);
      high = Math.max(high, highs[at] ?? mean);
      sum += mean;
      count += 1;
      at += 1;
    } while (at < end && (times[at] as number) < until && means[at] !== null);
    const middle = count > 1 ? until - columnMs / 2 : time;
    push(out, x.offset + middle * x.factor, y.offset + low * y.factor, y.offset + high * y.factor, y.offset + (sum / count) * y.factor);
  }
  return out;
}

function push(out: Envelope, x: number, low: number, high: number, mean: number): void {
  out.x.push(x);
  out.low.push(low);
  out.high.push(high);
  out.mean.push(mean);
}

/** Draw the band from minimum to maximum and the line of means. */
export function drawRows(plot: uPlot, data: Drawn, palette: Palette): void {
  const {ctx, bbox} = plot;
  const scale = plot.scales["x"];
  if (scale?.min === undefined || scale.max === undefined || data[0].length === 0) return;
  const begin = Math.max(0, lowerBound(data[0], scale.min) - 1);
  const end = Math.min(data[0].length, lowerBound(data[0], scale.max) + 1);
  const columnMs = ((scale.max - scale.min) / bbox.width) * COLUMN_PIXELS * devicePixelRatio;
  const dense = end - begin > bbox.width / (COLUMN_PIXELS * devicePixelRatio);
  const shape = envelope(data, begin, end, dense ? columnMs : 0, axis(plot, "x"), axis(plot, "y"));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = palette.band;
  for (const [from, to] of pieces(shape)) (dense ? fillColumns : fillBand)(ctx, shape, from, to);
  ctx.fillStyle = palette.line;
  if (dense) for (const [from, to] of pieces(shape)) fillLine(ctx, shape, from, to);
  else strokeLine(ctx, shape, palette);
  for (const [from, to] of pieces(shape)) {
    // Single rows have no line, and few rows are shown as dots.
    if (to - from > 1 && shape.x.length > MAX_DOTS) continue;
    for (let at = from; at < to; at += 1) {
      ctx.beginPath();
      ctx.arc(shape.x[at] as number, shape.mean[at] as number, 2 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    }
  }
  ctx.restore();
}

/** Return the ranges of an envelope between its gaps. */
export function pieces(shape: Envelope): [number, number][] {
  const found: [number, number][] = [];
  let from = 0;
  for (let at = 0; at <= shape.x.length; at += 1) {
    if (at < shape.x.length && !Number.isNaN(shape.mean[at])) continue;
    if (at > from) found.push([from, at]);
    from = at + 1;
  }
  return found;
}

function strokeLine(ctx: CanvasRenderingContext2D, shape: Envelope, palette: Palette): void {
  ctx.strokeStyle = palette.line;
  ctx.lineWidth = LINE_WIDTH * devicePixelRatio;
  ctx.lineJoin = "bevel";
  ctx.beginPath();
  for (const [from, to] of pieces(shape)) {
    ctx.moveTo(shape.x[from] as number, shape.mean[from] as number);
    for (let at = from + 1; at < to; at += 1) ctx.lineTo(shape.x[at] as number, shape.mean[at] as number);
  }
  ctx.stroke();
}

/** Rectangle in whole pixels: left, top, right, bottom. */
export type Box = [number, number, number, number];

/** Return a dense line as boxes of whole pixels, one a column from its mean to that of the next; equal ones are joined. */
export function lineBoxes(shape: Envelope, from: number, to: number, width: number): Box[] {
  const boxes: Box[] = [];
  let last: Box | undefined;
  for (let at = from; at < to; at += 1) {
    const here = shape.mean[at] as number;
    const next = at + 1 < to ? (shape.mean[at + 1] as number) : here;
    const left = last ? last[2] : Math.round(shape.x[at] as number);
    const right = at + 1 < to ? Math.round(shape.x[at + 1] as number) : left + 1;
    const top = Math.round(Math.min(here, next) - width / 2);
    const bottom = Math.max(top + 1, Math.round(Math.max(here, next) + width / 2));
    if (last && last[1] === top && last[3] === bottom) last[2] = right;
    else if (right > left) boxes.push((last = [left, top, right, bottom]));
    else if (last) [last[1], last[3]] = [Math.min(last[1], top), Math.max(last[3], bottom)];
  }
  return boxes;
}

/** Fill a dense line by whole pixels: smoothing the edges of a line of a thousand points is most of a frame's cost. */
function fillLine(ctx: CanvasRenderingContext2D, shape: Envelope, from: number, to: number): void {
  for (const [left, top, right, bottom] of lineBoxes(shape, from, to, LINE_WIDTH * devicePixelRatio)) {
    ctx.fillRect(left, top, right - left, bottom - top);
  }
}

function fillBand(ctx: CanvasRenderingContext2D, shape: Envelope, from: number, to: number): void {
  ctx.beginPath();
  ctx.moveTo(shape.x[from] as number, shape.high[from] as number);
  for (let at = from + 1; at < to; at += 1) ctx.lineTo(shape.x[at] as number, shape.high[at] as number);
  for (let at = to - 1; at >= from; at -= 1) ctx.lineTo(shape.x[at] as number, shape.low[at] as number);
  ctx.fill();
}

/** Fill a dense band by whole pixels, several times faster than a polygon with smoothed edges. */
function fillColumns(ctx: CanvasRenderingContext2D, shape: Envelope, from: number, to: number): void {
  let left = Math.round(shape.x[from] as number);
  for (let at = from; at < to; at += 1) {
    const right = at + 1 < to ? Math.round(shape.x[at + 1] as number) : left + 1;
    const top = Math.floor(shape.high[at] as number);
    if (right > left) ctx.fillRect(left, top, right - left, Math.ceil(shape.low[at] as number) - top);
    left = right;
  }
}

function axis(plot: uPlot, scale: "x" | "y"): Axis {
  const {min, max} = plot.scales[scale] as {min: number; max: number};
  const first = plot.valToPos(min, scale, true);
  const factor = (plot.valToPos(max, scale, true) - first) / (max - min);
  return {offset: first - min * factor, factor};
}
