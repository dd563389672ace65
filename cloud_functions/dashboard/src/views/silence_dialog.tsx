import {useState} from "preact/hooks";
import type {ApiError} from "../api/client";
import type {Alert, Severity, Silence} from "../api/types";
import {useApp} from "../context";
import {inputText, inputTime, offsetText} from "../format/time";
import {Choices} from "../ui/choices";
import {Dialog} from "../ui/dialog";
import {Field, Problem} from "../ui/parts";

interface Properties {
  /** Alert whose gateway and series are to be silenced, or null. */
  about: Alert | null;
  onClose: () => void;
  onDone: () => void;
}

const HOUR_MS = 3_600_000;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];

/** Create a silence: once, or at times of the week. */
export function SilenceDialog({about, onClose, onDone}: Properties) {
  const {client, me, announce} = useApp();
  const now = Date.now();
  const [fields, setFields] = useState({
    name: `silence-${now.toString(36)}`, gateways: about?.gateway ?? "*", series: about?.series || "*", rules: "",
    from: inputText(now), to: inputText(now + 2 * HOUR_MS), comment: "", begin: "22:00", end: "06:00",
  });
  const [severities, setSeverities] = useState<Severity[]>([]);
  const [weekdays, setWeekdays] = useState<number[]>([]);
  const [error, setError] = useState<ApiError>();
  const set = (name: keyof typeof fields) => (event: {currentTarget: {value: string}}): void => setFields({...fields, [name]: event.currentTarget.value});
  const submit = (event: Event): void => {
    event.preventDefault();
    client.send("PUT", `/silences/${encodeURIComponent(fields.name)}`, bodyOf(fields, severities, weekdays, me.user), "*").then(() => {
      announce(`Silence ${fields.name} created`);
      onDone();
      onClose();
    }, setError);
  };
  return (
    <Dialog title="New silence" onClose={onClose}>
      <form onSubmit={submit}>
        <p>Alerts that match are still recorded; they notify nobody.</p>
        <Problem error={error} />
        <div class="columns">
          <Field label="Name"><input required value={fields.name} onInput={set("name")} /></Field>
          <Field label="Rules" hint="pattern; empty for all"><input value={fields.rules} onInput={set("rules")} /></Field>
          <Field label="Gateways" hint="pattern"><input required value={fields.gateways} onInput={set("gateways")} /></Field>
          <Field label="Series" hint="pattern"><input required value={fields.series} onInput={set("series")} /></Field>
          <Field label="From" hint={`local time, UTC${offsetText(now)}`}><input type="datetime-local" step={1} required value={fields.from} onInput={set("from")} /></Field>
          <Field label="To" hint={`local time, UTC${offsetText(now)}`}><input type="datetime-local" step={1} required value={fields.to} onInput={set("to")} /></Field>
        </div>
        <Choices legend="Severities (none: all)" chosen={severities} onChange={setSeverities} values={SEVERITIES} />
        <Choices legend="Recurring on (none: the whole time)" names={DAYS} chosen={weekdays} onChange={setWeekdays} values={[0, 1, 2, 3, 4, 5, 6]} />
        {weekdays.length > 0 && (
          <div class="columns">
            <Field label="Daily from"><input type="time" required value={fields.begin} onInput={set("begin")} /></Field>
            <Field label="Daily to"><input type="time" required value={fields.end} onInput={set("end")} /></Field>
          </div>
        )}
        <Field label="Comment"><input required maxLength={500} value={fields.comment} onInput={set("comment")} /></Field>
        <button type="submit" class="primary">Create silence</button>
      </form>
    </Dialog>
  );
}

type Fields = Record<"name" | "gateways" | "series" | "rules" | "from" | "to" | "comment" | "begin" | "end", string>;

function bodyOf(fields: Fields, severities: Severity[], weekdays: number[], author: string): Silence {
  const body: Silence = {
    name: fields.name, gateways: fields.gateways, series: fields.series, from: inputTime(fields.from) ?? 0,
    to: inputTime(fields.to) ?? 0, author, comment: fields.comment,
  };
  if (fields.rules) body.rules = fields.rules;
  if (severities.length) body.severities = severities;
  if (weekdays.length) {
    body.recurring = {weekdays, from: fields.begin, to: fields.end, zone: Intl.DateTimeFormat().resolvedOptions().timeZone};
  }
  return body;
}
