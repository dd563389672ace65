import {pan, zoom, type Range} from "./resolution";

const HOUR = 3_600_000;
const SPANS: readonly [string, number][] = [
  ["1 min", 60_000], ["15 min", HOUR / 4], ["1 h", HOUR], ["6 h", 6 * HOUR], ["1 d", 24 * HOUR], ["7 d", 168 * HOUR],
  ["30 d", 720 * HOUR], ["1 y", 8_766 * HOUR],
];

interface Properties {
  following: boolean;
  span: number;
  table: boolean;
  view: () => Range;
  onFollow: () => void;
  onSpan: (ms: number) => void;
  onShow: (range: Range) => void;
  onTable: () => void;
  usual: boolean;
  onUsual: () => void;
  /** Range that shows the forecast, or null without one. */
  forecast: Range | null;
}

/** Buttons of a chart: length of the range, movement, zoom, follow, forecast, usual range, table. */
export function ChartControls({following, span, table, view, onFollow, onSpan, onShow, onTable, usual, onUsual, forecast}: Properties) {
  return (
    <div class="controls">
      <div class="group" role="group" aria-label="Length of the range">
        {SPANS.map(([name, ms]) => (
          <button key={name} type="button" aria-pressed={Math.abs(span - ms) < ms / 50} onClick={() => onSpan(ms)}>{name}</button>
        ))}
      </div>
      <div class="group" role="group" aria-label="Move and zoom">
        <button type="button" aria-label="Earlier" onClick={() => onShow(pan(view(), -0.5))}>◀</button>
        <button type="button" aria-label="Later" onClick={() => onShow(pan(view(), 0.5))}>▶</button>
        <button type="button" aria-label="Zoom in" onClick={() => onShow(zoom(view(), 0.5))}>+</button>
        <button type="button" aria-label="Zoom out" onClick={() => onShow(zoom(view(), 2))}>−</button>
      </div>
      <div class="group" role="group" aria-label="Display">
        <button type="button" aria-pressed={following} onClick={onFollow}>Live</button>
        {forecast && <button type="button" onClick={() => onShow(forecast)}>Forecast</button>}
        <button type="button" aria-pressed={usual} onClick={onUsual}>Usual range</button>
        <button type="button" aria-pressed={table} onClick={onTable}>Table</button>
      </div>
    </div>
  );
}
