import type {LocalLogin} from "../config";
import type {Role} from "../api/types";
import {signIn} from "./session";

/** Sign in at the local cloud, which issues a token for any name and role. */
export async function signInLocally(login: LocalLogin, user: string, role: Role): Promise<void> {
  const response = await fetch(login.url, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({user, role}),
    credentials: "omit",
  });
  if (!response.ok) throw new Error(`${login.url}: status ${response.status}`);
  const answer = (await response.json()) as {token?: string; access_token?: string; expires_in?: number};
  const token = answer.access_token ?? answer.token;
  if (!token) throw new Error(`${login.url}: the answer has no token`);
  signIn(token, answer.expires_in ?? 3_600);
}
