import type {Gateway} from "./api/types";
import {bytesText} from "./format/number";
import {durationText} from "./format/time";

export interface Finding {
  level: "good" | "attention" | "bad";
  text: string;
}

/** Offset of a gateway's clock above which it is shown as wrong. */
const MAX_CLOCK_OFFSET_MS = 5_000;
const MAX_SPOOL_BYTES = 10_000_000;
const GOOD_STATES = new Set(["RUNNING", "FINISHED"]);

/** Return all findings about a gateway, the worst first; a single good one if there is nothing to report. */
export function findingsOf(gateway: Gateway): Finding[] {
  const findings: Finding[] = [];
  if (gateway.silent) findings.push({level: "bad", text: "silent"});
  for (const [name, state] of Object.entries(gateway.health?.components ?? {})) {
    if (!GOOD_STATES.has(state)) findings.push({level: state === "BROKEN" || state === "ERRORED" ? "bad" : "attention", text: `${name} ${state}`});
  }
  const offset = gateway.health?.clock_offset_ms;
  if (offset !== undefined && Math.abs(offset) > MAX_CLOCK_OFFSET_MS) {
    findings.push({level: "attention", text: `clock ${durationText(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}`});
  }
  const spool = gateway.health?.spool_bytes;
  if (spool !== undefined && spool > MAX_SPOOL_BYTES) findings.push({level: "attention", text: `spool ${bytesText(spool)}`});
  const order = {bad: 0, attention: 1, good: 2};
  findings.sort((a, b) => order[a.level] - order[b.level]);
  return findings.length ? findings : [{level: "good", text: "healthy"}];
}

/** Return the rank of a gateway in the fleet: the lower, the more it needs attention. */
export function rankOf(gateway: Gateway): number {
  const alerts = gateway.alerts ?? {};
  const level = findingsOf(gateway)[0]?.level;
  if (level === "bad" || (alerts.critical ?? 0) > 0) return 0;
  if (level === "attention" || (alerts.warning ?? 0) > 0) return 1;
  return (alerts.info ?? 0) > 0 ? 2 : 3;
}
