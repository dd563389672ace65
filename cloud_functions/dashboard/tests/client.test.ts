import assert from "node:assert/strict";
import {test} from "node:test";
import {ApiError, Client, exactly, queryText} from "../src/api/client";
import {nextDelay} from "../src/api/polling";

interface Call {
  url: string;
  headers: Record<string, string>;
  body: unknown;
}

function served(answers: ((call: Call) => Response)[]): {client: Client; calls: Call[]; left: () => number} {
  const calls: Call[] = [];
  let left = 0;
  const fetcher = (async (url: string, init: RequestInit) => {
    const call = {url, headers: init.headers as Record<string, string>, body: init.body};
    calls.push(call);
    return (answers[calls.length - 1] as (call: Call) => Response)(call);
  }) as unknown as typeof fetch;
  return {client: new Client("/v1", () => "secret", () => { left += 1; }, fetcher), calls, left: () => left};
}

const json = (value: unknown, etag?: string, status = 200) => () =>
  new Response(JSON.stringify(value), {status, headers: etag ? {ETag: etag} : {}});
const unchanged = () => new Response(null, {status: 304});

test("an unchanged answer is requested by its ETag and is the same object", async () => {
  const {client, calls} = served([json({items: [1]}, '"a"'), unchanged, json({items: [2]}, '"b"'), unchanged]);
  const first = await client.list("/alerts", {state: "open"});
  assert.equal(await client.list("/alerts", {state: "open"}), first);
  const second = await client.list("/alerts", {state: "open"});
  assert.deepEqual(second.items, [2]);
  assert.equal(await client.list("/alerts", {state: "open"}), second);
  assert.deepEqual(calls.map((call) => call.headers["If-None-Match"]), [undefined, '"a"', '"a"', '"b"']);
});

test("a list follows its cursors, and states that it is truncated", async () => {
  const {client, calls} = served([json({items: [1], next: "x/1"}), json({items: [2], next: "x/2"})]);
  assert.deepEqual(await client.list("/gateways", {}, undefined, 2), {items: [1, 2], truncated: true});
  assert.equal(calls[1]?.url, "/v1/gateways?cursor=x%2F1");
});

test("the token is a header and never part of the address", async () => {
  const {client, calls} = served([json({})]);
  await client.get("/me");
  assert.equal(calls[0]?.headers["Authorization"], "Bearer secret");
  assert.ok(!calls[0]?.url.includes("secret"));
});

test("problem details become an error with the single problems", async () => {
  const {client} = served([json({title: "Invalid request", status: 400, problems: ["for_s: -1: 0 or more"]}, undefined, 400),
    () => new Response("<html>", {status: 502})]);
  await assert.rejects(client.send("PUT", "/rules/a", {}, "*"), (error: ApiError) => error.status === 400 && error.problems[0] === "for_s: -1: 0 or more");
  await assert.rejects(client.get("/me"), (error: ApiError) => error.status === 502 && error.problems.length === 0);
});

test("an expired token ends the session", async () => {
  const {client, left} = served([json({title: "Unauthorized"}, undefined, 401)]);
  await assert.rejects(client.get("/me"));
  assert.equal(left(), 1);
});

test("a document is sent with the version that it replaces, or with the demand that it is new", async () => {
  const {client, calls} = served([json({}), json({}), () => new Response(null, {status: 204})]);
  await client.send("PUT", "/rules/a", {}, "*");
  await client.send("PUT", "/rules/a", {}, '"3"');
  assert.equal(await client.send("DELETE", "/rules/a"), null);
  assert.equal(calls[0]?.headers["If-None-Match"], "*");
  assert.equal(calls[1]?.headers["If-Match"], '"3"');
});

test("failures in sequence double the delay up to a minute", () => {
  assert.deepEqual([0, 1, 2, 99].map((failures) => nextDelay(2_000, failures)), [2_000, 4_000, 8_000, 60_000]);
});

test("query parameters are encoded, and absent ones are left out", () => {
  assert.equal(queryText({series: "a/b c", from: 0, unit: undefined, x: ""}), "?series=a%2Fb+c&from=0");
  assert.equal(exactly("a[1]*?"), "a[[]1][*][?]");
});
