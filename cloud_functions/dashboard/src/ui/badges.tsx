import type {Alert, AlertState, Severity} from "../api/types";

const SIGNS: Record<Severity, string> = {critical: "▲", warning: "◆", info: "●"};

/** A severity as sign and word. */
export function SeverityBadge({severity}: {severity: Severity}) {
  return <span class={`badge severity-${severity}`}><span aria-hidden="true">{SIGNS[severity]}</span> {severity}</span>;
}

const STATE_SIGNS: Record<AlertState, string> = {pending: "◔", firing: "⬤", acknowledged: "✓", resolved: "○"};

/** A state of an alert as sign and word. */
export function StateBadge({state}: {state: AlertState}) {
  return <span class={`badge state-${state}`}><span aria-hidden="true">{STATE_SIGNS[state]}</span> {state}</span>;
}

/** Facts about an alert that change its meaning: silenced, inhibited, flapping, silent gateway. */
export function AlertNotes({alert}: {alert: Alert}) {
  const notes: string[] = [];
  if (alert.silenced_by) notes.push(`silenced by ${alert.silenced_by}`);
  if (alert.inhibited_by) notes.push(`inhibited by ${alert.inhibited_by}`);
  if (alert.flapping) notes.push("flapping");
  if (alert.gateway_silent) notes.push("gateway silent");
  return <>{notes.map((note) => <span key={note} class="note">{note}</span>)}</>;
}

/** The state of a part as sign and word: good, attention or bad. */
export function HealthBadge({level, text}: {level: "good" | "attention" | "bad"; text: string}) {
  const sign = {good: "✓", attention: "◆", bad: "▲"}[level];
  return <span class={`badge health-${level}`}><span aria-hidden="true">{sign}</span> {text}</span>;
}
