/** Times are shown in the browser's zone with the offset from UTC. */

const pad = (value: number, digits = 2): string => String(value).padStart(digits, "0");

/** Return the offset of the browser's zone at a time, such as `+02:00`. */
export function offsetText(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** Return a time as `2026-03-01 14:05:09 +01:00`; an unknown one as a dash. */
export function timeText(ms: number | null | undefined): string {
  if (!ms) return "–";
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time} ${offsetText(ms)}`;
}

const UNITS: readonly [string, number][] = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]];

/** Return a duration with its two largest units, such as `2 h 5 min`. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const parts: string[] = [];
  let rest = ms;
  for (const [name, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** Return the age of a time, such as `3 min ago`. */
export function agoText(ms: number | null | undefined, nowMs: number): string {
  if (!ms) return "never";
  const age = nowMs - ms;
  if (age < -1_000) return `in ${roundedDuration(-age)}`;
  return age < 1_500 ? "now" : `${roundedDuration(age)} ago`;
}

function roundedDuration(ms: number): string {
  return durationText(ms).split(" ").slice(0, 2).join(" ");
}

/** Return the text of an `<input type="datetime-local">` for a time. */
export function inputText(ms: number): string {
  return timeText(ms).slice(0, 19).replace(" ", "T");
}

/** Return the time of a text of an `<input type="datetime-local">`, or null if it is invalid. */
export function inputTime(text: string): number | null {
  const ms = new Date(text).getTime();
  return Number.isFinite(ms) ? ms : null;
}
