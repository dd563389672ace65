import assert from "node:assert/strict";
import {test} from "node:test";
import {envelope, lineBoxes, pieces} from "../src/chart/draw_rows";
import {append, downsample, drawn, lowerBound, summarise, type Rows} from "../src/chart/rows";
import {referenceRange, SLOT_MS, usualRange} from "../src/chart/usual";
import {chooseResolution, clampRange, coarser, covers, loadRange, MAX_POINTS, pan, zoom} from "../src/chart/resolution";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function rows(start: number[], width: number, mean: (at: number) => number = (at) => at): Rows {
  return {
    start, width: start.map(() => width), count: start.map(() => 10), mean: start.map((_, at) => mean(at)),
    min: start.map((_, at) => mean(at) - 1), max: start.map((_, at) => mean(at) + 1),
  };
}

const regular = (n: number, width = 1_000): Rows => rows(Array.from({length: n}, (_, at) => at * width), width);

test("raw rows are requested while they are at most the maximum, roll-ups beyond", () => {
  assert.equal(chooseResolution(MAX_POINTS * 1_000, 1_000), "raw");
  assert.equal(chooseResolution(MAX_POINTS * 1_000 + 1_000, 1_000), "15m");
  assert.equal(chooseResolution(30 * DAY, 1_000), "1h");
  assert.equal(chooseResolution(365 * DAY, 1_000), "1h");
  assert.equal(chooseResolution(731 * DAY, 1_000), "1d");
  assert.equal(chooseResolution(30 * DAY, 600_000), "raw");
  assert.equal(coarser("raw"), "15m");
  assert.equal(coarser("1d"), null);
});

test("a zoom keeps the time at its anchor and stays within a minute and two years", () => {
  const view = {from: 100 * DAY, to: 101 * DAY};
  assert.deepEqual(zoom(view, 0.5, 0), {from: 100 * DAY, to: 100.5 * DAY});
  assert.deepEqual(zoom(view, 0.5, 1), {from: 100.5 * DAY, to: 101 * DAY});
  let near = view;
  for (let step = 0; step < 50; step += 1) near = zoom(near, 0.5);
  assert.equal(near.to - near.from, 60_000);
  let far = view;
  for (let step = 0; step < 50; step += 1) far = zoom(far, 2);
  assert.equal(far.to - far.from, 732 * DAY);
  assert.ok(far.from >= 0);
});

test("moving keeps the length, also at 1970", () => {
  assert.deepEqual(pan({from: 10 * DAY, to: 11 * DAY}, -0.5), {from: 9.5 * DAY, to: 10.5 * DAY});
  assert.deepEqual(clampRange({from: -DAY, to: DAY}), {from: 0, to: 2 * DAY});
});

test("loaded rows serve a view that moved by less than its length, not one that left them or is much smaller", () => {
  const view = {from: 10 * DAY, to: 11 * DAY};
  const loaded = loadRange(view);
  assert.ok(covers(loaded, pan(view, 0.9)));
  assert.ok(!covers(loaded, pan(view, 1.1)));
  assert.ok(!covers(loaded, zoom(view, 0.1)));
});

test("downsampling keeps every extreme and the mean weighted by count", () => {
  const many = regular(10_000);
  (many.max as number[])[4_321] = 1e6;
  (many.min as number[])[8_765] = -1e6;
  const few = downsample(many, 500);
  assert.ok(few.start.length <= 501 && few.start.length >= 450, String(few.start.length));
  assert.equal(Math.max(...(few.max as number[])), 1e6);
  assert.equal(Math.min(...(few.min as number[])), -1e6);
  const whole = summarise(many, 0, 1e9);
  const reduced = summarise(few, 0, 1e9);
  assert.ok(Math.abs((whole.mean as number) - (reduced.mean as number)) < 1e-6);
  assert.equal(few.width.reduce((a, b) => a + b, 0), 10_000_000);
  assert.equal(downsample(many, 10_000), many);
});

test("missing values stay missing", () => {
  const some = regular(100);
  some.mean.fill(null);
  some.min.fill(null);
  some.max.fill(null);
  const few = downsample(some, 10);
  assert.ok(few.mean.every((value) => value === null));
  assert.deepEqual(summarise(some, 0, 1e9), {rows: 100, min: null, max: null, mean: null});
});

test("newer rows replace those that begin at the same time or later", () => {
  const before = regular(5);
  const after = rows([3_000, 4_000, 5_000], 1_000, () => 99);
  const joined = append(before, after);
  assert.deepEqual(joined.start, [0, 1_000, 2_000, 3_000, 4_000, 5_000]);
  assert.deepEqual(joined.mean, [0, 1, 2, 99, 99, 99]);
  assert.equal(append(before, rows([], 1_000)), before);
});

test("a gap is drawn as a gap", () => {
  const gapped = rows([0, 1_000, 2_000, 60_000, 61_000, 62_000], 1_000);
  const [times, , , mean] = drawn(gapped);
  assert.equal(times.length, 7);
  assert.equal(mean[3], null);
  assert.ok(times.every((ms, at) => at === 0 || ms > (times[at - 1] as number)));
  assert.equal(drawn(regular(100))[0].length, 100);
});

test("the lower bound is the first value that is not less", () => {
  assert.equal(lowerBound([1, 3, 3, 5], 3), 1);
  assert.equal(lowerBound([1, 3], 9), 2);
  assert.equal(lowerBound([], 1), 0);
});

test("the envelope has one column for dense rows, keeps extremes, and is aligned to absolute time", () => {
  const data = drawn(regular(1_000));
  const x = {offset: 0, factor: 0.001};
  const y = {offset: 0, factor: 1};
  const all = envelope(data, 0, 1_000, 0, x, y);
  assert.equal(all.x.length, 1_000);
  const dense = envelope(data, 0, 1_000, 100_000, x, y);
  assert.equal(dense.x.length, 10);
  assert.equal(Math.min(...dense.low), -1);
  assert.equal(Math.max(...dense.high), 1_000);
  const moved = envelope(data, 137, 1_000, 100_000, x, y);
  assert.deepEqual(moved.high.slice(1), dense.high.slice(2));
});

test("an envelope is interrupted by gaps", () => {
  const shape = envelope(drawn(rows([0, 1_000, 2_000, 60_000, 61_000, 62_000], 1_000)), 0, 7, 0, {offset: 0, factor: 1}, {offset: 0, factor: 1});
  assert.deepEqual(pieces(shape), [[0, 3], [4, 7]]);
});

test("the usual range is that of the same time on the days before, without the most extreme of them", () => {
  const view = {from: 100 * DAY + 60_000, to: 100 * DAY + 2 * SLOT_MS};
  assert.deepEqual(referenceRange(view), {from: 93 * DAY, to: 99 * DAY + 2 * SLOT_MS});
  // The first slot has the means 93 to 99, and another value at noon; the second slot has two days only.
  const reference = rows([...[93, 94, 95, 96, 97, 98, 99].map((day) => day * DAY), 99 * DAY + DAY / 2], SLOT_MS, (at) => 93 + at);
  const second = rows([98, 99].map((day) => day * DAY + SLOT_MS), SLOT_MS);
  const both = Object.fromEntries(Object.entries(reference).map(([name, values]) => [name, values.concat(second[name as keyof Rows] as number[])])) as unknown as Rows;
  assert.deepEqual(usualRange(both, view), {start: [100 * DAY], low: [93], high: [99]});
});

test("the usual range needs three days, and a view of at most two", () => {
  const view = {from: 100 * DAY, to: 100 * DAY + SLOT_MS};
  const of = (days: number[]): number[] => usualRange(rows(days.map((day) => day * DAY), SLOT_MS), view).start;
  assert.deepEqual(of([98, 99]), []);
  assert.deepEqual(of([97, 98, 99]), [100 * DAY]);
  assert.deepEqual(of([90, 91, 92]), []);
  assert.equal(referenceRange({from: 0, to: 2 * DAY + 1}), null);
});

test("a dense line is boxes that touch, each from a mean to the next one", () => {
  const shape = {x: [0, 1, 2, 3, 4], low: [], high: [], mean: [10, 10, 10, 20, 19]};
  assert.deepEqual(lineBoxes(shape, 0, 5, 2), [[0, 9, 2, 11], [2, 9, 3, 21], [3, 18, 4, 21], [4, 18, 5, 20]]);
  assert.deepEqual(lineBoxes(shape, 3, 4, 2), [[3, 19, 4, 21]]);
});

test("columns of the same pixel share a box", () => {
  const shape = {x: [0, 0.2, 1, 1.1], low: [], high: [], mean: [5, 50, 5, 5]};
  const boxes = lineBoxes(shape, 0, 4, 2);
  assert.ok(boxes.some(([left, top, right, bottom]) => left === 0 && right === 1 && top === 4 && bottom === 51));
  boxes.slice(1).forEach((box, at) => assert.equal(box[0], boxes[at]?.[2]));
});
