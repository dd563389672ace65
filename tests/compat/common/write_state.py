"""Write the files of the shared code for tests/compat: ``python -m tests.compat.common.write_state VERSION``.

Existing files are never overwritten.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from edge_components.common import aggregates_message, environment, live_configuration, readings_message
from edge_components.common.environment import Environment
from edge_components.common.journal import Journal
from edge_components.common.live_configuration import LastGoodConfiguration
from tests.compat.forwarder.write_state import rows
from wire.model import Batch, Readings, Series

FOLDER = Path(__file__).parent
ENVIRONMENT = Environment(
    "/bin/sh", "3.11.4", "aarch64", {"numpy": "1.26.4"}, absent={"tflite-runtime==2.14.0": "no wheel"}
)
CONFIGURATION = {"batch_max_bytes": 4000, "ack": "cloud", "commit_ms": "1500"}
EPOCH, SEQUENCE = 0xFEDCBA9876543210, 42


def readings_batch() -> Batch:
    """Return a batch of readings with quality, decimals and a value without a short decimal."""
    series = (Series("pump-1.pressure", "bar", 0.01), Series("pump-1.flow", "l/min", None))
    index = np.array([0, 1, 0, 1], np.int64)
    time = np.array([0, 0, 1000, 1500], np.int64) + 1_700_000_000_000
    value, quality = np.array([1.25, 1 / 3, -0.5, 7.0]), np.array([0, 1, 0, 2], np.uint8)
    return Batch("gateway-1", EPOCH, SEQUENCE, Readings(series, index, time, value, quality))


def aggregates_batch() -> Batch:
    """Return a batch of aggregates."""
    return Batch("gateway-1", EPOCH, SEQUENCE, rows(1, 3))


def journal(folder: Path) -> None:
    """Write a journal with a snapshot and a later commit of two kinds."""
    opened, _ = Journal.open(folder)
    opened.append(1, b"before the snapshot", weight=5)
    opened.snapshot(b"state " * 20, weight=3)
    opened.append(1, b"first", weight=2)
    opened.append(7, bytes(range(256)), weight=1)
    opened.commit()
    opened.close()


def write(version: str) -> None:
    """Write all files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal(folder / "journal")
        ENVIRONMENT.write(folder)
        LastGoodConfiguration(folder / live_configuration.FILE, logging.getLogger()).save(CONFIGURATION)
        content = {
            f"environment-{version}.json": (folder / environment.FILE).read_bytes(),
            f"configuration-{version}.json": (folder / live_configuration.FILE).read_bytes(),
            f"readings-{version}.message": readings_message.encode(readings_batch()),
            f"aggregates-{version}.message": aggregates_message.encode(aggregates_batch()),
            f"journal-{version}.zip": _archive(folder / "journal"),
        }
    for file, data in content.items():
        with (FOLDER / file).open("xb") as out:
            out.write(data)


def _archive(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


if __name__ == "__main__":
    write(sys.argv[1])
