import {useState} from "preact/hooks";
import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Gateway, Severity} from "../api/types";
import {useApp} from "../context";
import {bytesText, countText} from "../format/number";
import {findingsOf, rankOf} from "../health";
import {replaceRoute, routeText} from "../router";
import {HealthBadge, SeverityBadge} from "../ui/badges";
import {Ago, Loading, Problem, ViewHead} from "../ui/parts";

const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];
const RANKS = ["critical", "attention", "information", "healthy"] as const;

/** All gateways with their health, the worst first; on request those of one site, or grouped by site. */
export function FleetView({query}: {query: Record<string, string>}) {
  const {client} = useApp();
  const fleet = usePolling<Listed<Gateway>>((signal) => client.list("/gateways", {limit: 500}, signal), 5_000, "fleet");
  const [filter, setFilter] = useState("");
  const [choice, setChoice] = useState({site: query["site"] ?? "", group: query["group"] ?? ""});
  const choose = (change: Partial<typeof choice>): void => {
    setChoice({...choice, ...change});
    replaceRoute([], {...choice, ...change});
  };
  const gateways = fleet.value?.items ?? [];
  const sites = [...new Set([...gateways.map(siteOf), ...(choice.site ? [choice.site] : [])])].sort();
  const text = filter.toLowerCase();
  const shown = gateways
    .filter((one) => !choice.site || siteOf(one) === choice.site)
    .filter((one) => `${one.gateway} ${siteOf(one)}`.toLowerCase().includes(text))
    .sort((a, b) => rankOf(a) - rankOf(b) || a.gateway.localeCompare(b.gateway));
  const totals = RANKS.map((_, rank) => gateways.filter((one) => rankOf(one) === rank).length);
  return (
    <>
      <ViewHead title="Fleet">
        <label class="filter">Site <select aria-label="Site" value={choice.site} onChange={(event) => choose({site: event.currentTarget.value})}>
          <option value="">all</option>{sites.map((site) => <option key={site}>{site}</option>)}
        </select></label>
        <label class="filter"><input type="checkbox" checked={choice.group === "site"} onChange={(event) => choose({group: event.currentTarget.checked ? "site" : ""})} /> Group by site</label>
        <label class="filter"><span class="word">Filter</span> <input type="search" aria-label="Filter by gateway or site" placeholder="gateway or site" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} /></label>
      </ViewHead>
      <Problem error={fleet.error} />
      {!fleet.value && !fleet.error && <Loading />}
      {fleet.value && (
        <>
          <ul class="tiles" aria-label="Gateways by health">
            <li><strong>{gateways.length}</strong> gateways</li>
            {RANKS.map((name, rank) => <li key={name} class={`rank-${rank}`}><strong>{totals[rank]}</strong> {name}</li>)}
          </ul>
          {fleet.value.truncated && <p class="note">More gateways exist than are shown here.</p>}
          <div class="scroll" tabIndex={0} role="region" aria-label="Gateways">
            <table class="cards">
              <thead><tr>
                <th scope="col">Gateway</th><th scope="col">Site</th><th scope="col">Health</th><th scope="col">Open alerts</th>
                <th scope="col">Last data</th><th scope="col">Version</th><th scope="col" class="number">Spool</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Bytes</th>
              </tr></thead>
              {groupsOf(shown, choice.group === "site").map(([site, members]) => (
                <tbody key={site}>
                  {site && <tr class="group-row"><th scope="rowgroup" colSpan={9}>{site}: {members.length} {members.length === 1 ? "gateway" : "gateways"}</th></tr>}
                  {members.map((one) => <GatewayRow key={one.gateway} gateway={one} />)}
                </tbody>
              ))}
            </table>
          </div>
          {shown.length === 0 && <p class="muted">{gateways.length ? "No gateway matches the filter." : "No gateway has sent data yet."}</p>}
        </>
      )}
    </>
  );
}

function siteOf(gateway: Gateway): string {
  return gateway.site ?? "";
}

/** Return gateways by site, the site with the worst gateway first; without grouping a single group without a name. */
export function groupsOf(gateways: readonly Gateway[], bySite: boolean): [string, Gateway[]][] {
  const groups = new Map<string, Gateway[]>();
  for (const one of gateways) {
    const site = bySite ? siteOf(one) || "no site" : "";
    groups.set(site, [...(groups.get(site) ?? []), one]);
  }
  return [...groups];
}

function GatewayRow({gateway}: {gateway: Gateway}) {
  return (
    <tr class={`rank-${rankOf(gateway)}`}>
      <th scope="row"><a href={routeText(["gateways", gateway.gateway])}>{gateway.gateway}</a></th>
      <td data-label="Site">{gateway.site ?? "–"}</td>
      <td data-label="Health">{findingsOf(gateway).map((finding) => <HealthBadge key={finding.text} {...finding} />)}</td>
      <td data-label="Open alerts"><AlertCounts gateway={gateway} /></td>
      <td data-label="Last data"><Ago ms={gateway.last_seen_ms} /></td>
      <td data-label="Version">{gateway.health?.version ?? "–"}</td>
      <td data-label="Spool" class="number">{bytesText(gateway.health?.spool_bytes)}</td>
      <td data-label="Rows" class="number">{countText(gateway.rows)}</td>
      <td data-label="Bytes" class="number">{bytesText(gateway.bytes)}</td>
    </tr>
  );
}

function AlertCounts({gateway}: {gateway: Gateway}) {
  const counts = SEVERITIES.filter((severity) => (gateway.alerts?.[severity] ?? 0) > 0);
  if (counts.length === 0) return <>–</>;
  return (
    <a class="counts" href={routeText(["alerts"], {gateway: gateway.gateway})} aria-label={`Alerts of ${gateway.gateway}: ${counts.map((one) => `${gateway.alerts?.[one]} ${one}`).join(", ")}`}>
      {counts.map((severity) => <span key={severity}>{gateway.alerts?.[severity]} <SeverityBadge severity={severity} /> </span>)}
    </a>
  );
}
