import {useState} from "preact/hooks";
import type {ApiError} from "../api/client";
import type {DryRun} from "../api/types";
import {useApp} from "../context";
import {numberText} from "../format/number";
import {durationText, timeText} from "../format/time";
import {routeText} from "../router";
import {ruleOf, type RuleForm} from "../rule_form";
import {Field, Problem} from "../ui/parts";

const HOUR_MS = 3_600_000;
const PERIODS: readonly [string, number][] = [["last hour", HOUR_MS], ["last day", 24 * HOUR_MS], ["last week", 168 * HOUR_MS], ["last 30 days", 720 * HOUR_MS]];
const MAX_SHOWN = 200;

/** Evaluate the edited rule over stored history, without a change. */
export function DryRunPanel({form}: {form: RuleForm}) {
  const {client} = useApp();
  const [period, setPeriod] = useState(168 * HOUR_MS);
  const [result, setResult] = useState<{outcome: DryRun; name: string}>();
  const [error, setError] = useState<ApiError>();
  const [running, setRunning] = useState(false);
  const run = (): void => {
    const to = Date.now();
    setRunning(true);
    setError(undefined);
    const rule = ruleOf({...form, name: form.name || "dry-run"});
    client.send<DryRun>("POST", "/rules/dry-run", {rule, from: to - period, to}).then(
      (outcome) => setResult({outcome, name: PERIODS.find(([, ms]) => ms === period)?.[0] ?? ""}),
      (failure: ApiError) => {
        setResult(undefined);
        setError(failure);
      },
    ).finally(() => setRunning(false));
  };
  return (
    <section class="dryrun" aria-label="Dry run">
      <h2>Dry run</h2>
      <div class="actions">
        <Field label="Period"><select value={String(period)} onChange={(event) => setPeriod(Number(event.currentTarget.value))}>{PERIODS.map(([name, ms]) => <option key={name} value={String(ms)}>{name}</option>)}</select></Field>
        <button type="button" disabled={running} onClick={run}>{running ? "Running…" : "Run"}</button>
      </div>
      <Problem error={error} />
      <p role="status" class="outcome">{result && `In the ${result.name} the rule would have fired ${result.outcome.count} ${result.outcome.count === 1 ? "time" : "times"}, on ${result.outcome.series_evaluated} series evaluated.`}</p>
      {result && result.outcome.firings.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Firings">
          <table>
            <thead><tr><th scope="col">Gateway</th><th scope="col">Series</th><th scope="col">From</th><th scope="col">Lasted</th><th scope="col" class="number">Peak</th></tr></thead>
            <tbody>
              {result.outcome.firings.slice(0, MAX_SHOWN).map((one) => (
                <tr key={`${one.gateway} ${one.series} ${one.from_ms}`}>
                  <td>{one.gateway}</td>
                  <td><a href={chartOf(one)}>{one.series}</a></td>
                  <td>{timeText(one.from_ms)}</td>
                  <td>{one.to_ms === null ? "still firing" : durationText(one.to_ms - one.from_ms)}</td>
                  <td class="number">{numberText(one.peak)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function chartOf(firing: DryRun["firings"][number]): string {
  const end = firing.to_ms ?? Date.now();
  const margin = Math.max(300_000, end - firing.from_ms);
  return routeText(["gateways", firing.gateway, "series"], {series: firing.series, from: firing.from_ms - margin, to: end + margin});
}
