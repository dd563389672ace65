"""One file for each type of channel. Importing this package registers all of them."""

from __future__ import annotations

from cloud_functions.adapters.channels import email as email
from cloud_functions.adapters.channels import eventbridge as eventbridge
from cloud_functions.adapters.channels import mqtt as mqtt
from cloud_functions.adapters.channels import sns as sns
from cloud_functions.adapters.channels import stepfunctions as stepfunctions
from cloud_functions.adapters.channels import webhook as webhook
