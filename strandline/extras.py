"""Optional packages that commands need, and the extra of this distribution that installs each."""

from __future__ import annotations

_EXTRAS = {
    "archive": ("pyarrow",),
    "cloud": ("boto3", "botocore"),
    "sim": (
        "asyncua",
        "awscrt",
        "awsiot",
        "cryptography",
        "iotcore",
        "ministack",
        "paho",
        "psutil",
        "pymodbus",
        "samtranslator",
    ),
    "plot": ("matplotlib", "PIL"),
    "train": ("flatbuffers", "tflite"),
    "train-tensorflow": ("keras", "tensorflow"),
}
_NEED_ALL_OF_SIM = ("demo", "chaos")


def missing_package(module: str, command: str) -> str | None:
    """Return the error text of a command whose import failed, None for a module that belongs to no extra."""
    package = module.split(".")[0]
    extra = next((extra for extra, packages in _EXTRAS.items() if package in packages), None)
    if extra is None:
        return None
    if command in _NEED_ALL_OF_SIM:
        extra = "sim"
    return f"{command} needs the package {package}, which is not installed: pip install 'strandline[{extra}]'"
