import {useEffect, useState} from "preact/hooks";
import type {ApiError} from "../api/client";
import type {DocumentFields} from "../api/types";
import {useApp} from "../context";
import {routeText} from "../router";

export interface Edited<F> {
  form: F | null;
  change: (change: Partial<F>) => void;
  error: ApiError | undefined;
  save: (event: Event) => void;
  remove: () => void;
}

interface Kind<F, D> {
  /** Segment of the API's path and of the page's address. */
  path: string;
  /** Word for one document, such as `Route`. */
  title: string;
  /** Name in the address; `new` for a new document. */
  name: string;
  empty: () => F;
  formOf: (document: D) => F;
  documentOf: (form: F) => D;
}

/**
 * Load, change, save and delete one document. A write names the version that was loaded, so that a change of another
 * user in the meantime is not overwritten.
 */
export function useDocument<F, D extends DocumentFields>(kind: Kind<F, D>): Edited<F> {
  const {client, announce} = useApp();
  const isNew = kind.name === "new";
  const [form, setForm] = useState<F | null>(isNew ? kind.empty() : null);
  const [match, setMatch] = useState(isNew ? "*" : undefined);
  const [error, setError] = useState<ApiError>();
  useEffect(() => {
    if (isNew) return;
    client.get<D>(`/${kind.path}/${encodeURIComponent(kind.name)}`).then((document) => {
      setForm(kind.formOf(document));
      setMatch(`"${document.version}"`);
    }, setError);
  }, [kind.name]);
  const leave = (name: string, done: string): void => {
    announce(`${kind.title} ${name} ${done}`);
    location.hash = routeText([kind.path]);
  };
  return {
    form,
    change: (change) => setForm((before) => (before === null ? null : {...before, ...change})),
    error,
    save: (event) => {
      event.preventDefault();
      if (form === null) return;
      const document = kind.documentOf(form);
      client.send("PUT", `/${kind.path}/${encodeURIComponent(document.name)}`, document, match).then(
        () => leave(document.name, "saved"), setError);
    },
    remove: () => {
      client.send("DELETE", `/${kind.path}/${encodeURIComponent(kind.name)}`, undefined, match).then(
        () => leave(kind.name, "deleted"), setError);
    },
  };
}
