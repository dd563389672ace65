import {cloneElement, type ComponentChildren, type VNode} from "preact";
import {useId} from "preact/hooks";
import type {ApiError} from "../api/client";
import {agoText, durationText, timeText} from "../format/time";
import {useNow} from "./now";

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
  const now = useNow();
  if (!ms) return <>never</>;
  return <time dateTime={new Date(ms).toISOString()} title={timeText(ms)}>{agoText(ms, now)}</time>;
}

/** The duration from a time to another, or to now. */
export function Lasted({from, to}: {from: number; to: number | null | undefined}) {
  const now = useNow();
  return <>{durationText((to ?? now) - from)}</>;
}

/** A labelled input of a form. */
export function Field({label, hint, children}: {label: string; hint?: string; children: VNode<{id?: string}>}) {
  const id = useId();
  const hintId = hint ? `${id}-hint` : undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {cloneElement(children, {id, "aria-describedby": hintId} as {id: string})}
      {hint && <small id={hintId}>{hint}</small>}
    </div>
  );
}

/** Heading of a view with its actions. */
export function ViewHead({title, children}: {title: ComponentChildren; children?: ComponentChildren}) {
  return <div class="head"><h1 tabIndex={-1}>{title}</h1>{children}</div>;
}

/** Placeholder while a view loads. */
export function Loading() {
  return <p class="muted" role="status">Loading…</p>;
}
