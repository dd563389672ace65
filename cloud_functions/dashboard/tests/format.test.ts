import assert from "node:assert/strict";
import {test} from "node:test";
import {bytesText, countText, dollarText, numberText, quantityText} from "../src/format/number";
import {agoText, durationText, inputText, inputTime, offsetText, timeText} from "../src/format/time";

process.env["TZ"] = "Europe/Berlin";
const WINTER = Date.UTC(2026, 0, 15, 12, 30, 5);
const SUMMER = Date.UTC(2026, 6, 15, 12, 30, 5);

test("times have the offset of the zone at that time", () => {
  assert.equal(timeText(WINTER), "2026-01-15 13:30:05 +01:00");
  assert.equal(timeText(SUMMER), "2026-07-15 14:30:05 +02:00");
  assert.equal(offsetText(SUMMER), "+02:00");
  assert.equal(timeText(null), "–");
});

test("an input's text is read back as the same time", () => {
  assert.equal(inputTime(inputText(SUMMER)), SUMMER);
  assert.equal(inputTime("soon"), null);
});

test("durations have their two largest units", () => {
  assert.equal(durationText(250), "250 ms");
  assert.equal(durationText(59_999), "59 s");
  assert.equal(durationText(7_500_000), "2 h 5 min");
  assert.equal(durationText(86_400_000), "1 d");
  assert.equal(durationText(86_405_000), "1 d");
  assert.equal(agoText(WINTER, WINTER + 180_000), "3 min ago");
  assert.equal(agoText(WINTER + 180_000, WINTER), "in 3 min");
  assert.equal(agoText(0, WINTER), "never");
});

test("numbers keep their significant digits and have the usual sign of the unit", () => {
  assert.equal(numberText(61.2345678), "61.235");
  assert.equal(numberText(120), "120");
  assert.equal(numberText(0.000012), "1.200e-5");
  assert.equal(numberText(2.5e12), "2.500e12");
  assert.equal(numberText(null), "–");
  assert.equal(quantityText(-4.5, "Cel"), "-4.5 °C");
  assert.equal(quantityText(undefined, "Cel"), "–");
  assert.equal(countText(24310442), "24\u202f310\u202f442");
  assert.equal(bytesText(61_702_113), "61.7 MB");
  assert.equal(bytesText(12), "12 B");
});

test("amounts have cents, and two digits below a cent", () => {
  assert.equal(dollarText(0), "$0.00");
  assert.equal(dollarText(12.345), "$12.35");
  assert.equal(dollarText(0.00412), "$0.0041");
});
