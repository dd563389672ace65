import type {Rule} from "../api/types";
import {mayOperate, useApp} from "../context";
import {routeText, parseRoute} from "../router";
import {formOf, newForm, ofGateway, ruleOf, type RuleForm} from "../rule_form";
import {Field, Loading, Problem, ViewHead} from "../ui/parts";
import {useDocument} from "./document";
import {DryRunPanel} from "./dry_run";

/** Editor of one rule, or of a new one, with a dry run over history. */
export function RuleView({name}: {name: string}) {
  const {me} = useApp();
  const isNew = name === "new";
  const {form, change, error, save, remove} = useDocument<RuleForm, Rule>({
    path: "rules", title: "Rule", name, formOf, documentOf: ruleOf,
    empty: () => {
      const query = parseRoute(location.hash).query;
      return newForm(query["gateways"], query["series"]);
    },
  });
  const allowed = mayOperate(me);
  return (
    <>
      <p class="crumbs"><a href={routeText(["rules"])}>Rules</a></p>
      <ViewHead title={isNew ? "New rule" : name} />
      <Problem error={error} />
      {!form && !error && <Loading />}
      {form && (
        <div class="editor">
          <form onSubmit={save} aria-label="Rule">
            <fieldset disabled={!allowed}>
              <legend class="hidden">Rule</legend>
              <RuleFields form={form} isNew={isNew} onChange={change} />
              <div class="actions">
                <button type="submit" class="primary">Save rule</button>
                {!isNew && <button type="button" onClick={remove}>Delete rule</button>}
              </div>
            </fieldset>
          </form>
          {allowed && form.type !== "silence" && <DryRunPanel form={form} />}
        </div>
      )}
    </>
  );
}

interface FieldsProperties {
  form: RuleForm;
  isNew: boolean;
  onChange: (change: Partial<RuleForm>) => void;
}

function RuleFields({form, isNew, onChange}: FieldsProperties) {
  const set = (name: keyof RuleForm) => (event: {currentTarget: {value: string}}): void => onChange({[name]: event.currentTarget.value});
  const number = (name: keyof RuleForm, label: string, hint = "", required = false) => (
    <Field label={label} hint={hint}><input name={name} type="number" step="any" required={required} value={String(form[name])} onInput={set(name)} /></Field>
  );
  return (
    <>
      <div class="columns">
        <Field label="Name"><input name="name" required readOnly={!isNew} value={form.name} onInput={set("name")} /></Field>
        <Field label="Severity"><select name="severity" value={form.severity} onChange={set("severity")}><option>critical</option><option>warning</option><option>info</option></select></Field>
        <Field label="Gateways" hint="pattern, such as site-a-*"><input name="gateways" required value={form.gateways} onInput={set("gateways")} /></Field>
        {!ofGateway(form) && <Field label="Series" hint="pattern, such as press/*"><input name="series" required value={form.series} onInput={set("series")} /></Field>}
        <Field label="Condition">
          <select name="type" value={form.type} onChange={set("type")}>
            <option value="threshold">threshold</option><option value="rate">rate of change</option><option value="absence">no data</option><option value="forecast">forecast reaches limit</option><option value="silence">silence is set</option>
          </select>
        </Field>
        {(form.type === "threshold" || form.type === "rate") && number("above", "Above")}
        {(form.type === "threshold" || form.type === "rate") && number("below", "Below")}
        {form.type === "threshold" && number("clear_margin", "Clear margin", "distance from the threshold at which the alert ends")}
        {form.type === "rate" && <Field label="Per"><select name="per" value={form.per} onChange={set("per")}><option value="1s">second</option><option value="1m">minute</option><option value="1h">hour</option><option value="1d">day</option></select></Field>}
        {form.type === "absence" && number("after_s", "After", "seconds without data", true)}
        {form.type === "forecast" && number("limit", "Limit", "", true)}
        {form.type === "forecast" && <Field label="Side"><select name="side" value={form.side} onChange={set("side")}><option>high</option><option>low</option></select></Field>}
        {form.type === "forecast" && number("within_s", "Within", "seconds", true)}
        {form.type === "silence" && <Field label="Of"><select name="of" value={form.of} onChange={set("of")}><option value="gateway">gateway</option><option value="series">each series</option></select></Field>}
        {form.type === "silence" && number("after_s", "Silent after", "seconds without data, in the place of the learned time", true)}
        {form.type !== "silence" && number("for_s", "For", "seconds that the condition must hold", true)}
      </div>
      <Field label="Summary" hint="text of the alert; empty for a generated one"><input name="summary" maxLength={200} value={form.summary} onInput={set("summary")} /></Field>
      <label class="check"><input name="enabled" type="checkbox" checked={form.enabled} onChange={(event) => onChange({enabled: event.currentTarget.checked})} /> Enabled</label>
    </>
  );
}
