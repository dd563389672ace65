"""Channels of e-mail: a subject and a readable text, through SES, or through the stack's SNS topic for people.

SES needs a verified sender (the parameter EmailFrom). Without one, the topic's own subscribers receive the text.
"""

from __future__ import annotations

from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.adapters.channels.registry import Pair, each, register
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.messages.text import ascii_subject, body, html_body, subject


class EmailDeliverer:
    """Sends e-mails; ``sender`` is empty for the fallback to ``topic``."""

    def __init__(self, sender: str, topic: str, link: str = "", ses: Any = None, sns: Any = None) -> None:
        self._sender, self._topic, self._link = sender, topic, link
        self._ses = ses if ses is not None or not sender else lazy_client("sesv2")
        self._sns = sns if sns is not None or sender else lazy_client("sns")

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Send e-mails one by one."""
        return each(deliveries, self._send if self._sender else self._publish)

    def _send(self, delivery: Delivery, channel: Channel) -> None:
        event = delivery.event
        content = {
            "Subject": {"Data": subject(event), "Charset": "UTF-8"},
            "Body": {
                "Text": {"Data": body(event, self._link), "Charset": "UTF-8"},
                "Html": {"Data": html_body(event, self._link), "Charset": "UTF-8"},
            },
        }
        with store_errors(f"e-mail of channel {channel.name}"):
            self._ses.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": list(channel.settings["to"])},
                Content={"Simple": content},
            )

    def _publish(self, delivery: Delivery, channel: Channel) -> None:
        event = delivery.event
        with store_errors(f"e-mail of channel {channel.name} through SNS"):
            self._sns.publish(
                TopicArn=self._topic,
                Subject=ascii_subject(subject(event)),
                Message=body(event, self._link),
                MessageAttributes={"channel": {"DataType": "String", "StringValue": channel.name}},
            )


register(
    ChannelType.EMAIL,
    lambda options: EmailDeliverer(options.sender, options.notifications_topic, options.link),
)
