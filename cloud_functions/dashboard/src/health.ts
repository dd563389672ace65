import type {Gateway, Health} from "./api/types";
import {bytesText} from "./format/number";
import {durationText} from "./format/time";

export interface Finding {
  level: "good" | "attention" | "bad";
  text: string;
}

/** Offsets of a gateway's clock from which it is wrong, as in core/health.py; a negative one can be a delay. */
const MAX_AHEAD_MS = 120_000;
const MAX_BEHIND_MS = 300_000;
const MAX_SPOOL_BYTES = 10_000_000;
const BAD_STATES = new Set(["BROKEN", "ERRORED", "NOT_REPORTING"]);
const GOOD_STATES = new Set(["RUNNING", "FINISHED"]);

/** Return the name of a component without the prefix that all have. */
export function componentName(name: string): string {
  return name.replace(/^io\.strandline\./, "");
}

/** Return the components of a gateway with their states and versions. */
export function componentsOf(health: Health): {name: string; state: string; version: string}[] {
  const versions = new Map(Object.entries(health.versions ?? {}).map(([name, version]) => [componentName(name), version]));
  return Object.entries(health.components ?? {}).map(([name, state]) => ({
    name: componentName(name), state, version: versions.get(componentName(name)) ?? "",
  }));
}

/** Return all findings about a gateway, the worst first; a single good one if there is nothing to report. */
export function findingsOf(gateway: Gateway): Finding[] {
  const findings: Finding[] = [];
  if (gateway.silent) findings.push({level: "bad", text: "silent"});
  for (const [name, state] of Object.entries(gateway.health?.components ?? {})) {
    if (!GOOD_STATES.has(state)) findings.push({level: BAD_STATES.has(state) ? "bad" : "attention", text: `${componentName(name)} ${state.replace(/_/g, " ")}`});
  }
  const offset = gateway.health?.clock_offset_ms;
  if (offset !== undefined && (offset >= MAX_AHEAD_MS || offset <= -MAX_BEHIND_MS)) {
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
