"""Recordings of a simulated pump as CSV: ``python docs/examples/pump-station/history.py FOLDER``.

``history.csv`` is a day of usual operation, with a repair for which the pump was off. ``blocked.csv`` is two
hours, in the second of which the discharge is blocked more and more: the flow falls, and the pressure rises.
"""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

STEP_S, SEED = 10, 4
REPAIR = (datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC))
COLUMNS = ("timestamp", "flow", "pressure", "temperature", "vibration")


def write(path: Path, begin: datetime, hours: float, blocked_from_h: float | None = None) -> None:
    """Write a table with a row each ten seconds."""
    rng = np.random.default_rng(SEED + begin.day)
    rows = round(hours * 3600 / STEP_S)
    seconds = begin.timestamp() + STEP_S * np.arange(rows)
    # The controller changes the speed slowly between 70 % and 100 % of the nominal one.
    speed = 0.85 + 0.15 * np.sin(seconds / 1500) * np.sin(seconds / 670)
    blocked = (
        np.zeros(rows) if blocked_from_h is None else np.clip((seconds - seconds[0]) / 3600 - blocked_from_h, 0, 1)
    )
    flow = 24 * speed * (1 - 0.25 * blocked)
    pressure = 4.4 * speed**2 + 0.5 * blocked
    temperature = 45 + 18 * speed**3
    vibration = 1.2 + 1.1 * speed**2
    values = np.column_stack([flow, pressure, temperature, vibration])
    values += rng.normal(0, [0.12, 0.02, 0.15, 0.03], values.shape)
    stopped = (seconds >= REPAIR[0].timestamp()) & (seconds < REPAIR[1].timestamp())
    values[stopped] = [0.0, 0.4, 22.0, 0.05]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for at, row in zip(seconds, values, strict=True):
            writer.writerow([datetime.fromtimestamp(at, UTC).isoformat(), *(f"{one:.3f}" for one in row)])


def main(folder: Path) -> None:
    """Write both tables."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "history.csv", datetime(2026, 3, 1, tzinfo=UTC), 24)
    write(folder / "blocked.csv", datetime(2026, 3, 4, tzinfo=UTC), 2, blocked_from_h=1)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
