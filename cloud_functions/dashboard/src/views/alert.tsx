import {useMemo, useState} from "preact/hooks";
import {exactly, type Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Alert, AlertEvent, Latest, Limits} from "../api/types";
import {SeriesChart} from "../chart/series_chart";
import {mayOperate, useApp} from "../context";
import {numberText, quantityText} from "../format/number";
import {durationText, timeText} from "../format/time";
import {routeText} from "../router";
import {AlertNotes, SeverityBadge, StateBadge} from "../ui/badges";
import {Lasted, Loading, Problem, ViewHead} from "../ui/parts";
import {AcknowledgeDialog} from "./acknowledge";
import {titleOf} from "./alerts";
import {SilenceDialog} from "./silence_dialog";

const MIN_MARGIN_MS = 300_000;

/** One alert: the reason, the chart around it, and its history. */
export function AlertView({id}: {id: string}) {
  const {client, me} = useApp();
  const path = `/alerts/${encodeURIComponent(id)}`;
  const found = usePolling<Alert>((signal) => client.get(path, {}, signal), 2_000, path);
  const history = usePolling<Listed<AlertEvent>>((signal) => client.list(`${path}/history`, {}, signal), 3_000, `${path}/history`);
  const [acting, setActing] = useState<"acknowledge" | "silence" | null>(null);
  const alert = found.value;
  const refresh = (): void => {
    found.refresh();
    history.refresh();
  };
  return (
    <>
      <p class="crumbs"><a href={routeText(["alerts"])}>Alerts</a></p>
      <ViewHead title={alert ? titleOf(alert) : "Alert"}>
        {alert && mayOperate(me) && alert.state !== "resolved" && (
          <>
            {alert.state !== "acknowledged" && <button type="button" class="primary" onClick={() => setActing("acknowledge")}>Acknowledge</button>}
            <button type="button" onClick={() => setActing("silence")}>Silence</button>
          </>
        )}
      </ViewHead>
      <Problem error={found.error} />
      {!alert && !found.error && <Loading />}
      {alert && (
        <>
          <p><SeverityBadge severity={alert.severity} /> <StateBadge state={alert.state} /> <AlertNotes alert={alert} /></p>
          <Facts alert={alert} />
          <Why alert={alert} />
          {alert.series && <AlertChart alert={alert} />}
          <section>
            <h2>History</h2>
            <Problem error={history.error} />
            <ol class="history">
              {history.value?.items.map((event) => (
                <li key={`${event.time_ms} ${event.event}`}><time>{timeText(event.time_ms)}</time> <strong>{event.event.replace(/_/g, " ")}</strong>{event.by && ` by ${event.by}`}{event.detail && <span class="muted"> {event.detail}</span>}</li>
              ))}
            </ol>
          </section>
          {acting === "acknowledge" && <AcknowledgeDialog alert={alert} onClose={() => setActing(null)} onDone={refresh} />}
          {acting === "silence" && <SilenceDialog about={alert} onClose={() => setActing(null)} onDone={refresh} />}
        </>
      )}
    </>
  );
}

function Facts({alert}: {alert: Alert}) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Gateway", <a href={routeText(["gateways", alert.gateway])}>{alert.gateway}</a>],
    ["Series", alert.series ? <a href={routeText(["gateways", alert.gateway, "series"], {series: alert.series})}>{alert.series}</a> : "the gateway itself"],
    ["Began", timeText(alert.onset_ms)],
    [alert.ended_ms ? "Ended" : "Lasted", alert.ended_ms ? `${timeText(alert.ended_ms)}, after ${durationText(alert.ended_ms - alert.onset_ms)}` : <Lasted from={alert.onset_ms} to={null} />],
  ];
  if (alert.fired_ms) facts.push(["Fired", timeText(alert.fired_ms)]);
  if (alert.acknowledged_by) facts.push(["Acknowledged", `by ${alert.acknowledged_by}, ${timeText(alert.acknowledged_ms)}${alert.comment ? `: ${alert.comment}` : ""}`]);
  return <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function Why({alert}: {alert: Alert}) {
  const causes = Object.entries(alert.causes ?? {}).sort(([, a], [, b]) => b - a);
  const greatest = Math.max(1, ...causes.map(([, score]) => score));
  const expectation = alert.lower !== null && alert.lower !== undefined && alert.upper !== null && alert.upper !== undefined
    ? `${quantityText(alert.expected, alert.unit)} (${numberText(alert.lower)} to ${quantityText(alert.upper, alert.unit)})`
    : quantityText(alert.expected, alert.unit);
  return (
    <section>
      <h2>Why</h2>
      <dl class="facts">
        <div><dt>Source</dt><dd>{alert.kind === "rule" ? `rule ${alert.rule ?? ""}` : alert.kind}</dd></div>
        {alert.cause && <div><dt>Cause</dt><dd>{alert.cause.replace(/_/g, " ")}{alert.direction ? `, ${alert.direction}` : ""}</dd></div>}
        <div><dt>Observed</dt><dd>{quantityText(alert.observed, alert.unit)}</dd></div>
        {(alert.expected ?? null) !== null && <div><dt>Expected</dt><dd>{expectation}</dd></div>}
        {(alert.score ?? null) !== null && <div><dt>Score</dt><dd>{numberText(alert.score, 3)} (alarm level 1)</dd></div>}
        {alert.channel && <div><dt>Channel</dt><dd>{alert.channel}</dd></div>}
        {(alert.history?.length ?? 0) > 0 && <div><dt>Last windows</dt><dd>{alert.history?.slice(-10).map((value) => numberText(value, 4)).join("  ")}</dd></div>}
      </dl>
      {causes.length > 0 && (
        <table class="causes">
          <caption>Score of each expert; 1 is the alarm level</caption>
          <tbody>
            {causes.map(([name, score]) => (
              <tr key={name}><th scope="row">{name.replace(/_/g, " ")}</th><td class="number">{numberText(score, 3)}</td><td><meter aria-label={`Score of ${name}`} min={0} max={greatest} value={score} /></td></tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function AlertChart({alert}: {alert: Alert}) {
  const {client} = useApp();
  const path = `/gateways/${encodeURIComponent(alert.gateway)}`;
  const latest = usePolling<Listed<Latest>>((signal) => client.list(`${path}/latest`, {series: exactly(alert.series)}, signal), 60_000, `${path} ${alert.series}`);
  const range = useMemo(() => {
    const end = alert.ended_ms ?? Date.now();
    const margin = Math.max(MIN_MARGIN_MS, end - alert.onset_ms);
    return {from: alert.onset_ms - margin, to: Math.min(end + margin / 4, Date.now())};
  }, [alert.id]);
  const alerts = useMemo(() => [alert], [alert]);
  const newest = latest.value?.items.find((one) => one.series === alert.series);
  if (!latest.value) return null;
  return (
    <SeriesChart
      gateway={alert.gateway} series={alert.series} unit={alert.unit || newest?.unit || ""} alerts={alerts} limits={NO_LIMITS} forecast={null}
      rawWidthMs={newest ? Math.max(1, newest.end_ms - newest.start_ms) : 1_000} range={range} spanMs={range.to - range.from}
    />
  );
}

const NO_LIMITS: Limits = {};
