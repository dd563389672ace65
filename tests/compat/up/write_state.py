"""Write the folder of ``strandline up`` for tests/compat: ``python -m tests.compat.up.write_state VERSION``.

Existing files are never overwritten.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

from device_sim.aws.saved import SavedData
from strandline.up import mapping, run
from tests.compat.up.account import MemoryAccount

FOLDER = Path(__file__).parent
PORT = 43210
PASSWORD = "secret of a test"  # noqa: S105 # of no broker
CONNECTION = {"host": "localhost", "port": 1883, "username": "gateway"}
PAYLOADS = {
    "tele/boiler/SENSOR": b'{"Time":"2026-11-27T10:00:00","DS18B20":{"Id":"01","Temperature":61.5},"TempUnit":"C"}',
    "hall/pump-1/flow": b"1.5",
    "hall/pump-2/flow": b"2.5",
    "hall/camera/image": b"\x89PNG\r\n",
}
TELEMETRY = [
    {"pk": {"S": "gw-1#0"}, "sk": {"S": f"{at:013}"}, "body": {"B": bytes(range(at, at + 60))}, "rows": {"N": str(at)}}
    for at in range(30)
]
ALERTS = [{"pk": {"S": "gw-1"}, "sk": {"S": "alert#a"}, "state": {"S": "firing"}, "open": {"BOOL": True}}]
OBJECTS = {"gateway=gw-1/day=2026-11-27/part-0.parquet": b"PAR1 an object PAR1", "manifest.json": b"{}\n"}


def sources() -> list[dict[str, object]]:
    """Return the entries that were learned."""
    return [dict(mapping.learn(CONNECTION, PAYLOADS, 1_700_000_000_000).entry)]


def account() -> MemoryAccount:
    """Return an account with items and objects."""
    found = MemoryAccount()
    found.tables = {"telemetry": list(TELEMETRY), "alerts": list(ALERTS)}
    found.objects = dict(OBJECTS)
    return found


def write(version: str) -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run._keep_port(folder, PORT)
        mapping.keep(folder, sources())
        mapping.keep_password(folder, PASSWORD)
        SavedData(account(), folder / "saved").save()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    with (FOLDER / f"up-{version}.zip").open("xb") as file:
        file.write(out.getvalue())


if __name__ == "__main__":
    write(sys.argv[1])
