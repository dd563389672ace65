import {useMemo, useState} from "preact/hooks";
import {ApiError, exactly, queryText, type Client, type Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Alert, Forecast, Latest, Limits, SeriesInfo} from "../api/types";
import {SeriesChart} from "../chart/series_chart";
import {mayOperate, useApp} from "../context";
import {numberText, quantityText} from "../format/number";
import {timeText} from "../format/time";
import {replaceRoute, routeText} from "../router";
import {SeverityBadge, StateBadge} from "../ui/badges";
import {Dialog} from "../ui/dialog";
import {Ago, Field, Loading, Problem, ViewHead} from "../ui/parts";
import {titleOf} from "./alerts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 366 * 24 * HOUR_MS;

/** One series: chart with alerts, limits and forecast. */
export function SeriesView({gateway, query}: {gateway: string; query: Record<string, string>}) {
  const {client, openAlerts} = useApp();
  const series = query["series"] ?? "";
  const path = `/gateways/${encodeURIComponent(gateway)}`;
  const key = `${gateway} ${series}`;
  const facts = usePolling((signal) => factsOf(client, path, series, signal), 60_000, key);
  const newest = usePolling((signal) => latestOf(client, path, series, signal), 3_000, `${key} latest`);
  const recent = usePolling<Listed<Alert>>(
    (signal) => client.list("/alerts", {state: "all", gateway, series: exactly(series), from: Math.floor(Date.now() / HOUR_MS) * HOUR_MS - YEAR_MS}, signal), 5_000, `${key} alerts`);
  const forecast = usePolling<Forecast | null>((signal) => forecastOf(client, path, series, signal), 60_000, `${key} forecast`);
  const limits = usePolling<Limits>((signal) => limitsOf(client, path, series, signal), 30_000, `${key} limits`);
  const [editing, setEditing] = useState(false);
  const {me} = useApp();
  const range = useMemo(() => rangeOf(query), []);
  const alerts = useMemo(() => {
    // The list of open alerts is fresher than that of all.
    const open = (openAlerts.value?.items ?? []).filter((one) => one.gateway === gateway && one.series === series);
    const known = new Map((recent.value?.items ?? []).map((one) => [one.id, one]));
    for (const one of open) known.set(one.id, one);
    return [...known.values()].filter((one) => one.gateway === gateway && one.series === series).sort((a, b) => b.onset_ms - a.onset_ms);
  }, [recent.value, openAlerts.value]);
  return (
    <>
      <p class="crumbs"><a href="#/">Fleet</a> / <a href={routeText(["gateways", gateway])}>{gateway}</a></p>
      <ViewHead title={series}>
        {newest.value && <span class="now">{quantityText(newest.value.mean, newest.value.unit)}</span>}
        {mayOperate(me) && <button type="button" onClick={() => setEditing(true)}>Limits</button>}
        <a href={routeText(["rules", "new"], {gateways: gateway, series})}>New rule</a>
      </ViewHead>
      <Problem error={facts.error ?? recent.error} />
      {!facts.value && !facts.error && <Loading />}
      {facts.value && (
        <SeriesChart
          gateway={gateway} series={series} unit={facts.value.unit} rawWidthMs={facts.value.widthMs} alerts={alerts}
          limits={limits.value ?? {}} forecast={forecast.value ?? null} range={range} spanMs={Number(query["span"]) || HOUR_MS}
          onRange={(shown, following) => replaceRoute(["gateways", gateway, "series"], following
            ? {series, span: shown.to - shown.from} : {series, from: shown.from, to: shown.to})}
        />
      )}
      <ForecastText forecast={forecast.value ?? null} />
      {alerts.length > 0 && (
        <section>
          <h2>Alerts of this series</h2>
          <ul class="plainlist">
            {alerts.slice(0, 50).map((alert) => (
              <li key={alert.id}>
                <SeverityBadge severity={alert.severity} /> <StateBadge state={alert.state} />{" "}
                <a href={routeText(["alerts", alert.id])}>{titleOf(alert)}</a>{" "}
                <span class="muted"><Ago ms={alert.onset_ms} /></span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {editing && <LimitsDialog path={path} series={series} limits={limits.value ?? {}} onClose={() => setEditing(false)} onSaved={() => {
        setEditing(false);
        limits.refresh();
        forecast.refresh();
      }} />}
    </>
  );
}

function ForecastText({forecast}: {forecast: Forecast | null}) {
  if (!forecast || forecast.limits.length === 0) return null;
  return (
    <section>
      <h2>Forecast</h2>
      <ul class="plainlist">
        {forecast.limits.map((entry) => (
          <li key={entry.side}>
            {entry.estimate
              ? <>Reaches the {entry.side} limit {quantityText(entry.limit, forecast.unit)} about {timeText(entry.estimate.middle_ms)}, with probability {numberText(forecast.interval, 2)} between {timeText(entry.estimate.early_ms)} and {timeText(entry.estimate.late_ms)}.</>
              : <>{entry.side} limit {quantityText(entry.limit, forecast.unit)}: no estimate ({entry.detail || entry.reason}).</>}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface LimitsProperties {
  path: string;
  series: string;
  limits: Limits;
  onClose: () => void;
  onSaved: () => void;
}

function LimitsDialog({path, series, limits, onClose, onSaved}: LimitsProperties) {
  const {client} = useApp();
  const [high, setHigh] = useState(limits.high === null || limits.high === undefined ? "" : String(limits.high));
  const [low, setLow] = useState(limits.low === null || limits.low === undefined ? "" : String(limits.low));
  const [error, setError] = useState<ApiError>();
  const save = (event: Event): void => {
    event.preventDefault();
    const body = {high: high === "" ? null : Number(high), low: low === "" ? null : Number(low)};
    client.send("PUT", `${path}/limits${queryText({series})}`, body).then(onSaved, setError);
  };
  return (
    <Dialog title={`Limits of ${series}`} onClose={onClose}>
      <form onSubmit={save}>
        <Problem error={error} />
        <Field label="High limit" hint="empty for none"><input type="number" step="any" value={high} onInput={(event) => setHigh(event.currentTarget.value)} /></Field>
        <Field label="Low limit" hint="empty for none"><input type="number" step="any" value={low} onInput={(event) => setLow(event.currentTarget.value)} /></Field>
        <button type="submit" class="primary">Save</button>
      </form>
    </Dialog>
  );
}

interface SeriesFacts {
  unit: string;
  widthMs: number;
}

async function factsOf(client: Client, path: string, series: string, signal: AbortSignal): Promise<SeriesFacts> {
  const [known, latest] = await Promise.all([
    client.list<SeriesInfo>(`${path}/series`, {series: exactly(series)}, signal),
    latestOf(client, path, series, signal),
  ]);
  const info = known.items.find((one) => one.series === series);
  if (!info) throw new ApiError(404, "Unknown series", [`the gateway has no series ${series}`]);
  return {unit: info.unit, widthMs: latest ? Math.max(1, latest.end_ms - latest.start_ms) : 1_000};
}

async function latestOf(client: Client, path: string, series: string, signal: AbortSignal): Promise<Latest | undefined> {
  const found = await client.list<Latest>(`${path}/latest`, {series: exactly(series)}, signal);
  return found.items.find((one) => one.series === series);
}

/** Forecast by the stored limits, or null if the series has none. */
async function forecastOf(client: Client, path: string, series: string, signal: AbortSignal): Promise<Forecast | null> {
  try {
    return await client.get<Forecast>(`${path}/forecast`, {series}, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 401) return null;
    throw error;
  }
}

async function limitsOf(client: Client, path: string, series: string, signal: AbortSignal): Promise<Limits> {
  try {
    return await client.get<Limits>(`${path}/limits`, {series}, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return {};
    throw error;
  }
}

function rangeOf(query: Record<string, string>): {from: number; to: number} | null {
  const [from, to] = [Number(query["from"]), Number(query["to"])];
  return from > 0 && to > from ? {from, to} : null;
}
