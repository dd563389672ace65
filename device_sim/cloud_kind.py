"""Names of the clouds of a simulation."""

from __future__ import annotations

from enum import StrEnum


class CloudKind(StrEnum):
    """Cloud whose functions receive the batches."""

    AWS = "aws"
    AZURE = "azure"
    GOOGLE = "google"
