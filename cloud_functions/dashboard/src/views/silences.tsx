import {useState} from "preact/hooks";
import type {ApiError, Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Silence} from "../api/types";
import {mayOperate, useApp} from "../context";
import {timeText} from "../format/time";
import {Loading, Problem, ViewHead} from "../ui/parts";
import {SilenceDialog} from "./silence_dialog";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** All silences, with creation and deletion. */
export function SilencesView() {
  const {client, me, announce} = useApp();
  const silences = usePolling<Listed<Silence>>((signal) => client.list("/silences", {}, signal), 10_000, "silences");
  const [creating, setCreating] = useState(false);
  const [error, setError] = useState<ApiError>();
  const remove = (silence: Silence): void => {
    client.send("DELETE", `/silences/${encodeURIComponent(silence.name)}`).then(() => {
      setError(undefined);
      announce(`Silence ${silence.name} deleted`);
      silences.refresh();
    }, setError);
  };
  const items = silences.value?.items ?? [];
  return (
    <>
      <ViewHead title="Silences">
        {mayOperate(me) && <button type="button" class="primary" onClick={() => setCreating(true)}>New silence</button>}
      </ViewHead>
      <Problem error={error ?? silences.error} />
      {!silences.value && !silences.error && <Loading />}
      {silences.value && items.length === 0 && <p class="muted">There are no silences.</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Silences">
          <table class="cards">
            <thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Gateways</th><th scope="col">Series</th><th scope="col">From</th><th scope="col">To</th><th scope="col">Author and comment</th><th scope="col">Actions</th></tr></thead>
            <tbody>
              {items.map((silence) => (
                <tr key={silence.name}>
                  <th scope="row">{silence.name}</th>
                  <td data-label="State">{stateOf(silence, Date.now())}</td>
                  <td data-label="Gateways"><code>{silence.gateways}</code></td>
                  <td data-label="Series"><code>{silence.series}</code></td>
                  <td data-label="From">{timeText(msOf(silence.from))}</td>
                  <td data-label="To">{timeText(msOf(silence.to))}{silence.recurring && <small class="by">{silence.recurring.weekdays.map((day) => DAYS[day]).join(" ")} {silence.recurring.from}–{silence.recurring.to} {silence.recurring.zone}</small>}</td>
                  <td data-label="Author and comment">{silence.author ?? silence.updated_by}: {silence.comment}</td>
                  <td data-label="Actions" class="actions">{mayOperate(me) && <button type="button" aria-label={`Delete ${silence.name}`} onClick={() => remove(silence)}>Delete</button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {creating && <SilenceDialog about={null} onClose={() => setCreating(false)} onDone={silences.refresh} />}
    </>
  );
}

function msOf(time: number | string): number {
  return typeof time === "number" ? time : Date.parse(time);
}

function stateOf(silence: Silence, nowMs: number): string {
  if (msOf(silence.to) <= nowMs) return "ended";
  if (msOf(silence.from) > nowMs) return "planned";
  return silence.recurring ? "recurring" : "active";
}
