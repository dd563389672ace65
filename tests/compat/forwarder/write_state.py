"""Write the files of a spool that tests/compat keeps: ``python -m tests.compat.forwarder.write_state VERSION``.

``spool-closed-VERSION.zip`` is a spool after a regular end, ``spool-killed-VERSION.zip`` one as a kill leaves it: the
database at the last fold, its write-ahead log, and the journal ahead of both. Existing files are never overwritten.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from edge_components.common import aggregates_message
from edge_components.forwarder.spool.entries import ReceivedBatch
from edge_components.forwarder.spool.spool import Spool
from wire import codec
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Phase, Series
from wire.topics import Lane

FOLDER = Path(__file__).parent
EPOCH, SENDER, OTHER_SENDER = 0x123456789ABCDEF0, 0xA1, 0xB2
MAX_BYTES = 1_000_000
NAME = "spool.sqlite3"


def rows(first: int, count: int) -> Aggregates:
    """Return one window of ``count`` series, which starts at second ``first``."""
    series = tuple(Series(f"pump-{number}.temperature", "Cel", 0.1) for number in range(count))
    start = np.full(count, 1_700_000_000_000 + 1000 * first, np.int64)
    mean = 20.0 + 0.1 * np.arange(count) + first
    columns = (mean, mean - 0.5, mean + 0.5, np.full(count, 0.25), np.zeros(count))
    width, number = np.full(count, 1000, np.int64), np.full(count, 10, np.int64)
    return Aggregates(series, np.arange(count, dtype=np.int64), start, width, number, *columns)


def aggregates_arrival(sender: int, sequence: int) -> ReceivedBatch:
    """Return a received batch of five aggregates."""
    payload = aggregates_message.encode(Batch("gateway-1", sender, sequence, rows(sequence, 5)))
    return ReceivedBatch(sender, sequence, Lane.BULK, 5, payload)


def anomaly_arrival(sender: int, sequence: int) -> ReceivedBatch:
    """Return a received batch of one anomaly."""
    anomaly = Anomaly("pump-1.temperature", Phase.ONSET, 1_700_000_000_000, 1_700_000_001_000, 2.5, "spike")
    payload = codec.encode(Batch("gateway-1", sender, sequence, Anomalies((anomaly,))))
    return ReceivedBatch(sender, sequence, Lane.URGENT, 1, payload)


def fill_to_fold(spool: Spool) -> None:
    """Store received batches, form batches of both lanes and number two of them, then fold."""
    spool.store([aggregates_arrival(SENDER, number) for number in (1, 2, 3, 5)])
    spool.store([anomaly_arrival(SENDER, 6)])
    spool.put(Lane.BULK, codec.pack(rows(1, 5)), 5, 5, 1_700_000_001_000)
    spool.put(Lane.BULK, codec.pack(rows(2, 3)), 3, 3, 1_700_000_002_000)
    spool.put(Lane.BACKFILL, codec.pack(rows(0, 4)), 4, 0, 1_700_000_000_000)
    spool.number(spool.unsent(Lane.BULK, 1))
    spool.count_loss("rows_merged", 7)
    spool.quarantine_rows(Lane.URGENT, 1, b"one row", "a reason")
    spool.fold()


def fill_after_fold(spool: Spool) -> None:
    """Change rows of every table once more."""
    spool.store([aggregates_arrival(OTHER_SENDER, 1)])
    spool.put(Lane.BULK, codec.pack(rows(3, 2)), 2, 2, 1_700_000_003_000)
    spool.number(spool.unsent(Lane.BULK, 2))
    spool.free(Acknowledgement(EPOCH, 1))
    spool.demote(0)
    spool.count_loss("rows_merged", 2)


def files(folder: Path) -> bytes:
    """Return the files of a folder as a zip archive that does not depend on the time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.iterdir()):
            if not path.name.endswith("-shm"):
                archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def write(version: str) -> None:
    """Write both archives."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = Spool.open(folder / NAME, EPOCH, MAX_BYTES)
        fill_to_fold(spool)
        fill_after_fold(spool)
        killed = files(folder)
        spool.close()
        for state, content in (("killed", killed), ("closed", files(folder))):
            with (FOLDER / f"spool-{state}-{version}.zip").open("xb") as file:
                file.write(content)


if __name__ == "__main__":
    write(sys.argv[1])
