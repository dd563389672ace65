/** Settings of the page from `config.json` beside it; docs in README.md of this folder. */

export interface LocalLogin {
  type: "local";
  /** Address that exchanges a user's name and role for a token; local cloud only. */
  url: string;
}

export interface OidcLogin {
  type: "oidc";
  issuer: string;
  client_id: string;
  scope: string;
  /** Sent to the API: the access token or the id token. */
  token: "access_token" | "id_token";
  authorization_endpoint?: string;
  token_endpoint?: string;
  end_session_endpoint?: string;
}

export interface Config {
  api: string;
  login: LocalLogin | OidcLogin;
}

/** Return the settings; throws an Error that names the invalid key. */
export function readConfig(given: unknown): Config {
  const data = record(given, "config.json");
  const login = record(data["login"], "login");
  const api = text(data["api"], "api").replace(/\/$/, "");
  if (login["type"] === "local") return {api, login: {type: "local", url: text(login["url"] ?? "/local/token", "login.url")}};
  if (login["type"] !== "oidc") throw new Error(`login.type: ${JSON.stringify(login["type"])}: one of local, oidc`);
  const token = login["token"] ?? "access_token";
  if (token !== "access_token" && token !== "id_token") {
    throw new Error(`login.token: ${JSON.stringify(token)}: one of access_token, id_token`);
  }
  const optional: Partial<OidcLogin> = {};
  for (const name of ["authorization_endpoint", "token_endpoint", "end_session_endpoint"] as const) {
    if (login[name] !== undefined) optional[name] = secure(login[name], `login.${name}`);
  }
  return {
    api,
    login: {
      type: "oidc",
      issuer: secure(login["issuer"], "login.issuer").replace(/\/$/, ""),
      client_id: text(login["client_id"], "login.client_id"),
      scope: text(login["scope"] ?? "openid", "login.scope"),
      token,
      ...optional,
    },
  };
}

/** Load and check `config.json`. */
export async function loadConfig(): Promise<Config> {
  const response = await fetch("./config.json", {cache: "no-store", credentials: "omit"});
  if (!response.ok) throw new Error(`config.json: status ${response.status}`);
  return readConfig(await response.json());
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${name}: an object`);
  return value as Record<string, unknown>;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string" || !value) throw new Error(`${name}: ${JSON.stringify(value)}: a text`);
  return value;
}

/** An address with TLS, or on this machine. */
function secure(value: unknown, name: string): string {
  const address = text(value, name);
  if (!/^https:\/\/|^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(\/|$)/.test(address)) {
    throw new Error(`${name}: ${address}: an address that begins with https://`);
  }
  return address;
}
