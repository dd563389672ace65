"""The Lambda package: the same bytes from the same files, and complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from device_sim.aws.package import lambda_files, stage_lambda, zip_folder

REPO = Path(__file__).resolve().parents[3]


def test_the_package_has_wire_and_cloud_functions_and_nothing_else() -> None:
    tops = {name.split("/")[0] for name, _ in lambda_files(REPO)}
    assert tops == {"wire", "cloud_functions", "requirements.txt"}
    names = [name for name, _ in lambda_files(REPO)]
    assert names == sorted(set(names))
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", "README.md"))]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        zip_folder(stage_lambda(REPO, tmp_path / name), tmp_path / f"{name}.zip").read_bytes() for name in "ab"
    )
    assert first == second


def test_staging_removes_the_previous_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.py").touch()
    assert not (stage_lambda(REPO, tmp_path / "out") / "old.py").exists()


def test_the_handlers_are_found_in_the_package_and_use_nothing_of_ours_outside_it(tmp_path: Path) -> None:
    folder = stage_lambda(REPO, tmp_path / "lambda")
    program = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "for name in ('ingest', 'alerting', 'api'): importlib.import_module(f'cloud_functions.{name}.app')\n"
        "ours = [m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in "
        "('wire', 'cloud_functions', 'edge_components', 'device_sim')]\n"
        f"assert ours and all(path.startswith({str(folder)!r}) for path in ours), ours\n"
    )
    variables = ("TELEMETRY_TABLE", "ALERTS_TABLE", "DEAD_LETTERS_URL", "ALERTS_TOPIC", "ALERTS_BUS")
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"} | dict.fromkeys(variables, "x")
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
