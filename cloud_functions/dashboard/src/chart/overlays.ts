import type uPlot from "uplot";
import type {Alert, Forecast, Limits} from "../api/types";
import {quantityText} from "../format/number";
import {SLOT_MS, type Usual} from "./usual";

/** Facts that are drawn over the rows of a series. */
export interface Overlays {
  alerts: readonly Alert[];
  limits: Limits;
  forecast: Forecast | null;
  usual: Usual;
  unit: string;
  /** Last row: the forecast's line begins there. */
  last: {ms: number; value: number} | null;
  nowMs: number;
}

/** Colours of a theme, read from the style sheet. */
export interface Palette {
  text: string;
  muted: string;
  grid: string;
  line: string;
  band: string;
  critical: string;
  warning: string;
  info: string;
  limit: string;
  expected: string;
  forecast: string;
}

/** Return the palette of the present theme. */
export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    text: colour("text"), muted: colour("muted"), grid: colour("grid"), line: colour("line"), band: colour("band"),
    critical: colour("critical"), warning: colour("warning"), info: colour("info"), limit: colour("limit"),
    expected: colour("expected"), forecast: colour("forecast"),
  };
}

/** Draw the range in which values usually are at this time of the day; drawn below the rows. */
export function drawUsual(plot: uPlot, overlays: Overlays, palette: Palette): void {
  const {ctx, bbox} = plot;
  const {start, low, high} = overlays.usual;
  if (start.length === 0) return;
  ctx.save();
  clip(ctx, bbox);
  ctx.fillStyle = palette.expected;
  ctx.globalAlpha = 0.14;
  for (let at = 0; at < start.length; at += 1) {
    const slot = start[at] as number;
    const left = Math.round(plot.valToPos(slot, "x", true));
    const right = Math.round(plot.valToPos(slot + SLOT_MS, "x", true));
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    const top = Math.round(plot.valToPos(high[at] as number, "y", true));
    const bottom = Math.round(plot.valToPos(low[at] as number, "y", true));
    ctx.fillRect(left, top, right - left, Math.max(1, bottom - top));
  }
  ctx.restore();
}

/** Shade the periods of anomalies and alerts; drawn below the rows. */
export function drawAlerts(plot: uPlot, overlays: Overlays, palette: Palette): void {
  const {ctx, bbox} = plot;
  ctx.save();
  clip(ctx, bbox);
  for (const alert of overlays.alerts) {
    const from = plot.valToPos(alert.onset_ms, "x", true);
    const to = Math.max(from + 2 * devicePixelRatio, plot.valToPos(endOf(alert, overlays.nowMs), "x", true));
    if (to < bbox.left || from > bbox.left + bbox.width) continue;
    ctx.fillStyle = palette[alert.severity] ?? palette.info;
    ctx.globalAlpha = 0.16;
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(from, bbox.top, to - from, 3 * devicePixelRatio);
    drawExpectation(plot, alert, from, to, palette);
  }
  ctx.restore();
}

/** Draw limits, the forecast and the names of the anomalies' causes; drawn above the rows. */
export function drawMarks(plot: uPlot, overlays: Overlays, palette: Palette): void {
  const {ctx, bbox} = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  clip(ctx, bbox);
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "bottom";
  for (const side of ["high", "low"] as const) {
    const limit = overlays.limits[side];
    if (limit === null || limit === undefined) continue;
    const y = Math.round(plot.valToPos(limit, "y", true));
    line(ctx, [[bbox.left, y], [bbox.left + bbox.width, y]], palette.limit, [6, 4], 2);
    ctx.fillStyle = palette.limit;
    ctx.textAlign = "left";
    const below = side === "low" || y < bbox.top + 18 * ratio;
    ctx.fillText(`${side} limit ${quantityText(limit, overlays.unit)}`, bbox.left + 4 * ratio, y + (below ? 14 : -2) * ratio);
  }
  drawForecast(plot, overlays, palette);
  drawCauses(plot, overlays, palette);
  ctx.restore();
}

/** Return the end of an alert's period: its end, or now while it is open. */
export function endOf(alert: Alert, nowMs: number): number {
  return alert.ended_ms ?? Math.max(nowMs, alert.last_ms ?? alert.onset_ms);
}

function drawExpectation(plot: uPlot, alert: Alert, from: number, to: number, palette: Palette): void {
  const {ctx} = plot;
  const {expected, lower, upper} = alert;
  if (lower !== null && lower !== undefined && upper !== null && upper !== undefined) {
    const top = plot.valToPos(upper, "y", true);
    const bottom = plot.valToPos(lower, "y", true);
    ctx.fillStyle = palette.expected;
    ctx.globalAlpha = 0.25;
    ctx.fillRect(from, top, to - from, Math.max(1, bottom - top));
    ctx.globalAlpha = 1;
  }
  if (expected !== null && expected !== undefined) {
    const y = plot.valToPos(expected, "y", true);
    line(ctx, [[from, y], [to, y]], palette.expected, [3, 2]);
  }
}

function drawForecast(plot: uPlot, overlays: Overlays, palette: Palette): void {
  const {ctx} = plot;
  for (const entry of overlays.forecast?.limits ?? []) {
    if (!entry.estimate) continue;
    const y = plot.valToPos(entry.limit, "y", true);
    const [early, middle, late] = (["early_ms", "middle_ms", "late_ms"] as const).map((name) =>
      plot.valToPos((entry.estimate as Record<string, number>)[name] as number, "x", true)) as [number, number, number];
    if (overlays.last) {
      const begin: Point = [plot.valToPos(overlays.last.ms, "x", true), plot.valToPos(overlays.last.value, "y", true)];
      ctx.fillStyle = palette.forecast;
      ctx.globalAlpha = 0.15;
      ctx.beginPath();
      ctx.moveTo(...begin);
      ctx.lineTo(early, y);
      ctx.lineTo(late, y);
      ctx.fill();
      ctx.globalAlpha = 1;
      line(ctx, [begin, [middle, y]], palette.forecast, [2, 3]);
    }
    line(ctx, [[early, y], [late, y]], palette.forecast, [], 4);
  }
}

function drawCauses(plot: uPlot, overlays: Overlays, palette: Palette): void {
  const {ctx, bbox} = plot;
  const ratio = devicePixelRatio;
  ctx.fillStyle = palette.text;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  let free = bbox.left;
  for (const alert of [...overlays.alerts].sort((a, b) => a.onset_ms - b.onset_ms)) {
    const text = causeText(alert);
    const begin = Math.max(bbox.left, plot.valToPos(alert.onset_ms, "x", true));
    const end = plot.valToPos(endOf(alert, overlays.nowMs), "x", true);
    if (end < bbox.left || begin > bbox.left + bbox.width || begin < free) continue;
    const width = ctx.measureText(text).width;
    const left = Math.max(free, Math.min(begin + 3 * ratio, bbox.left + bbox.width - width - 3 * ratio));
    ctx.fillText(text, left, bbox.top + 5 * ratio);
    free = left + width + 8 * ratio;
  }
}

/** Return the cause of an alert in a few words. */
export function causeText(alert: Alert): string {
  return (alert.cause || alert.rule || alert.kind).replace(/_/g, " ");
}

type Point = [number, number];

function line(ctx: CanvasRenderingContext2D, points: Point[], colour: string, dash: number[], width = 1.5): void {
  ctx.beginPath();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
  points.forEach(([x, y], at) => (at === 0 ? ctx.moveTo(x, y) : ctx.lineTo(x, y)));
  ctx.stroke();
  ctx.setLineDash([]);
}

function clip(ctx: CanvasRenderingContext2D, bbox: uPlot.BBox): void {
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
}
