import assert from "node:assert/strict";
import {test} from "node:test";
import {authorizationUrl, challengeOf} from "../src/auth/oidc";
import {readConfig, type OidcLogin} from "../src/config";
import {formOf, newForm, ruleOf} from "../src/rule_form";
import {channelFormOf, channelOf, newChannelForm, newRouteForm, routeFormOf, routeOf, targetText} from "../src/route_form";
import {parseRoute, routeText} from "../src/router";
import {componentsOf, findingsOf, rankOf} from "../src/health";
import type {Channel, Gateway, NotificationRoute, Rule} from "../src/api/types";

test("settings are checked, and an error names the key", () => {
  const login = {type: "oidc", issuer: "https://issuer.example/", client_id: "page"};
  assert.deepEqual(readConfig({api: "/v1/", login}), {
    api: "/v1", login: {type: "oidc", issuer: "https://issuer.example", client_id: "page", scope: "openid", token: "access_token"},
  });
  assert.throws(() => readConfig({api: "/v1", login: {...login, issuer: "http://issuer.example"}}), /login\.issuer: .*https/);
  assert.throws(() => readConfig({api: "/v1", login: {type: "password"}}), /login\.type: "password": one of local, oidc/);
  assert.throws(() => readConfig({login}), /api/);
  assert.throws(() => readConfig([]), /config\.json/);
});

test("the challenge is that of the example of RFC 7636", async () => {
  assert.equal(await challengeOf("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("the authorization request has the parameters of a code flow with PKCE", () => {
  const login = {client_id: "page", scope: "openid email"} as OidcLogin;
  const url = new URL(authorizationUrl("https://issuer.example/authorize?tenant=1", login, "https://page.example/", "s", "c"));
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    tenant: "1", response_type: "code", client_id: "page", redirect_uri: "https://page.example/", scope: "openid email",
    state: "s", code_challenge: "c", code_challenge_method: "S256",
  });
});

test("routes are read back as they were written", () => {
  const path = ["gateways", "a/b ü", "series"];
  const query = {series: "press/1&2", from: "1"};
  assert.deepEqual(parseRoute(routeText(path, query)), {path, query});
  assert.deepEqual(parseRoute(""), {path: [], query: {}});
  assert.deepEqual(parseRoute("#/gateways/%"), {path: ["gateways", "%"], query: {}});
});

test("a rule goes through the form unchanged, and holds only the fields of its condition", () => {
  const rules: Rule[] = [
    {name: "a", enabled: true, gateways: "*", series: "x/*", condition: {type: "threshold", above: 0, clear_margin: 2}, for_s: 0, severity: "critical"},
    {name: "b", enabled: false, gateways: "g", series: "*", condition: {type: "rate", below: -3, per: "1m"}, for_s: 60, severity: "info", summary: "falls"},
    {name: "c", enabled: true, gateways: "g", series: "*", condition: {type: "absence", after_s: 90}, for_s: 0, severity: "warning"},
    {name: "d", enabled: true, gateways: "g", series: "*", condition: {type: "forecast", limit: 5, side: "low", within_s: 60}, for_s: 0, severity: "warning"},
    {name: "e", enabled: true, gateways: "g", series: "*", condition: {type: "silence", of: "gateway", after_s: 7200}, for_s: 0, severity: "warning"},
    {name: "f", enabled: true, gateways: "g", series: "pump/*", condition: {type: "silence", of: "series", after_s: 7200}, for_s: 0, severity: "warning"},
  ];
  for (const rule of rules) assert.deepEqual(ruleOf(formOf(rule)), rule);
  assert.deepEqual(ruleOf({...newForm(), type: "absence", above: "7"}).condition, {type: "absence", after_s: 600});
});

test("gateways that need attention come first", () => {
  const base: Gateway = {gateway: "g", silent: false, batches: 0, rows: 0, bytes: 0, duplicates: 0};
  assert.deepEqual(findingsOf(base), [{level: "good", text: "healthy"}]);
  assert.equal(rankOf(base), 3);
  assert.equal(rankOf({...base, alerts: {info: 1}}), 2);
  assert.equal(rankOf({...base, health: {clock_offset_ms: -300_000}}), 1);
  assert.equal(rankOf({...base, alerts: {critical: 1}}), 0);
  const broken = findingsOf({...base, silent: true, health: {components: {forwarder: "STARTING", aggregator: "BROKEN"}}});
  assert.deepEqual(broken.map((one) => one.text), ["silent", "aggregator BROKEN", "forwarder STARTING"]);
});

test("a route is read back as it was written, and an empty choice is left out", () => {
  const route: NotificationRoute = {
    name: "a", sites: "bremen", gateways: "*", series: "press-*", severities: ["critical"], channels: ["on-call"],
    group_by: "gateway", group_wait_s: 5, group_interval_s: 300, repeat_s: 0, escalate_after_s: 60, escalate_to: ["chat"],
  };
  assert.deepEqual(routeOf(routeFormOf(route)), route);
  const empty = routeOf({...newRouteForm(), name: "b", channels: ["x"]});
  assert.ok(!("severities" in empty) && !("kinds" in empty));
  assert.equal(empty.group_interval_s, 300);
});

test("a channel has only the settings of its type", () => {
  const channels: Channel[] = [
    {name: "a", type: "email", to: ["a@example.com", "b@example.com"]},
    {name: "a", type: "webhook", url: "https://example.com/", preset: "slack", secret: "ssm:key"},
    {name: "a", type: "sns"},
    {name: "a", type: "eventbridge", bus: "plant"},
    {name: "a", type: "stepfunctions", state_machine: "arn:x"},
    {name: "a", type: "mqtt"},
  ];
  for (const channel of channels) {
    assert.deepEqual(channelOf(channelFormOf(channel)), channel);
    assert.notEqual(targetText(channel), "");
  }
  assert.deepEqual(channelOf({...newChannelForm(), name: "a", type: "sns", url: "https://left-over.example"}), {name: "a", type: "sns"});
});

test("a component has its state and its version, with and without the prefix of its name", () => {
  const health = {components: {"io.strandline.Forwarder": "RUNNING", Aggregator: "RUNNING"}, versions: {Forwarder: "0.2.0"}};
  assert.deepEqual(componentsOf(health), [
    {name: "Forwarder", state: "RUNNING", version: "0.2.0"}, {name: "Aggregator", state: "RUNNING", version: ""},
  ]);
});
