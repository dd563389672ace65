"""Tests of the erasure of gateways and series: nothing of them is left, and everything else is."""

from __future__ import annotations

import base64
import json

import pytest

from cloud_functions.core import keys
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.batch_rows import rows_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.compaction import LEASE_MS
from cloud_functions.core.compaction_plan import DAY_MS, Kind, Task
from cloud_functions.core.erasure import Eraser, Target, without
from cloud_functions.core.ports import Item, Key
from tests.unit.cloud.fakes import FakeTable, aggregates, body, report
from tests.unit.cloud.test_compaction import HOUR, Cloud
from tests.unit.cloud.test_compaction import SERIES as BOTH
from wire.model import Anomalies, Batch, Readings, Series

HOUR_MS = keys.HOUR_MS
SERIES, OTHER = (series.name for series in BOTH)


class Plant(Cloud):
    """A cloud with rows, roll-ups, an archive, reports and alerts of two gateways."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts = FakeTable()
        for gateway in ("gw-1", "gw-2"):
            self.deliver(gateway, HOUR)
            self.deliver(gateway, HOUR + 60_000)
            for name in (SERIES, OTHER):
                one = report(series=name)
                self.sequence += 1
                self.accept(body(Batch(gateway, 7, self.sequence, Anomalies((one,)))))
                AlertBook(self.alerts, lambda: self.now_ms, DAY_MS).report(gateway, one)
        self.now_ms = HOUR + HOUR_MS + 20 * 60_000
        self.compact()

    def eraser(self, series: str | None = None, *, dry: bool = False) -> Eraser:
        return Eraser(
            Target("gw-1", series),
            self.table,
            self.alerts,
            self.archive,
            lambda *_: None,
            lambda: self.now_ms,
            dry=dry,
        )

    def mentions(self, text: str) -> list[str]:
        """Return the keys of items and files that mention a text, the rows of batches included."""
        found = [
            f"{key.pk} {key.sk}"
            for table in (self.table, self.alerts)
            for key, item in table.items.items()
            if text in json.dumps([key, item], default=repr)
        ]
        for item in self.table.of_kind("batch"):
            batch = StoredBatch.of(item)
            if batch.has_rows and batch.rows:
                rows = rows_of(batch, lambda *_: None)
                found += [f"rows of {batch.gateway}"] if text in {one.name for one in rows.series} else []
        for gateway, rows in self.archive.visible():
            found += [f"archive of {gateway}"] if text in (gateway, *(one.name for one in rows.series)) else []
        return found


@pytest.fixture
def plant() -> Plant:
    return Plant()


def test_nothing_of_an_erased_gateway_is_left_and_the_other_has_everything(plant: Plant) -> None:
    before = plant.mentions("gw-2")
    archived = {key: row for key, row in plant.archived().items() if key[0] == "gw-2"}
    assert plant.mentions("gw-1")
    eraser = plant.eraser()
    eraser.erase_tables()
    assert eraser.erase_archive() == []
    assert plant.mentions("gw-1") == []
    assert plant.mentions("gw-2") == before
    assert plant.archived() == archived
    assert eraser.counts["files"] == 1


def test_nothing_of_an_erased_series_is_left_and_the_other_series_have_everything(plant: Plant) -> None:
    archived = {key: row for key, row in plant.archived().items() if key[:2] != ("gw-1", SERIES)}
    assert len(archived) < len(plant.archived())
    hours = {key: count for key, count in plant.rolled_up().items() if key[:2] != ("gw-1", SERIES)}
    eraser = plant.eraser(SERIES)
    eraser.erase_tables()
    eraser.erase_archive()
    left = [where for where in plant.mentions(SERIES) if "gw-2" not in where]
    assert left == []
    assert plant.archived() == archived
    assert plant.rolled_up() == hours
    assert plant.mentions(OTHER)


def test_a_repetition_of_a_rewritten_batch_is_a_duplicate_and_brings_nothing_back(plant: Plant) -> None:
    first = next(item for item in plant.table.of_kind("batch") if item["pk"] == "batches#gw-1" and item["rows"])
    original = dict(first)
    plant.eraser(SERIES).erase_tables()
    key = Key(str(original["pk"]), str(original["sk"]))
    erased = plant.table.get(key)
    assert erased is not None
    assert erased["data"] != original["data"]
    data = base64.b64encode(StoredBatch.of(original).data).decode()
    plant.accept(body(Batch("gw-1", 7, StoredBatch.of(original).sequence, aggregates(1)), data=data))
    assert plant.table.get(key) == erased
    assert not [where for where in plant.mentions(SERIES) if where == "rows of gw-1"]


def test_erasing_again_finds_nothing(plant: Plant) -> None:
    for series in (SERIES, None):
        for _ in range(2):
            eraser = plant.eraser(series)
            eraser.erase_tables()
            eraser.erase_archive()
        assert +eraser.counts == {}


def test_a_dry_run_counts_and_changes_nothing(plant: Plant) -> None:
    tables, files = dict(plant.table.items), dict(plant.archive.files)
    for series in (SERIES, None):
        eraser = plant.eraser(series, dry=True)
        eraser.erase_tables()
        eraser.erase_archive()
        assert eraser.counts["batches"] > 0
        assert eraser.counts["alerts"] > 0
        assert eraser.counts["files"] == 1
    assert (plant.table.items, plant.archive.files) == (tables, files)


@pytest.mark.parametrize("kind", Kind)
def test_a_file_that_a_compaction_may_write_is_busy_until_its_lease_ends(plant: Plant, kind: Kind) -> None:
    start_ms = HOUR if kind is Kind.HOUR else HOUR // DAY_MS * DAY_MS
    task = Task(kind, start_ms, 0)
    state = plant.table.get(task.key) or {"version": 0}
    lease: Item = {"pk": task.key.pk, "sk": task.key.sk, "kind": "compaction", "done": 1, "owner": "other"}
    assert plant.table.replace({**lease, "lease_ms": plant.now_ms + LEASE_MS}, int(state["version"]))
    before = dict(plant.archive.files)
    (busy,) = plant.eraser().erase_archive()
    assert busy in plant.archive.files
    assert plant.archive.files == before
    plant.now_ms += LEASE_MS + 1
    assert plant.eraser().erase_archive() == []
    assert plant.archive.files != before


def test_the_erasers_own_lease_is_given_back_and_the_hour_stays_done(plant: Plant) -> None:
    plant.eraser().erase_archive()
    state = plant.table.get(Task(Kind.HOUR, HOUR, 0).key)
    assert state is not None
    assert (state["lease_ms"], state["done"]) == (0, 1)
    assert plant.plan() == []


def test_rows_without_a_series_keep_their_order_and_their_other_series() -> None:
    rows = aggregates(1)
    left = without(rows, "pump0.temperature")
    assert left is not rows
    assert len(left) == 8
    assert without(rows, "pump9.temperature") is rows
    readings = Readings(
        (Series("a"), Series("b")),
        rows.series_index[:4] % 2,
        rows.start_ms[:4],
        rows.mean[:4],
        rows.count[:4].astype("u1"),
    )
    only = without(readings, "a")
    assert isinstance(only, Readings)
    assert only.series == (Series("b"),)
    assert only.value.tolist() == rows.mean[[1]].tolist()
