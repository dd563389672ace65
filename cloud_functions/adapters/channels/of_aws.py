"""The deliverers of AWS: importing this module registers all of them."""

from __future__ import annotations

from cloud_functions.adapters.channels import email as email
from cloud_functions.adapters.channels import eventbridge as eventbridge
from cloud_functions.adapters.channels import mqtt as mqtt
from cloud_functions.adapters.channels import sns as sns
from cloud_functions.adapters.channels import stepfunctions as stepfunctions
from cloud_functions.adapters.channels.registry import register
from cloud_functions.adapters.channels.webhook import WebhookDeliverer
from cloud_functions.adapters.secrets import Secrets
from cloud_functions.core.channels import ChannelType

register(
    ChannelType.WEBHOOK,
    lambda options: WebhookDeliverer(Secrets(), options.link, loopback=options.loopback),
)
