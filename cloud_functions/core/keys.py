"""The keys of both tables. Names that keys consist of cannot contain ``#`` (see wire.model), so keys are unambiguous.

Telemetry table::

    batches#<gateway>      <epoch>#<sequence>                          a batch as it came, which is its own receipt
    hours#<gateway>        <hour>                                      the roll-up of a gateway's hour
    anomalies#<gateway>    <onset_ms>#<series>#<epoch>#<sequence>#<n>  a report of an anomaly
    profiles#<gateway>     <version>                                   a profile of its series, as it was sent
    gateway#<gateway>      about | notice | ack#<epoch> | limits#<series> | series#<series>
    gateways#<bucket>      <gateway>                                   entry of the list of gateways
    reopened#<bucket>      <hour>#<gateway>                            an hour that received a late batch
    compaction             progress                                    the hour that is compacted next
    compaction#<hour>      <shard>                                     state of the compaction of a shard's hour

``at`` of a batch with rows is the sort key of the index ``by_time``: ``<class>#<first_ms>``. The class bounds the time
range of the batch, so that a query finds every batch that overlaps a time range by one range of keys a class.

Alerts table::

    <gateway>              <onset_ms>#<series>[#<origin>]              an alert; the origin is absent for an anomaly
    openings#<gateway>     <series>#<origin>                           onsets of the last alerts of a series and origin
    groups#<bucket>        <group>                                     a group of alerts and the time of its next flush
    members#<group>        <event>                                     a transition that the next notification contains
    watch#<bucket>         shard | <gateway>                           progress of the watch function
    documents#<kind>       <name>                                      a rule, a silence, a route or a channel

``listed`` of an alert is the key of the index ``by_state``: ``<state>#<bucket>``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cloud_functions.core.ports import Key

MAX_TIME_MS = 9_999_999_999_999
"""The last time whose decimal digits sort as the numbers do: in November 2286."""
HOUR_MS = 3_600_000

BUCKETS = 16
"""Partitions of a list that all gateways share, so that no partition takes all of its writes."""
STATE_BUCKETS = 8

ABOUT, NOTICE = "about", "notice"
BY_TIME, BY_STATE = "by_time", "by_state"

LONGEST_MS = (15 * 60_000, 6 * HOUR_MS, 96 * HOUR_MS)
"""Upper bounds of the time ranges of the classes 0 to 2; class 3 has no bound."""


def time(ms: int) -> str:
    """Return a time as text that sorts by time."""
    return f"{ms:013d}"


def bucket(gateway: str, buckets: int = BUCKETS) -> int:
    """Return the partition of a gateway in a list of all gateways; it never changes."""
    return zlib.crc32(gateway.encode()) % buckets


def batch_name(epoch: int, sequence: int) -> str:
    """Return the name of a batch of a gateway, as text that sorts by number."""
    return f"{epoch:016x}#{sequence:019d}"


def batch(gateway: str, epoch: int, sequence: int) -> Key:
    """Return the key of a stored batch."""
    return Key(f"batches#{gateway}", batch_name(epoch, sequence))


def at(first_ms: int, last_ms: int) -> str:
    """Return the attribute ``at`` of a batch whose rows lie in [first_ms, last_ms]."""
    kind = next((n for n, most in enumerate(LONGEST_MS) if last_ms - first_ms <= most), len(LONGEST_MS))
    return f"{kind}#{time(first_ms)}"


def ranges(from_ms: int, to_ms: int) -> Iterator[tuple[str, str]]:
    """Yield the ranges of ``at`` that contain every batch with rows in [from_ms, to_ms)."""
    for kind in range(len(LONGEST_MS) + 1):
        earliest = max(0, from_ms - LONGEST_MS[kind]) if kind < len(LONGEST_MS) else 0
        if to_ms > 0:
            yield f"{kind}#{time(earliest)}", f"{kind}#{time(min(to_ms - 1, MAX_TIME_MS))}"


def rollup(gateway: str, hour_ms: int) -> Key:
    """Return the key of the roll-up of a gateway's hour."""
    return Key(f"hours#{gateway}", time(hour_ms))


def anomaly(gateway: str, series: str, onset_ms: int, epoch: int, sequence: int, index: int) -> Key:
    """Return the key of the ``index``-th report of a batch."""
    return Key(f"anomalies#{gateway}", f"{time(onset_ms)}#{series}#{batch_name(epoch, sequence)}#{index:05d}")


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


def gateway(name: str) -> Key:
    """Return the key of a gateway in the list of gateways."""
    return Key(gateways(bucket(name)), name)


def gateways(bucket: int) -> str:
    """Return the partition key of a part of the list of gateways."""
    return f"gateways#{bucket:02d}"


def reopened(bucket: int) -> str:
    """Return the partition key of a part of the list of reopened hours."""
    return f"reopened#{bucket:02d}"


def alert(gateway: str, series_name: str, onset_ms: int, origin: str = "") -> Key:
    """Return the key of an alert in the alerts table; ``origin`` is empty for an anomaly."""
    return Key(gateway, f"{time(onset_ms)}#{series_name}{'#' if origin else ''}{origin}")


def openings(gateway: str, series_name: str, origin: str) -> Key:
    """Return the key of the onsets of the last alerts of a series and origin."""
    return Key(f"openings#{gateway}", f"{series_name}#{origin}")


def group(name: str) -> Key:
    """Return the key of a group of alerts."""
    return Key(groups(bucket(name, STATE_BUCKETS)), name)


def groups(bucket: int) -> str:
    """Return the partition key of a part of the groups."""
    return f"groups#{bucket}"


def member(group_name: str, event: str) -> Key:
    """Return the key of a transition that waits in a group."""
    return Key(f"members#{group_name}", event)


def watched(gateway_name: str) -> Key:
    """Return the key of the progress of watching a gateway."""
    return Key(f"watch#{bucket(gateway_name, STATE_BUCKETS)}", f"gateway#{gateway_name}")


def watch_shard(shard: int) -> Key:
    """Return the key of the progress of a shard of the watch function."""
    return Key(f"watch#{shard}", "shard")


def listed(state: str, bucket: int) -> str:
    """Return the attribute ``listed`` of alerts in a state and bucket."""
    return f"{state}#{bucket}"


def documents(kind: str) -> str:
    """Return the partition key of the documents of a kind in the alerts table."""
    return f"documents#{kind}"


def document(kind: str, name: str) -> Key:
    """Return the key of a document in the alerts table."""
    return Key(documents(kind), name)
