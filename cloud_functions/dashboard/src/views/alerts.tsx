import {useState} from "preact/hooks";
import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Alert} from "../api/types";
import {causeText} from "../chart/overlays";
import {mayOperate, useApp} from "../context";
import {quantityText} from "../format/number";
import {routeText} from "../router";
import {AlertNotes, SeverityBadge, StateBadge} from "../ui/badges";
import {Ago, Lasted, Loading, Problem, ViewHead} from "../ui/parts";
import {AcknowledgeDialog} from "./acknowledge";
import {SilenceDialog} from "./silence_dialog";

const STATES = ["open", "firing", "acknowledged", "pending", "resolved", "all"];
const SEVERITY_RANK = {critical: 0, warning: 1, info: 2};

/** List of alerts with filters; operators acknowledge and silence from here. */
export function AlertsView({query}: {query: Record<string, string>}) {
  const {client, me} = useApp();
  const [filters, setFilters] = useState({state: query["state"] ?? "open", severity: query["severity"] ?? "", gateway: query["gateway"] ?? "", series: query["series"] ?? ""});
  const key = JSON.stringify(filters);
  const alerts = usePolling<Listed<Alert>>((signal) => client.list("/alerts", filters, signal, 3), 2_000, key);
  const [acting, setActing] = useState<{kind: "acknowledge" | "silence"; alert: Alert} | null>(null);
  const set = (name: string) => (event: {currentTarget: {value: string}}): void => setFilters({...filters, [name]: event.currentTarget.value});
  const sorted = [...(alerts.value?.items ?? [])].sort((a, b) =>
    Number(a.state === "resolved") - Number(b.state === "resolved") || SEVERITY_RANK[a.severity] - SEVERITY_RANK[b.severity] || b.onset_ms - a.onset_ms);
  return (
    <>
      <ViewHead title="Alerts" />
      <form class="filters" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
        <label>State <select value={filters.state} onChange={set("state")}>{STATES.map((one) => <option key={one}>{one}</option>)}</select></label>
        <label>Severity <select value={filters.severity} onChange={set("severity")}><option value="">any</option><option>critical</option><option>warning</option><option>info</option></select></label>
        <label>Gateway <input value={filters.gateway} onChange={set("gateway")} /></label>
        <label>Series <input value={filters.series} placeholder="pattern, such as press/*" onChange={set("series")} /></label>
      </form>
      <Problem error={alerts.error} />
      {!alerts.value && !alerts.error && <Loading />}
      {alerts.value && sorted.length === 0 && <p class="muted">No alert matches.</p>}
      {sorted.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Alerts">
          <table class="cards alerts">
            <thead><tr><th scope="col">Severity</th><th scope="col">State</th><th scope="col">Alert</th><th scope="col">Gateway</th><th scope="col" class="number">Observed</th><th scope="col">Began</th><th scope="col">Lasted</th><th scope="col">Actions</th></tr></thead>
            <tbody>
              {sorted.map((alert) => (
                <tr key={alert.id} class={`severity-row-${alert.severity} state-row-${alert.state}`}>
                  <td data-label="Severity"><SeverityBadge severity={alert.severity} /></td>
                  <td data-label="State"><StateBadge state={alert.state} />{alert.acknowledged_by && <small class="by">by {alert.acknowledged_by}</small>}</td>
                  <th scope="row"><a href={routeText(["alerts", alert.id])}>{titleOf(alert)}</a> <AlertNotes alert={alert} /></th>
                  <td data-label="Gateway"><a href={routeText(["gateways", alert.gateway])}>{alert.gateway}</a></td>
                  <td data-label="Observed" class="number">{quantityText(alert.observed, alert.unit)}</td>
                  <td data-label="Began"><Ago ms={alert.onset_ms} /></td>
                  <td data-label="Lasted"><Lasted from={alert.onset_ms} to={alert.ended_ms} /></td>
                  <td data-label="Actions" class="actions">
                    {mayOperate(me) && alert.state !== "resolved" && (
                      <>
                        {alert.state !== "acknowledged" && <button type="button" aria-label={`Acknowledge ${titleOf(alert)}`} onClick={() => setActing({kind: "acknowledge", alert})}>Acknowledge</button>}
                        <button type="button" aria-label={`Silence ${titleOf(alert)}`} onClick={() => setActing({kind: "silence", alert})}>Silence</button>
                      </>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {alerts.value?.truncated && <p class="note">More alerts match than are shown here.</p>}
      {acting?.kind === "acknowledge" && <AcknowledgeDialog alert={acting.alert} onClose={() => setActing(null)} onDone={alerts.refresh} />}
      {acting?.kind === "silence" && <SilenceDialog about={acting.alert} onClose={() => setActing(null)} onDone={alerts.refresh} />}
    </>
  );
}

/** Return the text by which an alert is listed. */
export function titleOf(alert: Alert): string {
  if (alert.kind === "anomaly" && alert.series && alert.cause) return `${alert.series}: ${causeText(alert)}`;
  return alert.summary || `${alert.series || alert.gateway}: ${causeText(alert)}`;
}
