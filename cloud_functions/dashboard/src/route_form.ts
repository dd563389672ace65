import type {Alert, Channel, ChannelType, GroupBy, NotificationRoute, Severity} from "./api/types";

/** Channels that exist without configuration. */
export const BUILT_IN_CHANNELS: readonly string[] = ["default-sns", "default-eventbridge", "default-mqtt"];
export const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];
export const KINDS: readonly Alert["kind"][] = ["anomaly", "rule", "silence", "health"];

/** Inputs of the route editor; durations stay texts until the route is sent, so that the API judges them. */
export interface RouteForm {
  name: string;
  sites: string;
  gateways: string;
  series: string;
  severities: Severity[];
  kinds: Alert["kind"][];
  channels: string[];
  group_by: GroupBy;
  group_wait_s: string;
  group_interval_s: string;
  repeat_s: string;
  escalate_after_s: string;
  escalate_to: string[];
}

/** Return the form of a new route. */
export function newRouteForm(): RouteForm {
  return {
    name: "", sites: "*", gateways: "*", series: "*", severities: [], kinds: [], channels: [], group_by: "asset",
    group_wait_s: "0", group_interval_s: "300", repeat_s: "0", escalate_after_s: "0", escalate_to: [],
  };
}

/** Return the form of a stored route. */
export function routeFormOf(route: NotificationRoute): RouteForm {
  return {
    name: route.name, sites: route.sites, gateways: route.gateways, series: route.series,
    severities: route.severities ?? [], kinds: route.kinds ?? [], channels: route.channels, group_by: route.group_by,
    group_wait_s: String(route.group_wait_s), group_interval_s: String(route.group_interval_s),
    repeat_s: String(route.repeat_s), escalate_after_s: String(route.escalate_after_s), escalate_to: route.escalate_to,
  };
}

/** Return the route of a form; an empty choice of severities or kinds means any and is left out. */
export function routeOf(form: RouteForm): NotificationRoute {
  const route: NotificationRoute = {
    name: form.name, sites: form.sites, gateways: form.gateways, series: form.series, channels: form.channels,
    group_by: form.group_by, group_wait_s: Number(form.group_wait_s), group_interval_s: Number(form.group_interval_s),
    repeat_s: Number(form.repeat_s), escalate_after_s: Number(form.escalate_after_s), escalate_to: form.escalate_to,
  };
  if (form.severities.length) route.severities = form.severities;
  if (form.kinds.length) route.kinds = form.kinds;
  return route;
}

/** Inputs of the channel editor: those of all types. */
export type ChannelForm = Record<"name" | "topic" | "to" | "url" | "preset" | "secret" | "bus" | "state_machine", string> & {type: ChannelType};

export const CHANNEL_TYPES: readonly [ChannelType, string][] = [
  ["email", "e-mail"], ["webhook", "webhook"], ["sns", "SNS topic"], ["eventbridge", "EventBridge bus"],
  ["stepfunctions", "Step Functions"], ["mqtt", "MQTT to the gateway"],
];
export const PRESETS: readonly string[] = ["generic", "slack", "teams", "pagerduty", "opsgenie"];

/** Return the form of a new channel. */
export function newChannelForm(): ChannelForm {
  return {name: "", type: "email", topic: "", to: "", url: "", preset: "generic", secret: "", bus: "", state_machine: ""};
}

/** Return the form of a stored channel. */
export function channelFormOf(channel: Channel): ChannelForm {
  const {name, type, topic = "", to = [], url = "", preset = "generic", secret = "", bus = "", state_machine = ""} = channel;
  return {name, type, topic, to: to.join(", "), url, preset, secret, bus, state_machine};
}

/** Return the channel of a form, with only the settings of its type. */
export function channelOf(form: ChannelForm): Channel {
  const channel: Channel = {name: form.name, type: form.type};
  const given = (name: "topic" | "url" | "secret" | "bus" | "state_machine"): void => {
    if (form[name] !== "") channel[name] = form[name];
  };
  switch (form.type) {
    case "email":
      channel.to = form.to.split(/[\s,;]+/).filter(Boolean);
      break;
    case "webhook":
      given("url");
      channel.preset = form.preset;
      given("secret");
      break;
    case "sns":
      given("topic");
      break;
    case "eventbridge":
      given("bus");
      break;
    case "stepfunctions":
      given("state_machine");
      break;
    case "mqtt":
      break;
  }
  return channel;
}

/** Return the destination of a channel in a few words. */
export function targetText(channel: Channel): string {
  switch (channel.type) {
    case "email":
      return (channel.to ?? []).join(", ");
    case "webhook":
      return `${channel.preset && channel.preset !== "generic" ? `${channel.preset}: ` : ""}${channel.url ?? ""}`;
    case "sns":
      return channel.topic ?? "topic of the stack";
    case "eventbridge":
      return channel.bus ?? "bus of the stack";
    case "stepfunctions":
      return channel.state_machine ?? "";
    case "mqtt":
      return "topic of the gateway";
  }
}
