"""Progress display of the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from device_sim.demo.matching import Alarm
from device_sim.simulation.faults import Fault

LINE_SECONDS = 10.0
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of the run; the numbers from ``stored`` on are from the cloud."""

    elapsed_s: float
    duration_s: float
    sent: int
    made: int
    stored: int = 0
    batches: int = 0
    size: int = 0
    acknowledged: int = 0
    alarms: Sequence[Alarm] = ()
    open_faults: Sequence[Fault] = ()

    def line(self) -> str:
        """Return the numbers as one line."""
        return (
            f"{self.elapsed_s:5.0f} s of {self.duration_s:.0f}  readings sent {self.sent:,}  windows {self.made:,}"
            f"  stored {self.stored:,} in {self.batches} batches, {self.per_row:.2f} B per aggregate"
            f"  {self.acknowledged} acknowledgements"
        )

    @property
    def per_row(self) -> float:
        """Bytes per aggregate, 0 before the first."""
        return self.size / self.stored if self.stored else 0.0


class Progress:
    """Display of snapshots, and of the alerts between them; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._lined = -LINE_SECONDS
        self._opened: set[tuple[str, int]] = set()
        self._closed: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def print(self, text: str) -> None:
        """Print a permanent line."""
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", highlight=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Show the state of the run and the alerts that opened or resolved since the last call."""
        for alarm in snapshot.alarms:
            name = (alarm.series, alarm.start_ms)
            if name not in self._opened:
                self._opened.add(name)
                self.print(f"[red]alert opened[/]    {alarm.series} ({alarm.cause})")
            if alarm.end_ms is not None and name not in self._closed:
                self._closed.add(name)
                self.print(f"[green]alert resolved[/]  {alarm.series}")
        if self._live is not None:
            self._live.update(_picture(snapshot))
        elif snapshot.elapsed_s - self._lined >= LINE_SECONDS:
            self._lined = snapshot.elapsed_s
            self.print(snapshot.line())


def _picture(snapshot: Snapshot) -> Group:
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for number, what in (
        (f"{snapshot.elapsed_s:.0f} s", f"of {snapshot.duration_s:.0f}"),
        (f"{snapshot.sent:,}", "readings sent by the sensors"),
        (f"{snapshot.made:,}", "windows made by the aggregator"),
        (f"{snapshot.stored:,}", "aggregates stored in the cloud"),
        (f"{snapshot.batches:,}", f"batches, {snapshot.acknowledged:,} acknowledgements"),
        (f"{snapshot.per_row:.2f}", "bytes an aggregate"),
    ):
        table.add_row(number, what)
    faults = ", ".join(f"{fault.kind} on {fault.series}" for fault in snapshot.open_faults) or "none"
    still = [alarm for alarm in snapshot.alarms if alarm.end_ms is None][-SHOWN:]
    alarms = ", ".join(f"{alarm.series} ({alarm.cause})" for alarm in still) or "none"
    return Group(table, Text(f"faults now: {faults}", "yellow"), Text(f"alerts open: {alarms}", "red"))
