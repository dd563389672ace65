/** Types of API v1; times are integer milliseconds UTC, and a value that is unknown is null or absent. */

export type Severity = "critical" | "warning" | "info";
export type AlertState = "pending" | "firing" | "acknowledged" | "resolved";
export type Role = "viewer" | "operator" | "admin";

export interface Page<T> {
  items: T[];
  next?: string;
}

export interface Me {
  user: string;
  role: Role;
}

export interface Health {
  components?: Record<string, string>;
  spool_bytes?: number;
  spool_batches?: number;
  clock_offset_ms?: number;
  /** Version of the components, or those, if they differ. */
  version?: string;
  /** Version of each component by its name. */
  versions?: Record<string, string>;
}

export interface Gateway {
  gateway: string;
  site?: string | null;
  silent: boolean;
  first_seen_ms?: number;
  last_seen_ms?: number;
  batches: number;
  rows: number;
  bytes: number;
  duplicates: number;
  rejected?: Record<string, number>;
  alerts?: Partial<Record<Severity, number>>;
  health?: Health;
}

export interface Epoch {
  epoch: string;
  batches: number;
  rows: number;
  cumulative: number;
  highest: number;
  missing_count: number;
  gap_since_ms?: number | null;
  first_ms: number;
  changed_ms: number;
}

export interface GatewayDetail extends Gateway {
  losses?: Record<string, number>;
  epochs?: Epoch[];
  notice?: {time_ms: number; counters: Record<string, Record<string, number>>} | null;
}

export interface SeriesInfo {
  series: string;
  unit: string;
  resolution?: number | null;
}

export interface Latest {
  series: string;
  unit: string;
  start_ms: number;
  end_ms: number;
  count: number;
  mean: number | null;
  min: number | null;
  max: number | null;
}

export type Resolution = "raw" | "15m" | "1h" | "1d";

export interface Aggregates {
  gateway: string;
  series: string;
  unit: string;
  resolution: number | null;
  width: Resolution;
  rows: number;
  columns: Record<string, (number | null)[]>;
  next?: string;
}

export interface Limits {
  high?: number | null;
  low?: number | null;
}

export interface LimitEstimate {
  side: "high" | "low";
  limit: number;
  estimate: {early_ms: number; middle_ms: number; late_ms: number} | null;
  probability: number | null;
  reason: string | null;
  detail: string;
}

export interface Forecast {
  unit: string;
  interval: number;
  history: {from_ms: number; to_ms: number; rows: number; step_ms: number} | null;
  until_ms: number | null;
  limits: LimitEstimate[];
}

export interface Alert {
  id: string;
  gateway: string;
  series: string;
  kind: "anomaly" | "rule" | "silence" | "health";
  rule?: string | null;
  severity: Severity;
  state: AlertState;
  summary?: string | null;
  unit?: string | null;
  onset_ms: number;
  opened_ms?: number | null;
  fired_ms?: number | null;
  last_ms?: number | null;
  ended_ms?: number | null;
  acknowledged_ms?: number | null;
  acknowledged_by?: string | null;
  comment?: string | null;
  silenced_by?: string | null;
  inhibited_by?: string | null;
  flapping?: boolean | null;
  observed?: number | null;
  expected?: number | null;
  lower?: number | null;
  upper?: number | null;
  score?: number | null;
  cause?: string | null;
  causes?: Record<string, number> | null;
  direction?: string | null;
  channel?: string | null;
  history?: number[] | null;
  gateway_silent?: boolean | null;
}

export interface AlertEvent {
  time_ms: number;
  event: string;
  by?: string | null;
  detail?: string | null;
}

/** What every stored document carries beside its own fields. */
export interface DocumentFields {
  name: string;
  version?: number;
  updated_ms?: number;
  updated_by?: string;
}

export type Condition =
  | {type: "threshold"; above?: number; below?: number; clear_margin?: number}
  | {type: "rate"; above?: number; below?: number; per: string}
  | {type: "absence"; after_s: number}
  | {type: "forecast"; limit: number; side: "high" | "low"; within_s: number}
  | {type: "silence"; of: "gateway" | "series"; after_s: number};

export interface Rule extends DocumentFields {
  enabled: boolean;
  gateways: string;
  series: string;
  condition: Condition;
  for_s: number;
  severity: Severity;
  summary?: string;
}

export interface Silence extends DocumentFields {
  gateways: string;
  series: string;
  rules?: string;
  severities?: Severity[];
  from: number | string;
  to: number | string;
  recurring?: {weekdays: number[]; from: string; to: string; zone: string} | null;
  author?: string;
  comment?: string;
}

export interface DryRun {
  series_evaluated: number;
  count: number;
  firings: {gateway: string; series: string; from_ms: number; to_ms: number | null; peak: number | null}[];
}

export type GroupBy = "asset" | "gateway" | "none";

export interface NotificationRoute extends DocumentFields {
  sites: string;
  gateways: string;
  series: string;
  severities?: Severity[];
  kinds?: Alert["kind"][];
  channels: string[];
  group_by: GroupBy;
  group_wait_s: number;
  group_interval_s: number;
  repeat_s: number;
  escalate_after_s: number;
  escalate_to: string[];
}

export type ChannelType = "sns" | "email" | "webhook" | "eventbridge" | "mqtt" | "stepfunctions";

/** A channel with the settings of its type. */
export interface Channel extends DocumentFields {
  type: ChannelType;
  topic?: string;
  to?: string[];
  url?: string;
  preset?: string;
  secret?: string;
  bus?: string;
  state_machine?: string;
}

export interface Costs {
  currency: string;
  gateways: number;
  gateways_read: number;
  gateways_active: number;
  since_ms: number | null;
  month: Record<"batches" | "notices" | "rows" | "bytes" | "posts" | "alerts", number>;
  items: Record<string, number>;
  total: number;
  greengrass: number;
}
