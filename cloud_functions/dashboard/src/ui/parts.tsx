import type {ComponentChildren} from "preact";
import type {ApiError} from "../api/client";
import {agoText, timeText} from "../format/time";

/** The reason of a failed request, and the single problems of a rejected one. */
export function Problem({error}: {error: ApiError | undefined}) {
  if (!error) return null;
  return (
    <div class="problem" role="alert">
      <strong>{error.title}</strong>
      {error.problems.length > 0 && <ul>{error.problems.map((text) => <li key={text}>{text}</li>)}</ul>}
    </div>
  );
}

/** A time as its age, with the whole time for pointer and screen reader. */
export function Ago({ms}: {ms: number | null | undefined}) {
  if (!ms) return <>never</>;
  return <time dateTime={new Date(ms).toISOString()} title={timeText(ms)}>{agoText(ms, Date.now())}</time>;
}

/** A labelled input of a form. */
export function Field({label, hint, children}: {label: string; hint?: string; children: ComponentChildren}) {
  return <label class="field"><span>{label}</span>{children}{hint && <small>{hint}</small>}</label>;
}

/** Heading of a view with its actions. */
export function ViewHead({title, children}: {title: ComponentChildren; children?: ComponentChildren}) {
  return <div class="head"><h1 tabIndex={-1}>{title}</h1>{children}</div>;
}

/** Placeholder while a view loads. */
export function Loading() {
  return <p class="muted" role="status">Loading…</p>;
}
