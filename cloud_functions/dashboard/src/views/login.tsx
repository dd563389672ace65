import {useState} from "preact/hooks";
import type {Role} from "../api/types";
import {signInLocally} from "../auth/local";
import {beginLogin} from "../auth/oidc";
import type {LocalLogin, OidcLogin} from "../config";
import {Field} from "../ui/parts";

interface Properties {
  login: LocalLogin | OidcLogin;
  problem: string;
  onSignedIn: () => void;
}

/** Sign in: at the issuer, or in the local cloud by name and role. */
export function LoginView({login, problem, onSignedIn}: Properties) {
  const [failure, setFailure] = useState(problem);
  const [user, setUser] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const attempt = (work: Promise<void>): void => {
    work.catch((error: unknown) => setFailure(error instanceof Error ? error.message : String(error)));
  };
  return (
    <main class="login">
      <h1>Strandline</h1>
      {failure && <p class="problem" role="alert">{failure}</p>}
      {login.type === "oidc" ? (
        <button type="button" class="primary" onClick={() => attempt(beginLogin(login))}>Sign in</button>
      ) : (
        <form onSubmit={(event) => {
          event.preventDefault();
          attempt(signInLocally(login, user, role).then(onSignedIn));
        }}>
          <p class="muted">Local cloud: any name is accepted.</p>
          <Field label="Name"><input name="user" required maxLength={64} autocomplete="username" value={user} onInput={(event) => setUser(event.currentTarget.value)} /></Field>
          <Field label="Role">
            <select name="role" value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
              <option value="viewer">viewer</option><option value="operator">operator</option><option value="admin">admin</option>
            </select>
          </Field>
          <button type="submit" class="primary">Sign in</button>
        </form>
      )}
    </main>
  );
}
