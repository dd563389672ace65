"""CPU time of the import of each Lambda handler, in a fresh process with its package and requirements only.

The import includes the start of the interpreter and the AWS clients that a function makes at its start; Python files
are compiled before. Of several processes the one with the least CPU time counts, which other load disturbs least.
"""

from __future__ import annotations

import compileall
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from device_sim.aws.package import functions, requirements, source_tree, stage_functions
from device_sim.aws.package_environment import RUNTIME, environment, installed, link
from device_sim.paths import SOURCE_TREE

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


def measure(runs: int) -> dict[str, float]:
    """Return ``import_cpu_ms_<function>`` for every function, and that of boto3 with a first client."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packages = stage_functions(SOURCE_TREE, folder / "lambda")
        for function in functions(SOURCE_TREE):
            site = folder / "site" / function
            site.parent.mkdir(exist_ok=True)
            link(installed([*requirements(source_tree(SOURCE_TREE), function), *RUNTIME]), site)
            for path in (packages[function], site):
                compileall.compile_dir(path, quiet=2)
            variables = environment(SOURCE_TREE, function)
            code = f"import cloud_functions.{function}.app"
            found[f"import_cpu_ms_{function}"] = _cpu_ms(code, [packages[function], site], variables, runs)
        code = "import boto3; boto3.client('dynamodb')"
        found["import_cpu_ms_of_boto3_and_a_client"] = _cpu_ms(code, [site], variables, runs)
    return found


def _cpu_ms(code: str, paths: list[Path], variables: dict[str, str], runs: int) -> float:
    """Return the least CPU time of a process that runs the code, user and system, in milliseconds."""
    path = os.pathsep.join(map(str, paths))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, **variables, **_CREDENTIALS}
    times = []
    for _ in range(runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-S", "-c", code], env=env, check=True)  # noqa: S603 - this interpreter
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1000 * min(times[1:])  # the first one may have compiled modules
