import type {Range} from "./resolution";
import type {Rows} from "./rows";

export const SLOT_MS = 900_000;
const DAY_MS = 86_400_000;
const DAYS = 7;
const MIN_DAYS = 3;
/** From this number of days on, the day with the greatest and the one with the smallest value are left out. */
const ROBUST_DAYS = 5;
const MAX_SPAN_MS = 2 * DAY_MS;

/** Usual range of a series in slots of SLOT_MS. */
export interface Usual {
  start: number[];
  low: number[];
  high: number[];
}

export const NO_USUAL: Usual = {start: [], low: [], high: []};

/** Return the range of which roll-ups are needed for the usual range of a view, or null if the view is too long for it. */
export function referenceRange(view: Range): Range | null {
  if (view.to - view.from > MAX_SPAN_MS) return null;
  const slots = slotsOf(view);
  return {from: slots.from - DAYS * DAY_MS, to: slots.to - DAY_MS};
}

/** Return the slots that a view touches. */
export function slotsOf(view: Range): Range {
  return {from: Math.floor(view.from / SLOT_MS) * SLOT_MS, to: Math.ceil(view.to / SLOT_MS) * SLOT_MS};
}

/**
 * Return the range between minimum and maximum of the same slots of the seven days before; slots with fewer than three
 * such days are left out.
 */
export function usualRange(reference: Rows, view: Range): Usual {
  const at = new Map<number, number>();
  reference.start.forEach((start, index) => at.set(start, index));
  const out: Usual = {start: [], low: [], high: []};
  const {from, to} = slotsOf(view);
  for (let slot = from; slot < to; slot += SLOT_MS) {
    const lows: number[] = [];
    const highs: number[] = [];
    for (let day = 1; day <= DAYS; day += 1) {
      const index = at.get(slot - day * DAY_MS);
      if (index === undefined) continue;
      const low = reference.min[index];
      const high = reference.max[index];
      if (typeof low === "number") lows.push(low);
      if (typeof high === "number") highs.push(high);
    }
    if (Math.min(lows.length, highs.length) < MIN_DAYS) continue;
    const omitted = lows.length >= ROBUST_DAYS ? 1 : 0;
    lows.sort((a, b) => a - b);
    highs.sort((a, b) => b - a);
    out.start.push(slot);
    out.low.push(lows[omitted] as number);
    out.high.push(highs[omitted] as number);
  }
  return out;
}
