import {usePolling} from "../api/polling";
import type {Costs} from "../api/types";
import {useApp} from "../context";
import {bytesText, countText, dollarText} from "../format/number";
import {timeText} from "../format/time";
import {Loading, Problem, ViewHead} from "../ui/parts";

/** Estimated charges of a month at the present rate, by item. */
export function CostsView() {
  const {client} = useApp();
  const costs = usePolling<Costs>((signal) => client.get("/costs", {}, signal), 60_000, "costs");
  return (
    <>
      <ViewHead title="Costs">{costs.value && <span class="now">{dollarText(costs.value.total)} a month</span>}</ViewHead>
      <Problem error={costs.error} />
      {!costs.value && !costs.error && <Loading />}
      {costs.value && <Estimate costs={costs.value} />}
    </>
  );
}

function Estimate({costs}: {costs: Costs}) {
  const {month} = costs;
  const items = Object.entries(costs.items).sort((a, b) => b[1] - a[1]);
  return (
    <>
      <p class="muted">
        Estimate at list prices in {costs.currency}, from the rate of the active gateways since {timeText(costs.since_ms)}.
        {costs.gateways_read < costs.gateways && ` ${costs.gateways_read} of ${costs.gateways} gateways were read; the others are taken as in proportion.`}
      </p>
      <h2>Charges of a month</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Charges of a month">
        <table class="costs">
          <thead><tr><th scope="col">Item</th><th scope="col" class="number">Amount</th><th scope="col" class="number">Share</th></tr></thead>
          <tbody>
            {items.map(([name, amount]) => (
              <tr key={name}>
                <th scope="row">{name}</th><td class="number">{dollarText(amount)}</td>
                <td class="number">{costs.total > 0 ? `${Math.round((100 * amount) / costs.total)} %` : "–"}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr><th scope="row">Total</th><td class="number">{dollarText(costs.total)}</td><td /></tr>
            <tr><th scope="row">Greengrass, not included</th><td class="number">{dollarText(costs.greengrass)}</td><td /></tr>
          </tfoot>
        </table>
      </div>
      <h2>Traffic of a month</h2>
      <dl class="facts">
        <div><dt>Active gateways</dt><dd>{countText(costs.gateways_active)} of {countText(costs.gateways)}</dd></div>
        <div><dt>Batches</dt><dd>{countText(month.batches)}</dd></div>
        <div><dt>Notices</dt><dd>{countText(month.notices)}</dd></div>
        <div><dt>Rows</dt><dd>{countText(month.rows)}</dd></div>
        <div><dt>Bytes</dt><dd>{bytesText(month.bytes)}</dd></div>
        <div><dt>Requests of telemetry</dt><dd>{countText(month.posts)}</dd></div>
        <div><dt>Alerts</dt><dd>{countText(month.alerts)}</dd></div>
      </dl>
    </>
  );
}
