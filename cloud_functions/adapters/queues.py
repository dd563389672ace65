"""URLs of the queues of deliveries, from the functions' variable CHANNEL_QUEUES."""

from __future__ import annotations

import json

from cloud_functions.core.channels import ChannelType
from cloud_functions.core.errors import CloudError


def queue_urls(text: str) -> dict[str, str]:
    """Return the URL of the queue of each type of channel, from JSON; raises CloudError if one is missing."""
    urls = json.loads(text)
    if missing := [kind for kind in ChannelType if kind not in urls]:
        raise CloudError(f"environment variable CHANNEL_QUEUES: no queue of {', '.join(missing)}")
    return {str(kind): str(url) for kind, url in urls.items()}
