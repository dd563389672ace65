/** OpenID Connect: authorization code with PKCE (RFC 7636), without a client secret. */

import type {OidcLogin} from "../config";
import {signIn} from "./session";

const PENDING = "strandline.login";
const MAX_PENDING_MS = 600_000;

interface Pending {
  state: string;
  verifier: string;
  hash: string;
  at_ms: number;
}

interface Endpoints {
  authorization_endpoint: string;
  token_endpoint: string;
}

/** Return bytes as base64url without padding. */
export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Return the S256 challenge of a verifier. */
export async function challengeOf(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** Return the address at which the issuer asks the user to sign in. */
export function authorizationUrl(
  endpoint: string, login: OidcLogin, redirectUri: string, state: string, challenge: string,
): string {
  const url = new URL(endpoint);
  const parameters = {
    response_type: "code", client_id: login.client_id, redirect_uri: redirectUri, scope: login.scope, state,
    code_challenge: challenge, code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** Go to the issuer. */
export async function beginLogin(login: OidcLogin): Promise<void> {
  const verifier = randomText();
  const pending: Pending = {state: randomText(), verifier, hash: location.hash, at_ms: Date.now()};
  const {authorization_endpoint} = await endpointsOf(login);
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  location.assign(authorizationUrl(authorization_endpoint, login, redirectUri(), pending.state, await challengeOf(verifier)));
}

/** Finish a login if the address carries the issuer's answer; the answer is removed from the address first. */
export async function finishLogin(login: OidcLogin): Promise<void> {
  const query = new URLSearchParams(location.search);
  const state = query.get("state");
  if (state === null || !(query.has("code") || query.has("error"))) return;
  const pending = takePending();
  history.replaceState(null, "", location.pathname + (pending?.hash ?? ""));
  if (pending === null || pending.state !== state) throw new Error("the login was not begun in this tab; sign in again");
  const code = query.get("code");
  if (code === null) throw new Error(`the issuer refused the login: ${query.get("error_description") ?? query.get("error")}`);
  const {token_endpoint} = await endpointsOf(login);
  const response = await fetch(token_endpoint, {
    method: "POST",
    credentials: "omit",
    body: new URLSearchParams({
      grant_type: "authorization_code", code, redirect_uri: redirectUri(), client_id: login.client_id,
      code_verifier: pending.verifier,
    }),
  });
  if (!response.ok) throw new Error(`the issuer answered the exchange of the code with status ${response.status}`);
  const answer = (await response.json()) as Record<string, unknown>;
  const token = answer[login.token];
  if (typeof token !== "string") throw new Error(`the issuer's answer has no ${login.token}`);
  signIn(token, typeof answer["expires_in"] === "number" ? answer["expires_in"] : 3_600);
}

async function endpointsOf(login: OidcLogin): Promise<Endpoints> {
  const {authorization_endpoint, token_endpoint} = login;
  if (authorization_endpoint && token_endpoint) return {authorization_endpoint, token_endpoint};
  const response = await fetch(`${login.issuer}/.well-known/openid-configuration`, {credentials: "omit"});
  if (!response.ok) throw new Error(`${login.issuer}: status ${response.status}`);
  const found = (await response.json()) as Partial<Endpoints>;
  if (!found.authorization_endpoint || !found.token_endpoint) throw new Error(`${login.issuer}: no endpoints`);
  return {authorization_endpoint: found.authorization_endpoint, token_endpoint: found.token_endpoint};
}

function takePending(): Pending | null {
  const text = sessionStorage.getItem(PENDING);
  sessionStorage.removeItem(PENDING);
  const pending = text === null ? null : (JSON.parse(text) as Pending);
  return pending && Date.now() - pending.at_ms < MAX_PENDING_MS ? pending : null;
}

function redirectUri(): string {
  return location.origin + location.pathname;
}

function randomText(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}
