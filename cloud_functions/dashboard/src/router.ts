import {useEffect, useState} from "preact/hooks";

/** Route in the address's fragment: `#/segment/segment?name=value`. Fragments are not sent to a server. */
export interface Route {
  path: string[];
  query: Record<string, string>;
}

/** Return the route of a fragment. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/** Return the fragment of a route, with `#`. */
export function routeText(path: readonly string[], query: Record<string, string | number | undefined> = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Replace the query of the address without a new entry in the browser's history. */
export function replaceRoute(path: readonly string[], query: Record<string, string | number | undefined>): void {
  history.replaceState(null, "", routeText(path, query));
}

/** Return the present route, and draw again when it changes. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const onChange = (): void => setRoute(parseRoute(location.hash));
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, []);
  return route;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
