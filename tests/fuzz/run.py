"""Fuzz for as long as one likes: ``python -m tests.fuzz.run --target wire --seconds 60``.

With atheris (``pip install 'strandline[fuzz]'``) the inputs follow the code's branches; without it they are mutations
of the seeds by chance. Either way an error that is not the package's own ends the run with its input, exit code 1.
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
        results[target.name] = _by_chance(target, options.seconds, random.Random(options.seed))
        if not options.json:
            inputs, refused = results[target.name]
            _say(f"{target.name:<26} {inputs:>10,} inputs  {refused:>10,} refused with its own errors")
    if options.json:
        _say(json.dumps({name: {"inputs": i, "refused": r} for name, (i, r) in results.items()}))
    return 0


def _say(text: str) -> None:
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


def _by_chance(target: Target, seconds: float, rng: random.Random) -> tuple[int, int]:
    """Return how many inputs were tried and how many were refused; ends the process at one that is not."""
    inputs = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = _mutated(rng.choice(target.seeds), rng)
        if target.reseal is not None and rng.random() < 0.7:
            data = target.reseal(data)
        inputs += 1
        try:
            target.call(data)
        except target.errors:
            refused += 1
        except Exception:  # noqa: BLE001 # this is what is looked for
            traceback.print_exc()
            _say(f"{target.name}: {data!r}")
            raise SystemExit(1) from None
    return inputs, refused


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
