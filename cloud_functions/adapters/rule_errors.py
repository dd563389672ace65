"""Messages that a topic rule of IoT Core could not deliver, as dead letters.

IoT Core's error action: https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html
"""

from __future__ import annotations

import json
from typing import Any

from cloud_functions.core.ports import DeadLetter

_BASIC_INGEST = "$aws/rules/"


def of_error_action(letter: DeadLetter) -> DeadLetter:
    """Return the letter with the message as the rule would have sent it, and the failures as its detail.

    An error action lacks the publisher's certificate and the time of arrival.
    """
    try:
        action: Any = json.loads(letter.body)
        failures = "; ".join(
            f"{failure.get('failedAction')} {failure.get('failedResource')}: {failure.get('errorMessage')}"
            for failure in action["failures"]
        )
        topic = str(action["topic"])
        if topic.startswith(_BASIC_INGEST):
            topic = topic.split("/", 3)[3]
        fields = {"data": action["base64OriginalPayload"], "topic": topic, "client": str(action.get("clientId", ""))}
        body = json.dumps(fields | {"principal": "", "received_at": letter.sent_ms})
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        problem = f"not an error action: {type(error).__name__}: {str(error)[:300]}"
        return letter._replace(attributes={"reason": "rule", "problem": problem})
    return letter._replace(body=body, attributes={"reason": "rule", "detail": failures})
