"""The folder of ``strandline up`` as earlier versions wrote it is read, and that of a later version refused."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from device_sim.aws.errors import SavedDataError
from device_sim.aws.saved import SavedData
from strandline.errors import CommandError
from strandline.sources.broker import PASSWORD_VARIABLE
from strandline.sources.trial import TextReport, try_payload
from strandline.up import mapping, run
from tests.compat.up import write_state
from tests.compat.up.account import MemoryAccount

ARCHIVES = sorted(path.name for path in write_state.FOLDER.glob("up-*.zip"))
TABLES = "saved/tables.jsonl.gz"


def unpacked(name: str, folder: Path) -> Path:
    with zipfile.ZipFile(write_state.FOLDER / name) as archive:
        archive.extractall(folder)
    return folder


def test_the_first_version_is_kept() -> None:
    assert "up-1.zip" in ARCHIVES


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_folder_of_an_earlier_version_is_opened_with_its_port_topics_and_password(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(run, "check_port", lambda port, _use: port)  # opens no socket
    folder = run._open_folder(unpacked(name, tmp_path))
    assert run._page_port(None, folder) == write_state.PORT
    (entry,) = mapping.read(folder) or []
    assert entry == json.loads((folder / mapping.FILE).read_text())["sources"][0]
    read = {
        topic: try_payload(entry, topic, payload, 1_700_000_000_000, TextReport(lambda _line: None))
        for topic, payload in write_state.PAYLOADS.items()
    }
    assert [topic for topic, count in read.items() if not count] == ["hall/camera/image"]
    assert run.password(lambda _question: "not asked for", folder) == write_state.PASSWORD


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_saved_items_and_objects_of_an_earlier_version_are_restored(name: str, tmp_path: Path) -> None:
    account = MemoryAccount()
    items = SavedData(account, unpacked(name, tmp_path) / "saved").restore()
    assert items == len(write_state.TELEMETRY) + len(write_state.ALERTS)
    assert account.tables == {"telemetry": write_state.TELEMETRY, "alerts": write_state.ALERTS}
    assert account.objects == write_state.OBJECTS


def test_the_folder_of_a_later_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    state = unpacked(ARCHIVES[-1], tmp_path) / run.STATE
    state.write_text(json.dumps({"format": 99, "page_port": write_state.PORT}))
    before = state.read_bytes()
    with pytest.raises(CommandError, match=r"up\.json: this version reads format 1: .*newer version.*another --dir"):
        run._open_folder(tmp_path)
    assert state.read_bytes() == before


def test_saved_items_of_a_later_version_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = unpacked(ARCHIVES[-1], tmp_path) / TABLES
    with gzip.open(path, "wt") as file:
        file.write('{"format": 99}\n{"of": "a newer version"}\n')
    before = path.read_bytes()
    account = MemoryAccount()
    with pytest.raises(SavedDataError, match=r"format 99, this version reads format 1: .*another --dir"):
        SavedData(account, tmp_path / "saved").restore()
    assert path.read_bytes() == before
    assert account.tables == {"telemetry": [], "alerts": []}
    assert account.objects == {}
