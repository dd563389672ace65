/** Token of the signed-in user: in memory, and in the tab's session storage so that a reload keeps it. */
export interface Session {
  token: string;
  expires_ms: number;
}

const KEY = "strandline.session";

let session: Session | null = restore();

/** Return the token, or null if nobody is signed in or it has expired. */
export function currentToken(): string | null {
  return session !== null && session.expires_ms > Date.now() ? session.token : null;
}

/** Keep a token for this tab. */
export function signIn(token: string, expiresInS: number): void {
  session = {token, expires_ms: Date.now() + expiresInS * 1_000};
  sessionStorage.setItem(KEY, JSON.stringify(session));
}

/** Forget the token. */
export function signOut(): void {
  session = null;
  sessionStorage.removeItem(KEY);
}

function restore(): Session | null {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Session | null;
    return found && typeof found.token === "string" && found.expires_ms > Date.now() ? found : null;
  } catch {
    return null;
  }
}
