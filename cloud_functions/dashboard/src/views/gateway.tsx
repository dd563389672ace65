import {useState} from "preact/hooks";
import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {GatewayDetail, Latest, SeriesInfo} from "../api/types";
import {useApp} from "../context";
import {bytesText, countText, numberText, quantityText, unitText} from "../format/number";
import {durationText, timeText} from "../format/time";
import {componentsOf, findingsOf} from "../health";
import {routeText} from "../router";
import {HealthBadge, SeverityBadge, StateBadge} from "../ui/badges";
import {Ago, Loading, Problem, ViewHead} from "../ui/parts";
import {titleOf} from "./alerts";

/** One gateway: health, series with their newest values, open alerts, transfer. */
export function GatewayView({gateway}: {gateway: string}) {
  const {client} = useApp();
  const path = `/gateways/${encodeURIComponent(gateway)}`;
  const detail = usePolling<GatewayDetail>((signal) => client.get(path, {}, signal), 5_000, path);
  const found = detail.value;
  return (
    <>
      <p class="crumbs"><a href="#/">Fleet</a></p>
      <ViewHead title={gateway}>
        {found && <span>{findingsOf(found).map((finding) => <HealthBadge key={finding.text} {...finding} />)}</span>}
      </ViewHead>
      <Problem error={detail.error} />
      {!found && !detail.error && <Loading />}
      {found && (
        <>
          <Facts gateway={found} />
          <OpenAlerts gateway={gateway} />
          <SeriesTable gateway={gateway} path={path} />
          <Transfer gateway={found} />
        </>
      )}
    </>
  );
}

function Facts({gateway}: {gateway: GatewayDetail}) {
  const health = gateway.health ?? {};
  const offset = health.clock_offset_ms;
  const facts: [string, preact.ComponentChildren][] = [
    ["Site", gateway.site ?? "–"],
    ["Last data", <Ago ms={gateway.last_seen_ms} />],
    ["First data", timeText(gateway.first_seen_ms)],
    ["Version", health.version ?? "–"],
    ["Spool", health.spool_bytes === undefined ? "–" : `${bytesText(health.spool_bytes)}, ${countText(health.spool_batches)} batches`],
    ["Clock", offset === undefined ? "–" : Math.abs(offset) < 1_000 ? "correct within 1 s" : `${durationText(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}`],
    ...componentsOf(health).map(({name, state, version}): [string, string] => [name, version ? `${state}, ${version}` : state]),
  ];
  return <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function OpenAlerts({gateway}: {gateway: string}) {
  const {openAlerts} = useApp();
  const alerts = openAlerts.value?.items.filter((alert) => alert.gateway === gateway) ?? [];
  if (alerts.length === 0) return null;
  return (
    <section>
      <h2>Open alerts</h2>
      <ul class="plainlist">
        {alerts.map((alert) => (
          <li key={alert.id}>
            <SeverityBadge severity={alert.severity} /> <StateBadge state={alert.state} />{" "}
            <a href={routeText(["alerts", alert.id])}>{titleOf(alert)}</a>{" "}
            <span class="muted"><Ago ms={alert.onset_ms} /></span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function SeriesTable({gateway, path}: {gateway: string; path: string}) {
  const {client} = useApp();
  const series = usePolling<Listed<SeriesInfo>>((signal) => client.list(`${path}/series`, {limit: 1_000}, signal), 30_000, `${path}/series`);
  const latest = usePolling<Listed<Latest>>((signal) => client.list(`${path}/latest`, {}, signal), 3_000, `${path}/latest`);
  const [filter, setFilter] = useState("");
  const newest = new Map(latest.value?.items.map((one) => [one.series, one]));
  const shown = (series.value?.items ?? []).filter((one) => one.series.toLowerCase().includes(filter.toLowerCase()));
  return (
    <section>
      <div class="head">
        <h2>Series</h2>
        <input type="search" aria-label="Filter series" placeholder="series" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
      </div>
      <Problem error={series.error ?? latest.error} />
      <div class="scroll" tabIndex={0} role="region" aria-label="Series">
        <table class="cards">
          <thead><tr><th scope="col">Series</th><th scope="col" class="number">Newest mean</th><th scope="col" class="number">Minimum</th><th scope="col" class="number">Maximum</th><th scope="col">Unit</th><th scope="col">Window</th><th scope="col">Time</th></tr></thead>
          <tbody>
            {shown.map(({series: name, unit}) => {
              const value = newest.get(name);
              return (
                <tr key={name}>
                  <th scope="row"><a href={routeText(["gateways", gateway, "series"], {series: name})}>{name}</a></th>
                  <td data-label="Newest mean" class="number">{quantityText(value?.mean, unit)}</td>
                  <td data-label="Minimum" class="number">{numberText(value?.min)}</td>
                  <td data-label="Maximum" class="number">{numberText(value?.max)}</td>
                  <td data-label="Unit">{unitText(unit) || "–"}</td>
                  <td data-label="Window">{value ? durationText(value.end_ms - value.start_ms) : "–"}</td>
                  <td data-label="Time"><Ago ms={value?.end_ms} /></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Transfer({gateway}: {gateway: GatewayDetail}) {
  const counts = (values: Record<string, number> | undefined): string =>
    Object.entries(values ?? {}).filter(([, count]) => count > 0).map(([name, count]) => `${name} ${countText(count)}`).join(", ") || "none";
  return (
    <section>
      <h2>Transfer</h2>
      <dl class="facts">
        <div><dt>Stored</dt><dd>{countText(gateway.rows)} rows in {countText(gateway.batches)} batches, {bytesText(gateway.bytes)}</dd></div>
        <div><dt>Duplicates removed</dt><dd>{countText(gateway.duplicates)}</dd></div>
        <div><dt>Rejected</dt><dd>{counts(gateway.rejected)}</dd></div>
        <div><dt>Losses</dt><dd>{counts(gateway.losses)}</dd></div>
      </dl>
      {(gateway.epochs?.length ?? 0) > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Epochs">
          <table>
            <thead><tr><th scope="col">Epoch</th><th scope="col" class="number">Batches</th><th scope="col" class="number">Highest</th><th scope="col" class="number">Missing</th><th scope="col">Changed</th></tr></thead>
            <tbody>
              {gateway.epochs?.map((epoch) => (
                <tr key={epoch.epoch}>
                  <th scope="row"><code>{epoch.epoch}</code></th><td class="number">{countText(epoch.batches)}</td><td class="number">{countText(epoch.highest)}</td>
                  <td class="number">{countText(epoch.missing_count)}</td><td><Ago ms={epoch.changed_ms} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
