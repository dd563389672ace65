"""Child process with the emulator, on loopback only, that ends with its parent.

Run as ``python -m device_sim.aws.emulator`` in its own session, with the emulator's settings in the environment. When
standard input closes, because the parent ended, the whole process group is killed, including the Lambda workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
from typing import Any


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _stay_on_loopback() -> None:
    """Bind the MQTT listener to loopback: it binds every interface and cannot be configured."""
    create_server = asyncio.BaseEventLoop.create_server

    async def loopback(self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - what is replaced here
            host = "127.0.0.1"
        return await create_server(self, protocol_factory, host, port, **options)

    asyncio.BaseEventLoop.create_server = loopback  # type: ignore[method-assign]


_TOPIC_PART = re.compile(r"\$\{topic\((\d+)\)\}")
_BATCHES = {"sqs:SendMessageBatch": "sqs:SendMessage", "sns:PublishBatch": "sns:Publish"}
"""Operations whose permission AWS calls as that of the single operation."""


def _authorize_as_aws() -> None:
    """Authorize batch operations and e-mails as AWS does.

    For a batch the emulator requires a permission that does not exist, and for an e-mail one on every resource in the
    place of one on the identity of the sender.
    """
    from ministack.core import iam_actions

    extract = iam_actions.extract_iam_action

    def authorized(*request: Any, **more: Any) -> Any:
        action = extract(*request, **more)
        return _BATCHES.get(action, action)

    iam_actions.extract_iam_action = authorized
    resource_of = iam_actions._ses_v2_resource_arn

    def identity(method: str, path: str, body: bytes, region: str, account_id: str) -> Any:
        if path.rstrip("/").endswith("/outbound-emails") and method == "POST":
            sender = str(json.loads(body).get("FromEmailAddress", ""))
            return f"arn:aws:ses:{region}:{account_id}:identity/{sender}"
        return resource_of(method, path, body, region, account_id)

    iam_actions._ses_v2_resource_arn = identity


def _put_into_streams() -> None:
    """Add the action of a topic rule that puts a message into a Kinesis stream, which the emulator does not have.

    The partition key is a part of the topic, ``${topic(n)}``, or a constant. As the rules engine does, a failure is
    raised, so that the rule's error action receives the message.
    """
    from ministack.core.responses import request_scope
    from ministack.services import iot, kinesis

    dispatch = iot._dispatch_rule_action

    async def dispatched(account: str, region: str, rule: str, action: dict[str, Any], event: Any) -> None:
        target = action.get("kinesis")
        if target is None:
            await dispatch(account, region, rule, action, event)
            return
        name, key = str(target["streamName"]), str(target.get("partitionKey") or rule)
        if part := _TOPIC_PART.fullmatch(key):
            key = str(event["topic"]).split("/")[int(part[1]) - 1]
        with request_scope(account, region):
            arn = f"arn:aws:kinesis:{region}:{account}:stream/{name}"
            if not kinesis.put_record_internal(arn, key, json.dumps(event).encode()):
                raise RuntimeError(f"the stream {name} took no record")

    iot._dispatch_rule_action = dispatched


def main() -> None:
    """Run the emulator until a stop signal or the end of the parent process."""
    if os.getpgrp() != os.getpid():
        sys.exit("device_sim.aws.emulator must lead its own process group: it ends by ending the group")
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    _stay_on_loopback()
    _authorize_as_aws()
    _put_into_streams()
    sys.argv = ["ministack"]
    from ministack.app import main as run

    run()


if __name__ == "__main__":
    main()
