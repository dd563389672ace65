import uPlot from "uplot";
import {numberText, unitText} from "../format/number";
import {offsetText} from "../format/time";
import {drawRows} from "./draw_rows";
import {drawAlerts, drawMarks, drawUsual, paletteOf, type Overlays, type Palette} from "./overlays";
import {lowerBound, type Drawn} from "./rows";
import type {Range} from "./resolution";
import type {Usual} from "./usual";

const EMPTY: Drawn = [[], [], [], []];

/** The canvas of a series: rows with the band from minimum to maximum, and overlays. It draws; it loads nothing. */
export class SeriesPlot {
  private readonly plot: uPlot;
  private data: Drawn = EMPTY;
  private overlays: Overlays;
  private palette: Palette;

  constructor(
    private readonly host: HTMLElement,
    overlays: Overlays,
    private view: Range,
    onCursor: (at: number | null) => void,
  ) {
    this.overlays = overlays;
    this.palette = paletteOf(host);
    this.plot = new uPlot(this.options(onCursor), EMPTY as unknown as uPlot.AlignedData, host);
  }

  /** Draw other rows. */
  setData(data: Drawn): void {
    this.data = data;
    this.plot.setData(data as unknown as uPlot.AlignedData, false);
    this.setView(this.view);
  }

  /** Draw another range of time. */
  setView(view: Range): void {
    this.view = view;
    this.plot.setScale("x", {min: view.from, max: view.to});
  }

  /** Draw other overlays. */
  setOverlays(overlays: Overlays): void {
    this.overlays = overlays;
    this.setView(this.view);
  }

  /** Fit the canvas into its element, and read the colours of the theme again. */
  resize(): void {
    this.palette = paletteOf(this.host);
    const {width, height} = this.host.getBoundingClientRect();
    if (width > 0) this.plot.setSize({width, height});
    this.plot.redraw(false, true);
  }

  /** Return the area of the canvas in which rows are drawn, in CSS pixels from the element's left edge. */
  area(): {left: number; width: number} {
    return {left: this.plot.bbox.left / devicePixelRatio, width: this.plot.bbox.width / devicePixelRatio};
  }

  /** Place the cursor at a row, or remove it. */
  setCursor(at: number | null): void {
    const ms = at === null ? undefined : this.data[0][at];
    this.plot.setCursor(
      ms === undefined ? {left: -10, top: -10} : {left: this.plot.valToPos(ms, "x"), top: this.plot.over.clientHeight / 2});
  }

  /** Remove the canvas. */
  destroy(): void {
    this.plot.destroy();
  }

  private options(onCursor: (at: number | null) => void): uPlot.Options {
    const {width, height} = this.host.getBoundingClientRect();
    const stroke = (name: keyof Palette) => (): string => this.palette[name];
    const axis = {
      stroke: stroke("muted"),
      grid: {stroke: stroke("grid"), width: 1},
      ticks: {stroke: stroke("grid"), width: 1},
      font: "11px system-ui, sans-serif",
    };
    // The rows are drawn by a hook; uPlot determines the range of values and the row at the cursor.
    const column = {paths: () => null, points: {show: false}, stroke: stroke("line")};
    return {
      width: Math.max(width, 100),
      height: Math.max(height, 100),
      ms: 1,
      legend: {show: false},
      cursor: {drag: {x: false, y: false, setScale: false}, points: {size: 7}, y: false},
      scales: {
        x: {time: true, auto: false},
        y: {range: (_plot, min, max) => this.valueRange(min, max)},
      },
      axes: [
        {...axis, size: 36, label: `local time, UTC${offsetText(this.view.to)}`, labelSize: 16, labelFont: "11px system-ui, sans-serif", values: axisTimes},
        {...axis, size: 58, label: unitText(this.overlays.unit) || " ", labelSize: 16, labelFont: "11px system-ui, sans-serif",
          values: (_plot, values) => values.map((value) => numberText(value, 6))},
      ],
      series: [
        {},
        {...column, label: "min"},
        {...column, label: "max"},
        {...column, label: "mean"},
      ],
      hooks: {
        drawAxes: [(plot) => {
          drawUsual(plot, this.overlays, this.palette);
          drawAlerts(plot, this.overlays, this.palette);
        }],
        draw: [(plot) => {
          drawRows(plot, this.data, this.palette);
          drawMarks(plot, this.overlays, this.palette);
        }],
        setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)],
      },
    };
  }

  /** Return the range of values: the visible rows, limits and usual values close to them, visible forecasts, with a margin. */
  private valueRange(min: number | null, max: number | null): [number, number] {
    let [low, high] = this.visibleValues(min, max);
    for (const value of [this.overlays.limits.high, this.overlays.limits.low, ...usualBounds(this.overlays.usual)]) {
      // A limit that is far away would flatten the rows.
      if (value === null || value === undefined) continue;
      const span = Math.max(high - low, Math.abs(high) * 0.01, 1e-9);
      if (value < high + 3 * span && value > low - 3 * span) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    for (const entry of this.overlays.forecast?.limits ?? []) {
      if (!entry.estimate || entry.estimate.early_ms > this.view.to || entry.estimate.late_ms < this.view.from) continue;
      [low, high] = [Math.min(low, entry.limit), Math.max(high, entry.limit)];
    }
    if (high - low < Math.abs(high) * 1e-9 + 1e-12) return [low - 1, high + 1];
    const margin = 0.06 * (high - low);
    return [low - margin, high + 1.8 * margin];
  }

  private visibleValues(min: number | null, max: number | null): [number, number] {
    if (min !== null && max !== null) return [min, max];
    const at = lowerBound(this.data[0], this.view.from);
    const near = this.data[3][at] ?? this.data[3][at - 1] ?? 0;
    return [near - 1, near + 1];
  }
}

function usualBounds(usual: Usual): number[] {
  if (usual.start.length === 0) return [];
  return [usual.low.reduce((a, b) => Math.min(a, b)), usual.high.reduce((a, b) => Math.max(a, b))];
}

/** Return the labels of the time axis; the date stands where it changes. */
function axisTimes(_plot: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] {
  const pad = (value: number): string => String(value).padStart(2, "0");
  let before = "";
  return splits.map((ms) => {
    const date = new Date(ms);
    const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
    const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}${step < 60_000 ? `:${pad(date.getSeconds())}` : ""}`;
    const first = day !== before;
    before = day;
    if (step >= 86_400_000) return day;
    return first ? `${clock}\n${day}` : clock;
  });
}
