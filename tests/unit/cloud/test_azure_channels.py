"""Tests of the deliverers of Azure with a fake of its services."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("azure.functions")

from cloud_functions.adapters.azure.api import claims_of
from cloud_functions.adapters.azure.channels import (
    CACHE_MS,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    Destinations,
    EventGridDeliverer,
    KeyVaultSecrets,
    deliverers,
)
from cloud_functions.adapters.channels.registry import Options
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics

TOPIC, VAULT, EMAIL = "https://t.example.net/api/events", "https://v.example.net/", "https://e.example.net"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "gw-1/7",
    "type": "io.strandline.alert.firing",
    "source": "/sites/x",
    "data": {},
}


class Services:
    """Records requests and answers each with ``status`` and ``answer``."""

    def __init__(self, status: int = 200, answer: bytes = b"") -> None:
        self.status, self.answer = status, answer
        self.sent: list[tuple[str, str, str, Mapping[str, str], bytes]] = []

    def __call__(self, scope: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.sent.append((scope, method, url, headers, body))
        return self.status, self.answer


def pair(kind: ChannelType = ChannelType.SNS, **settings: Any) -> tuple[Delivery, Channel]:
    return Delivery("one", "gw-1", EVENT), Channel("one", kind, settings)


def test_events_are_sent_to_a_topic_as_cloudevents_with_their_channel() -> None:
    services = Services()
    assert EventGridDeliverer(TOPIC, services).deliver([pair(), pair()]) == ["", ""]
    ((scope, method, url, headers, body),) = services.sent
    assert (scope, method) == ("https://eventgrid.azure.net/.default", "POST")
    assert url == f"{TOPIC}?api-version=2018-01-01"
    assert headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert json.loads(body) == [EVENT | {"channel": "one"}] * 2


def test_events_are_divided_by_number_and_size_and_a_failure_is_that_of_its_request() -> None:
    services = Services(503, b"busy")
    large = (Delivery("one", "gw-1", EVENT | {"data": "x" * (MAX_BATCH_BYTES // 2)}), pair()[1])
    reasons = EventGridDeliverer(TOPIC, services).deliver([*[pair()] * (MAX_BATCH + 1), large, large])
    assert [len(json.loads(body)) for *_, body in services.sent] == [MAX_BATCH, 2, 1]
    assert set(reasons) == {"Event Grid: 503 busy"}


def test_a_channel_that_names_a_topic_of_aws_is_rejected_and_the_others_are_not() -> None:
    services = Services()
    reasons = EventGridDeliverer(TOPIC, services).deliver([pair(topic="arn:aws:sns:x:123456789012:t"), pair()])
    assert "cannot be reached from Azure" in reasons[0]
    assert reasons[1] == ""
    assert len(json.loads(services.sent[0][4])) == 1


def channels(services: Services, metrics: Metrics, sender: str = "alerts@example.com") -> Any:
    return deliverers(Options(sender=sender), Destinations(TOPIC, TOPIC, VAULT, EMAIL), services, metrics, lambda: 0)


def test_types_without_a_service_are_rejected_and_the_gateways_topic_is_counted() -> None:
    services, metrics = Services(), Metrics()
    found = channels(services, metrics)
    reasons = found.deliver([pair(ChannelType.STEPFUNCTIONS), pair(ChannelType.MQTT)])
    assert reasons == ["channel one: stepfunctions is not available on Azure", ""]
    assert metrics.counts["deliveries_without_destination"] == 1
    assert services.sent == []


def test_secrets_are_read_once_and_only_those_of_channels() -> None:
    services, now = Services(answer=b'{"value": "key"}'), [0]
    secrets = KeyVaultSecrets(VAULT, services, lambda: now[0])
    assert [secrets.get("secretsmanager:pager") for _ in range(2)] == ["key", "key"]
    assert [url for _, _, url, _, _ in services.sent] == ["https://v.example.net/secrets/channel-pager?api-version=7.4"]
    now[0] = CACHE_MS
    secrets.get("secretsmanager:pager")
    assert len(services.sent) == 2


@pytest.mark.parametrize("name", ["ssm:pager", "secretsmanager:a/b", "secretsmanager:../keys", "secretsmanager:"])
def test_another_name_of_a_secret_is_rejected(name: str) -> None:
    services = Services(answer=b'{"value": "key"}')
    with pytest.raises(StoreError, match="is allowed"):
        KeyVaultSecrets(VAULT, services, lambda: 0).get(name)
    assert services.sent == []


@pytest.mark.parametrize(("status", "answer"), [(403, b""), (200, b"[]"), (200, b"not json")])
def test_a_secret_that_cannot_be_read_is_an_error(status: int, answer: bytes) -> None:
    with pytest.raises(StoreError, match="read the secret pager"):
        KeyVaultSecrets(VAULT, Services(status, answer), lambda: 0).get("secretsmanager:pager")


def principal(claims: list[tuple[str, str]], **more: str) -> str:
    content = {"claims": [{"typ": name, "val": value} for name, value in claims], **more}
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_claims_have_all_roles_and_the_name_of_the_person() -> None:
    found = claims_of(
        principal([("n", "Ada"), ("r", "viewer"), ("roles", "admin")], name_typ="n", role_typ="r"),
    )
    assert (found["username"], found["roles"]) == ("Ada", ["viewer", "admin"])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"claims":[1]}'])
def test_another_text_is_not_a_principal(content: bytes) -> None:
    text = base64.b64encode(content).decode() + ("" if content else "%")
    with pytest.raises(ValueError, match="not a principal"):
        claims_of(text)


def test_an_email_has_a_sender_and_the_same_operation_id_when_it_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    from cloud_functions.adapters.azure import channels as module

    for name in ("subject", "body", "html_body"):
        monkeypatch.setattr(module, name, lambda *_, text=name: text)
    services, metrics = Services(202), Metrics()
    mail = pair(ChannelType.EMAIL, to=["ada@example.com"])
    found = channels(services, metrics)
    assert [found.deliver([mail]), found.deliver([mail])] == [[""], [""]]
    assert [url for _, _, url, _, _ in services.sent] == [f"{EMAIL}/emails:send?api-version=2023-03-31"] * 2
    first, second = (headers["Operation-Id"] for _, _, _, headers, _ in services.sent)
    assert uuid.UUID(first) == uuid.UUID(second)
    message = json.loads(services.sent[0][4])
    assert message["senderAddress"] == "alerts@example.com"
    assert message["recipients"] == {"to": [{"address": "ada@example.com"}]}
    assert message["content"] == {"subject": "subject", "plainText": "body", "html": "html_body"}
    assert channels(services, metrics, sender="").deliver([mail]) == [
        "channel one: EMAIL_URL and EMAIL_FROM are not set"
    ]
