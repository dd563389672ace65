import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Channel, NotificationRoute} from "../api/types";
import {mayAdminister, useApp} from "../context";
import {BUILT_IN_CHANNELS, KINDS, newRouteForm, routeFormOf, routeOf, SEVERITIES, type RouteForm} from "../route_form";
import {routeText} from "../router";
import {Choices} from "../ui/choices";
import {Field, Loading, Problem, ViewHead} from "../ui/parts";
import {useDocument} from "./document";

/** Editor of one route, or of a new one. */
export function RouteView({name}: {name: string}) {
  const {client, me} = useApp();
  const isNew = name === "new";
  const {form, change, error, save, remove} = useDocument<RouteForm, NotificationRoute>({
    path: "routes", title: "Route", name, empty: newRouteForm, formOf: routeFormOf, documentOf: routeOf,
  });
  const channels = usePolling<Listed<Channel>>((signal) => client.list("/channels", {}, signal), 30_000, "channels");
  const stored = channels.value?.items.map((one) => one.name) ?? [];
  const known = [...new Set([...stored, ...BUILT_IN_CHANNELS, ...(form?.channels ?? []), ...(form?.escalate_to ?? [])])];
  return (
    <>
      <p class="crumbs"><a href={routeText(["routes"])}>Routes</a></p>
      <ViewHead title={isNew ? "New route" : name} />
      <Problem error={error ?? channels.error} />
      {!form && !error && <Loading />}
      {form && (
        <form onSubmit={save} aria-label="Route">
          <fieldset disabled={!mayAdminister(me)}>
            <legend class="hidden">Route</legend>
            <RouteFields form={form} isNew={isNew} channels={known} onChange={change} />
            <div class="actions">
              <button type="submit" class="primary">Save route</button>
              {!isNew && <button type="button" onClick={remove}>Delete route</button>}
            </div>
          </fieldset>
        </form>
      )}
    </>
  );
}

interface FieldsProperties {
  form: RouteForm;
  isNew: boolean;
  channels: readonly string[];
  onChange: (change: Partial<RouteForm>) => void;
}

function RouteFields({form, isNew, channels, onChange}: FieldsProperties) {
  const set = (name: keyof RouteForm) => (event: {currentTarget: {value: string}}): void => onChange({[name]: event.currentTarget.value});
  const text = (name: "sites" | "gateways" | "series", label: string, hint: string) => (
    <Field label={label} hint={hint}><input name={name} required value={form[name]} onInput={set(name)} /></Field>
  );
  const seconds = (name: "group_wait_s" | "group_interval_s" | "repeat_s" | "escalate_after_s", label: string, hint: string) => (
    <Field label={label} hint={hint}><input name={name} type="number" min={0} required value={form[name]} onInput={set(name)} /></Field>
  );
  return (
    <>
      <h2>Alerts</h2>
      <div class="columns">
        <Field label="Name"><input name="name" required readOnly={!isNew} value={form.name} onInput={set("name")} /></Field>
        {text("sites", "Sites", "pattern of the gateway's name up to the first colon")}
        {text("gateways", "Gateways", "pattern, such as site-a:*")}
        {text("series", "Series", "pattern; host.* matches a gateway's own series")}
      </div>
      <Choices legend="Severities (none: all)" values={SEVERITIES} chosen={form.severities} onChange={(severities) => onChange({severities})} />
      <Choices legend="Kinds (none: all)" values={KINDS} chosen={form.kinds} onChange={(kinds) => onChange({kinds})} />
      <h2>Notifications</h2>
      <Choices legend="Channels" values={channels} chosen={form.channels} onChange={(chosen) => onChange({channels: chosen})} />
      <div class="columns">
        <Field label="Grouped by" hint="alerts that share a notification"><select name="group_by" value={form.group_by} onChange={set("group_by")}><option>asset</option><option>gateway</option><option>none</option></select></Field>
        {seconds("group_wait_s", "First after", "seconds in which others join the first notification")}
        {seconds("group_interval_s", "Collected for", "seconds between notifications of a group")}
        {seconds("repeat_s", "Repeated every", "seconds without acknowledgement; 0: never")}
        {seconds("escalate_after_s", "Escalated after", "seconds without acknowledgement; 0: never")}
      </div>
      {Number(form.escalate_after_s) > 0 && (
        <Choices legend="Escalated to" values={channels} chosen={form.escalate_to} onChange={(escalate_to) => onChange({escalate_to})} />
      )}
    </>
  );
}
