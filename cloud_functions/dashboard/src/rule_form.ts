import type {Condition, Rule, Severity} from "./api/types";

/** Texts of the rule editor's inputs; numbers stay texts until the rule is sent, so that the API judges them. */
export interface RuleForm {
  name: string;
  enabled: boolean;
  gateways: string;
  series: string;
  type: Condition["type"];
  above: string;
  below: string;
  clear_margin: string;
  per: string;
  after_s: string;
  limit: string;
  side: "high" | "low";
  within_s: string;
  of: "gateway" | "series";
  for_s: string;
  severity: Severity;
  summary: string;
}

/** Return the form of a new rule. */
export function newForm(gateways = "*", series = "*"): RuleForm {
  return {
    name: "", enabled: true, gateways, series, type: "threshold", above: "", below: "", clear_margin: "", per: "1h",
    after_s: "600", limit: "", side: "high", within_s: "86400", of: "gateway", for_s: "60", severity: "warning", summary: "",
  };
}

/** Return the form of a stored rule. */
export function formOf(rule: Rule): RuleForm {
  const form = {
    ...newForm(rule.gateways, rule.series), name: rule.name, enabled: rule.enabled, type: rule.condition.type,
    for_s: String(rule.for_s), severity: rule.severity, summary: rule.summary ?? "",
  };
  for (const [name, value] of Object.entries(rule.condition)) {
    if (name !== "type" && value !== null && value !== undefined) Object.assign(form, {[name]: String(value)});
  }
  return form;
}

/** Return the rule of a form, with only the fields of its condition's type. */
export function ruleOf(form: RuleForm): Rule {
  const rule: Rule = {
    name: form.name, enabled: form.enabled, gateways: form.gateways, series: ofGateway(form) ? "*" : form.series, condition: conditionOf(form),
    // The duration of a set silence is its own, and the series of a gateway's are all.
    for_s: form.type === "silence" ? 0 : Number(form.for_s), severity: form.severity,
  };
  if (form.summary) rule.summary = form.summary;
  return rule;
}

function conditionOf(form: RuleForm): Condition {
  const bounds: {above?: number; below?: number} = {};
  if (form.above !== "") bounds.above = Number(form.above);
  if (form.below !== "") bounds.below = Number(form.below);
  switch (form.type) {
    case "threshold":
      return {type: "threshold", ...bounds, ...(form.clear_margin === "" ? {} : {clear_margin: Number(form.clear_margin)})};
    case "rate":
      return {type: "rate", ...bounds, per: form.per};
    case "absence":
      return {type: "absence", after_s: Number(form.after_s)};
    case "forecast":
      return {type: "forecast", limit: Number(form.limit), side: form.side, within_s: Number(form.within_s)};
    case "silence":
      return {type: "silence", of: form.of, after_s: Number(form.after_s)};
  }
}

/** True for a rule on gateways as a whole, which names no series. */
export function ofGateway(form: RuleForm): boolean {
  return form.type === "silence" && form.of === "gateway";
}
