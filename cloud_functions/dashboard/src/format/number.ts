/** Unit codes of SenML and UCUM whose usual sign differs. */
const SIGNS: Record<string, string> = {
  Cel: "°C", degC: "°C", degF: "°F", "%RH": "% RH", Ohm: "Ω", ohm: "Ω", deg: "°", um: "µm", us: "µs",
};

/** Return a unit as it is usually written. */
export function unitText(unit: string | null | undefined): string {
  return unit ? (SIGNS[unit] ?? unit) : "";
}

/** Return a number with at most `digits` significant digits, without an exponent where it is readable. */
export function numberText(value: number | null | undefined, digits = 5): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  const decimals = Math.min(10, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  const text = value.toFixed(decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Return a number with its unit. */
export function quantityText(value: number | null | undefined, unit: string | null | undefined, digits = 5): string {
  const number = numberText(value, digits);
  const sign = unitText(unit);
  return number === "–" || !sign ? number : `${number} ${sign}`;
}

/** Return a count with thin spaces between groups of three digits. */
export function countText(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

const BYTES = ["B", "kB", "MB", "GB", "TB"];

/** Return a number of bytes with a decimal prefix. */
export function bytesText(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  let size = value;
  let at = 0;
  while (size >= 1_000 && at < BYTES.length - 1) {
    size /= 1_000;
    at += 1;
  }
  return `${at === 0 ? size : numberText(size, 3)} ${BYTES[at]}`;
}

/** Return an amount in dollars: cents, and two significant digits below a cent. */
export function dollarText(value: number): string {
  if (value === 0 || value >= 0.01) return `$${value.toFixed(2)}`;
  return `$${numberText(value, 2)}`;
}
