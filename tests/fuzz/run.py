"""Fuzz targets for a given time: ``python -m tests.fuzz.run --target wire --seconds 60``.

With Atheris (``pip install 'strandline[fuzz]'``) fuzzing is guided by coverage; without it the inputs are random
mutations of the seeds. In both cases an exception that is not one of the target's errors ends the run: its input is
printed and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
import traceback

from tests.fuzz.targets import TARGETS, Target


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=sorted(target.name for target in TARGETS), action="append")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    chosen = [target for target in TARGETS if not options.target or target.name in options.target]
    if len(chosen) == 1 and _has_atheris():
        return _with_atheris(chosen[0], options.seconds, options.seed)
    results = {}
    for target in chosen:
        results[target.name] = _mutate_randomly(target, options.seconds, random.Random(options.seed))
        if not options.json:
            inputs, rejected = results[target.name]
            _print(f"{target.name:<26} {inputs:>10,} inputs  {rejected:>10,} rejected with its errors")
    if options.json:
        _print(json.dumps({name: {"inputs": i, "rejected": r} for name, (i, r) in results.items()}))
    return 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _has_atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def _with_atheris(target: Target, seconds: float, seed: int) -> int:
    import atheris

    def once(data: bytes) -> None:
        for changed in (data, target.reseal(data)) if target.reseal else (data,):
            with contextlib.suppress(*target.errors):
                target.call(changed)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", f"-seed={seed}", "-max_len=8192"], once)
    atheris.Fuzz()
    return 0


def _mutate_randomly(target: Target, seconds: float, rng: random.Random) -> tuple[int, int]:
    """Return the numbers of inputs and of rejected inputs; exits the process after an unexpected exception."""
    inputs = rejected = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = _mutated(rng.choice(target.seeds), rng)
        if target.reseal is not None and rng.random() < 0.7:
            data = target.reseal(data)
        inputs += 1
        try:
            target.call(data)
        except target.errors:
            rejected += 1
        except Exception:  # noqa: BLE001 # any other exception is a finding
            traceback.print_exc()
            _print(f"{target.name}: {data!r}")
            raise SystemExit(1) from None
    return inputs, rejected


def _mutated(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        choice = rng.random()
        if choice < 0.5 and at < len(data):
            data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))
        elif choice < 0.7:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif choice < 0.9:
            del data[at : at + rng.randint(1, 16)]
        else:
            data[at:at] = data[at : at + 16] * rng.randint(1, 8)
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
