import {useState} from "preact/hooks";
import type {ApiError} from "../api/client";
import type {Alert} from "../api/types";
import {useApp} from "../context";
import {Dialog} from "../ui/dialog";
import {Field, Problem} from "../ui/parts";

interface Properties {
  alert: Alert;
  onClose: () => void;
  onDone: () => void;
}

/** Acknowledge an alert with an optional comment. */
export function AcknowledgeDialog({alert, onClose, onDone}: Properties) {
  const {client, openAlerts, announce} = useApp();
  const [comment, setComment] = useState("");
  const [error, setError] = useState<ApiError>();
  const [sending, setSending] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    setSending(true);
    client.send(`POST`, `/alerts/${encodeURIComponent(alert.id)}/acknowledge`, {comment}).then(
      () => {
        announce("Alert acknowledged");
        openAlerts.refresh();
        onDone();
        onClose();
      },
      (failure: ApiError) => {
        setError(failure);
        setSending(false);
      },
    );
  };
  return (
    <Dialog title="Acknowledge alert" onClose={onClose}>
      <form onSubmit={submit}>
        <p>{alert.series || alert.gateway} on {alert.gateway}. Others see that you take care of it; it is not escalated.</p>
        <Problem error={error} />
        <Field label="Comment"><input name="comment" maxLength={500} value={comment} onInput={(event) => setComment(event.currentTarget.value)} /></Field>
        <button type="submit" class="primary" disabled={sending}>Acknowledge</button>
      </form>
    </Dialog>
  );
}
