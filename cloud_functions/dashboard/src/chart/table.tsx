import {numberText, quantityText} from "../format/number";
import {timeText} from "../format/time";
import type {Range} from "./resolution";
import {downsample, lowerBound, type Rows} from "./rows";

const MAX_TABLE_ROWS = 200;

/** The rows of a chart as a table, combined to at most MAX_TABLE_ROWS. */
export function ChartTable({rows, range, unit}: {rows: Rows; range: Range; unit: string}) {
  const begin = lowerBound(rows.start, range.from);
  const end = lowerBound(rows.start, range.to);
  const part = <T,>(values: T[]): T[] => values.slice(begin, end);
  const visible = downsample({
    start: part(rows.start), width: part(rows.width), count: part(rows.count), mean: part(rows.mean), min: part(rows.min), max: part(rows.max),
  }, MAX_TABLE_ROWS);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Rows of the chart">
      <table>
        <caption>{visible.start.length} of {end - begin} rows{visible.start.length < end - begin ? ", combined" : ""}; unit {unit || "none"}</caption>
        <thead><tr><th scope="col">Start</th><th scope="col" class="number">Mean</th><th scope="col" class="number">Minimum</th><th scope="col" class="number">Maximum</th><th scope="col" class="number">Readings</th></tr></thead>
        <tbody>
          {visible.start.map((start, at) => (
            <tr key={start}>
              <td>{timeText(start)}</td>
              <td class="number">{quantityText(visible.mean[at], unit)}</td>
              <td class="number">{numberText(visible.min[at])}</td>
              <td class="number">{numberText(visible.max[at])}</td>
              <td class="number">{visible.count[at]}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
