"""Saved state of the detector: one deflated file, replaced atomically."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.errors import StateError
from edge_components.common.files import replace_file

Arrays = dict[str, npt.NDArray[Any]]
_NAMES = "series_names"
_CRC_BYTES = 4
_DEFLATED = b"SLZ1"
"""Magic bytes of a deflated file; files of earlier versions begin with those of a zip file."""
_LEVEL = 1
"""Compression level; higher levels save 10% of the bytes and take several times as long on the scoring loop."""


def save(path: Path, names: Sequence[str], arrays: Arrays) -> None:
    """Write names and arrays; the old file is replaced after the new one has been synced. Raises StateError."""
    packed = io.BytesIO()
    text = np.frombuffer(json.dumps(list(names)).encode(), np.uint8)
    np.savez(packed, **{_NAMES: text}, **arrays)
    body = _DEFLATED + zlib.compress(packed.getbuffer(), _LEVEL)
    try:
        replace_file(path, body, zlib.crc32(body).to_bytes(_CRC_BYTES, "little"))
    except OSError as error:
        raise StateError(f"state {path} not written: {error}") from error


def read(path: Path) -> tuple[list[str], Arrays] | None:
    """Return names and arrays, or None without a file; raises StateError for an unreadable file."""
    try:
        raw = path.read_bytes()
        if zlib.crc32(raw[:-_CRC_BYTES]).to_bytes(_CRC_BYTES, "little") != raw[-_CRC_BYTES:]:
            raise ValueError("the checksum does not match")
        body = raw[:-_CRC_BYTES]
        if body.startswith(_DEFLATED):
            body = zlib.decompress(body[len(_DEFLATED) :])
        with np.load(io.BytesIO(body), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        names = json.loads(arrays.pop(_NAMES).tobytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StateError(f"state {path}: {type(error).__name__}: {error}") from error
    if not isinstance(names, list):
        raise StateError(f"state {path}: the names of the series are not a list")
    return [str(name) for name in names], arrays
