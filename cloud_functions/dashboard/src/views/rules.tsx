import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Condition, Rule} from "../api/types";
import {mayOperate, useApp} from "../context";
import {numberText} from "../format/number";
import {durationText} from "../format/time";
import {routeText} from "../router";
import {SeverityBadge} from "../ui/badges";
import {Ago, Loading, Problem, ViewHead} from "../ui/parts";

/** All rules. */
export function RulesView() {
  const {client, me} = useApp();
  const rules = usePolling<Listed<Rule>>((signal) => client.list("/rules", {}, signal), 10_000, "rules");
  const items = rules.value?.items ?? [];
  return (
    <>
      <ViewHead title="Rules">{mayOperate(me) && <a class="button primary" href={routeText(["rules", "new"])}>New rule</a>}</ViewHead>
      <Problem error={rules.error} />
      {!rules.value && !rules.error && <Loading />}
      {rules.value && items.length === 0 && <p class="muted">There are no rules. Anomalies raise alerts without one.</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Rules">
          <table class="cards">
            <thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Severity</th><th scope="col">Condition</th><th scope="col">Gateways</th><th scope="col">Series</th><th scope="col">Changed</th></tr></thead>
            <tbody>
              {items.map((rule) => (
                <tr key={rule.name}>
                  <th scope="row"><a href={routeText(["rules", rule.name])}>{rule.name}</a></th>
                  <td data-label="State">{rule.enabled ? "enabled" : "disabled"}</td>
                  <td data-label="Severity"><SeverityBadge severity={rule.severity} /></td>
                  <td data-label="Condition">{conditionText(rule.condition)}{rule.for_s > 0 && ` for ${durationText(rule.for_s * 1_000)}`}</td>
                  <td data-label="Gateways"><code>{rule.gateways}</code></td>
                  <td data-label="Series"><code>{rule.series}</code></td>
                  <td data-label="Changed"><Ago ms={rule.updated_ms} /> {rule.updated_by && <small class="by">by {rule.updated_by}</small>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** Return a condition as a short text. */
export function conditionText(condition: Condition): string {
  const bounds = (entry: {above?: number; below?: number}): string => [
    entry.above === undefined ? "" : `above ${numberText(entry.above)}`, entry.below === undefined ? "" : `below ${numberText(entry.below)}`,
  ].filter(Boolean).join(" or ");
  switch (condition.type) {
    case "threshold":
      return bounds(condition);
    case "rate":
      return `change per ${condition.per} ${bounds(condition)}`;
    case "absence":
      return `no data for ${durationText(condition.after_s * 1_000)}`;
    case "forecast":
      return `reaches ${condition.side} limit ${numberText(condition.limit)} within ${durationText(condition.within_s * 1_000)}`;
    case "silence":
      return `${condition.of === "gateway" ? "gateway" : "series"} silent after ${durationText(condition.after_s * 1_000)}`;
  }
}
