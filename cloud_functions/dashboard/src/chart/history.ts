import type {Client} from "../api/client";
import type {Aggregates, Resolution} from "../api/types";
import {append, downsample, NO_ROWS, rowsOf, type Rows} from "./rows";
import {chooseResolution, coarser, type Range} from "./resolution";
import {NO_USUAL, referenceRange, usualRange, type Usual} from "./usual";

const PAGE_ROWS = 10_000;
const MAX_PAGES = 4;
const MAX_DRAWN = 40_000;

export interface Loaded {
  range: Range;
  resolution: Resolution;
  /** Present if the older part of the range is of this coarser resolution, because raw rows expire. */
  older: Resolution | null;
  rows: Rows;
}

/** Loader of one series' rows at the resolution that fits a range. */
export class SeriesHistory {
  constructor(
    private readonly client: Client,
    private readonly gateway: string,
    private readonly series: string,
    private readonly unit: string,
    private readonly rawWidthMs: number,
  ) {}

  /** Return the rows of a range; where raw rows have expired, roll-ups take their place. */
  async load(range: Range, viewSpanMs: number, signal: AbortSignal): Promise<Loaded> {
    const resolution = chooseResolution(Math.max(viewSpanMs, (range.to - range.from) / 3), this.rawWidthMs);
    let rows = await this.fetch(range, resolution, signal);
    let older: Resolution | null = null;
    const next = coarser(resolution);
    const first = rows.start[0] ?? range.to;
    if (resolution === "raw" && next && first - range.from > Math.max(900_000, 0.05 * (range.to - range.from))) {
      const before = await this.fetch({from: range.from, to: first}, next, signal);
      if (before.start.length) {
        rows = append(before, rows);
        older = next;
      }
    }
    return {range, resolution, older, rows: downsample(rows, MAX_DRAWN)};
  }

  /** Return raw rows that start at a time or later. */
  async since(fromMs: number, toMs: number, signal: AbortSignal): Promise<Rows> {
    return this.fetch({from: fromMs, to: toMs}, "raw", signal);
  }

  /** Return the usual range of a view, empty where too little history exists. */
  async usual(view: Range, signal: AbortSignal): Promise<Usual> {
    const reference = referenceRange(view);
    if (reference === null) return NO_USUAL;
    return usualRange(await this.fetch(reference, "15m", signal), view);
  }

  private async fetch(range: Range, resolution: Resolution, signal: AbortSignal): Promise<Rows> {
    let rows = NO_ROWS;
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer: Aggregates = await this.client.get<Aggregates>(
        `/gateways/${encodeURIComponent(this.gateway)}/aggregates`,
        {
          series: this.series, unit: this.unit || undefined, resolution, limit: PAGE_ROWS, cursor,
          from: Math.round(range.from), to: Math.round(range.to),
        },
        signal,
      );
      rows = append(rows, rowsOf(answer));
      cursor = answer.next;
      if (cursor === undefined) break;
    }
    return rows;
  }
}
