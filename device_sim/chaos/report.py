"""Report of a run as a table and a JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from device_sim.chaos.faults import Done
from device_sim.chaos.ledger import Drops, Reconciliation
from device_sim.chaos.proof import Proof


@dataclass(frozen=True, slots=True)
class Cloud:
    """Counts in the cloud: stored batches, repeated batches, dead letters, epochs."""

    batches: int
    repeated: int
    dead_letters: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Report:
    """Results of one run."""

    seed: int
    faults_s: float
    drain_s: float
    done: tuple[Done, ...]
    proof: Proof
    reconciliation: Reconciliation
    drops: Drops
    cloud: Cloud
    redeployed: int
    orphans: int
    republished: int
    acknowledgement_faults: Mapping[str, int]
    spool_losses_reported: bool
    disk: str
    clock: str
    settings_not_applied: tuple[str, ...] = ()
    profile: str = "java"

    @property
    def faults(self) -> int:
        """Number of faults that were caused."""
        return sum(not done.error for done in self.done)

    @property
    def holds(self) -> bool:
        """True when no reading was lost or counted twice and the run was complete."""
        return (
            self.reconciliation.lost == 0
            and self.proof.duplicated == 0
            and self.proof.unexplained == 0
            and self.orphans == 0
            and self.cloud.dead_letters == 0
            and self.spool_losses_reported
            and not self.settings_not_applied
            and self.proof.readings_sent > 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "profile": self.profile,
            "seed": self.seed,
            "faults": self.faults,
            "faults_failed": len(self.done) - self.faults,
            "faults_by_kind": dict(sorted(Counter(done.kind for done in self.done if not done.error).items())),
            "seconds": round(self.faults_s, 1),
            "drain_seconds": round(self.drain_s, 1),
            "readings_sent": self.proof.readings_sent,
            "readings_stored": self.proof.readings_stored,
            "rows_expected": self.proof.rows_expected,
            "rows_stored": self.proof.rows_stored,
            "lost": self.reconciliation.lost,
            "duplicated": self.proof.duplicated,
            "accounted_drops": self.reconciliation.accounted,
            "unexplained": self.proof.unexplained,
            "drop_counters": self.drops.all(),
            "spool_losses_reported": self.spool_losses_reported,
            "settings_not_applied": list(self.settings_not_applied),
            "batches": self.cloud.batches,
            "batches_repeated": self.cloud.repeated,
            "dead_letters": self.cloud.dead_letters,
            "epochs": self.cloud.epochs,
            "acknowledgement_faults": dict(self.acknowledgement_faults),
            "readings_republished": self.republished,
            "redeployed": self.redeployed,
            "orphans": self.orphans,
            "disk": self.disk,
            "clock": self.clock,
            "holds": self.holds,
        }


def show(report: Report, console: Console) -> None:
    """Print the table and the details of failures."""
    table = Table(title=f"chaos, seed {report.seed}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in report.to_dict().items():
        if isinstance(value, list):
            table.add_row(name.replace("_", " "), "\n".join(value) or "none")
        elif not isinstance(value, dict):
            table.add_row(name.replace("_", " "), f"{value:,}" if type(value) in (int, float) else str(value))
        elif name != "faults_by_kind":
            table.add_row(name.replace("_", " "), "\n".join(f"{k} {v:,}" for k, v in value.items()) or "none")
    table.add_section()
    for kind, number in report.to_dict()["faults_by_kind"].items():
        table.add_row(kind, str(number))
    console.print(table)
    for text in report.reconciliation.examples[:10]:
        console.print(f"[red]lost:[/] {text}", highlight=False, soft_wrap=True)
    for span in [span for span in report.proof.spans if span.doubled or span.unexplained][:10]:
        console.print(f"[red]wrong:[/] {span}", highlight=False, soft_wrap=True)
    for done in report.done:
        if done.error:
            console.print(f"[yellow]{done.kind} was not caused:[/] {done.error}", highlight=False, soft_wrap=True)
