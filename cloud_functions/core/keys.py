"""The keys of both tables. No name that a key is made of may hold ``#`` (see wire.model), so none can pose as another.

Telemetry table::

    series#<gateway>#<series>   <start_ms>#<epoch>#<sequence>               a record: one series' rows of one batch
    anomalies#<gateway>         <onset_ms>#<series>#<epoch>#<sequence>#<n>  a report of an anomaly
    batches#<gateway>           <epoch>#<sequence>                          the receipt of a batch
    profiles#<gateway>          <version>                                   a profile of its series, as it was sent
    gateway#<gateway>           about | notice | rejects | ack#<epoch> | series#<series> | limits#<series>
    gateways                    <gateway>                                   that it exists

Alerts table::

    <gateway>                   <onset_ms>#<series>
"""

from __future__ import annotations

from cloud_functions.core.ports import Key

MAX_TIME_MS = 9_999_999_999_999
"""The last time whose decimal digits sort as the numbers do: in November 2286."""

GATEWAYS = "gateways"
ABOUT, NOTICE, REJECTS = "about", "notice", "rejects"


def time(ms: int) -> str:
    """Return a time so that text sorts as time does."""
    return f"{ms:013d}"


def batch_name(epoch: int, sequence: int) -> str:
    """Return what names a batch of a gateway, so that text sorts as numbers do."""
    return f"{epoch:016x}#{sequence:019d}"


def record(gateway: str, series: str, start_ms: int, epoch: int, sequence: int) -> Key:
    """Return the key of the record of a series' rows that begin at ``start_ms`` in a batch."""
    return Key(f"series#{gateway}#{series}", f"{time(start_ms)}#{batch_name(epoch, sequence)}")


def anomaly(gateway: str, series: str, onset_ms: int, epoch: int, sequence: int, index: int) -> Key:
    """Return the key of the ``index``-th report of a batch."""
    return Key(f"anomalies#{gateway}", f"{time(onset_ms)}#{series}#{batch_name(epoch, sequence)}#{index:05d}")


def receipt(gateway: str, epoch: int, sequence: int) -> Key:
    """Return the key of a batch's receipt."""
    return Key(f"batches#{gateway}", batch_name(epoch, sequence))


def profile(gateway: str, version: int) -> Key:
    """Return the key of a profile of a gateway's series."""
    return Key(f"profiles#{gateway}", f"{version:010d}")


def acknowledgement(gateway: str, epoch: int) -> Key:
    """Return the key of an epoch's received sequences."""
    return Key(f"gateway#{gateway}", f"ack#{epoch:016x}")


def about(gateway: str, part: str = ABOUT) -> Key:
    """Return the key of an item about a gateway."""
    return Key(f"gateway#{gateway}", part)


def series(gateway: str, name: str) -> Key:
    """Return the key of a series in its gateway's catalogue."""
    return Key(f"gateway#{gateway}", f"series#{name}")


def alert(gateway: str, series_name: str, onset_ms: int) -> Key:
    """Return the key of an alert in the alerts table."""
    return Key(gateway, f"{time(onset_ms)}#{series_name}")
