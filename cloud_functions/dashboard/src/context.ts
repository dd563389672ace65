import {createContext} from "preact";
import {useContext} from "preact/hooks";
import type {Client, Listed} from "./api/client";
import type {Polled} from "./api/polling";
import type {Alert, Me} from "./api/types";

/** Parts that every view uses. */
export interface AppContext {
  client: Client;
  me: Me;
  openAlerts: Polled<Listed<Alert>>;
  /** Show a short message, which a screen reader reads. */
  announce: (text: string) => void;
}

export const Context = createContext<AppContext | null>(null);

/** Return the parts; only within a signed-in page. */
export function useApp(): AppContext {
  const found = useContext(Context);
  if (found === null) throw new Error("the page is not signed in");
  return found;
}

/** True if the user's role allows changes by operators. */
export function mayOperate(me: Me): boolean {
  return me.role === "operator" || me.role === "admin";
}

/** True if the user's role allows changes of routes and channels. */
export function mayAdminister(me: Me): boolean {
  return me.role === "admin";
}
