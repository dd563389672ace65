import type {Channel} from "../api/types";
import {mayAdminister, useApp} from "../context";
import {channelFormOf, channelOf, CHANNEL_TYPES, newChannelForm, PRESETS, type ChannelForm} from "../route_form";
import {routeText} from "../router";
import {Field, Loading, Problem, ViewHead} from "../ui/parts";
import {useDocument} from "./document";

/** Editor of one channel, or of a new one. */
export function ChannelView({name}: {name: string}) {
  const {me} = useApp();
  const isNew = name === "new";
  const {form, change, error, save, remove} = useDocument<ChannelForm, Channel>({
    path: "channels", title: "Channel", name, empty: newChannelForm, formOf: channelFormOf, documentOf: channelOf,
  });
  return (
    <>
      <p class="crumbs"><a href={routeText(["channels"])}>Channels</a></p>
      <ViewHead title={isNew ? "New channel" : name} />
      <Problem error={error} />
      {!form && !error && <Loading />}
      {form && (
        <form onSubmit={save} aria-label="Channel">
          <fieldset disabled={!mayAdminister(me)}>
            <legend class="hidden">Channel</legend>
            <ChannelFields form={form} isNew={isNew} onChange={change} />
            <div class="actions">
              <button type="submit" class="primary">Save channel</button>
              {!isNew && <button type="button" onClick={remove}>Delete channel</button>}
            </div>
          </fieldset>
        </form>
      )}
    </>
  );
}

interface FieldsProperties {
  form: ChannelForm;
  isNew: boolean;
  onChange: (change: Partial<ChannelForm>) => void;
}

function ChannelFields({form, isNew, onChange}: FieldsProperties) {
  const set = (name: keyof ChannelForm) => (event: {currentTarget: {value: string}}): void => onChange({[name]: event.currentTarget.value});
  const text = (name: keyof ChannelForm, label: string, hint: string, required = false) => (
    <Field label={label} hint={hint}><input name={name} required={required} value={form[name]} onInput={set(name)} /></Field>
  );
  return (
    <div class="columns">
      <Field label="Name"><input name="name" required readOnly={!isNew} value={form.name} onInput={set("name")} /></Field>
      <Field label="Type"><select name="type" value={form.type} onChange={set("type")}>{CHANNEL_TYPES.map(([type, label]) => <option key={type} value={type}>{label}</option>)}</select></Field>
      {form.type === "email" && text("to", "Addresses", "separated by commas", true)}
      {form.type === "webhook" && text("url", "URL", "https, on port 443 or 8443", true)}
      {form.type === "webhook" && <Field label="Preset" hint="form of the notification"><select name="preset" value={form.preset} onChange={set("preset")}>{PRESETS.map((one) => <option key={one}>{one}</option>)}</select></Field>}
      {form.type === "webhook" && text("secret", "Secret", "where it is stored: secretsmanager:NAME or ssm:NAME")}
      {form.type === "sns" && text("topic", "Topic", "ARN; empty for the topic of the stack")}
      {form.type === "eventbridge" && text("bus", "Bus", "name or ARN; empty for the bus of the stack")}
      {form.type === "stepfunctions" && text("state_machine", "State machine", "ARN", true)}
    </div>
  );
}
