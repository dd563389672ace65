"""Watch of one gateway: silence of the gateway and of its series, its health, and the cloud rules over its new rows."""

from __future__ import annotations

import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from cloud_functions.core import arrivals, health, keys, rule_forecast
from cloud_functions.core.alert import Origin
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.batch_rows import UnreadableBatchError, rows_of
from cloud_functions.core.columns import merge
from cloud_functions.core.dry_run import rows_of_series
from cloud_functions.core.gateways import GatewayState, read_state
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, NowMs, Table
from cloud_functions.core.rhythm import Rhythm
from cloud_functions.core.rule_evaluation import Breach, Progress, Row, absent, evaluate
from cloud_functions.core.rules import Absence, Forecast, Rate, Rule
from cloud_functions.core.severity import AlertKind, Severity
from cloud_functions.core.watched import Watched
from wire.anomaly import Anomaly, Phase
from wire.codec import Profiles
from wire.model import Aggregates

ROWS_MS = 300_000
"""Interval at which the rows of a gateway without rules are read, for the rhythm of its series."""
FORECAST_MS = 900_000
"""Interval at which a forecast of a series is evaluated."""
FORGET_MS = 7 * 86_400_000
"""Silence after which a series counts as removed: its alert is resolved."""
MAX_SERIES = 3_000
_SEPARATOR = "\x1f"
_LOG = logging.getLogger(__name__)


class GatewayWatch:
    """Watch of gateways, one after the other; ``rules`` returns the enabled rules.

    ``silent_after_ms`` is the least silence that is an alert; a gateway or series with a slower rhythm has longer.
    """

    def __init__(
        self,
        telemetry: Table,
        alerts: Table,
        book: AlertBook,
        rules: Callable[[], Sequence[Rule]],
        profiles: Profiles,
        now_ms: NowMs,
        silent_after_ms: int,
        metrics: Metrics,
    ) -> None:
        self._telemetry, self._alerts, self._book, self._rules = telemetry, alerts, book, rules
        self._profiles, self._now_ms, self._silent_after_ms = profiles, now_ms, silent_after_ms
        self._metrics = metrics
        self._reader = HistoryReader(telemetry, profiles)

    def run(self, gateway: str) -> None:
        """Evaluate what arrived of a gateway and what did not; raises StoreError.

        Reports are idempotent, and the progress is saved after them: a run that fails or overlaps another one repeats
        reports, and misses none.
        """
        now_ms = self._now_ms()
        item = self._alerts.get(keys.watched(gateway))
        watched = Watched.from_item(item)
        before = watched.to_item(gateway, now_ms)["body"]
        state = read_state(self._telemetry, gateway)
        rules = [rule for rule in self._rules() if rule.applies_to_gateway(gateway)]
        rows_due = bool(rules) or now_ms - watched.rows_ms >= ROWS_MS
        silent = self._watch_silence(gateway, state.last_seen_ms, watched, now_ms)
        self._watch_health(gateway, state.notice, watched)
        rows: dict[str, list[Aggregates]] = {}
        if rows_due:
            watched.rows_ms = now_ms
            rows = self._read_rows(gateway, state, watched, now_ms)
        self._watch_series(gateway, watched, now_ms, silent=silent, rows_read=rows_due)
        self._evaluate(gateway, rules, rows, watched, now_ms, silent)
        fresh = watched.to_item(gateway, now_ms)
        if item is None or fresh["body"] != before:
            self._alerts.replace(fresh, watched.version)

    def _watch_silence(self, gateway: str, seen_ms: int | None, watched: Watched, now_ms: int) -> bool:
        """Open or resolve the alert of a silent gateway; return True while it is silent."""
        if not seen_ms:
            return False
        watched.rhythm = (watched.rhythm or Rhythm(seen_ms)).observe(seen_ms)
        silent_ms = watched.rhythm.silent_from_ms(self._silent_after_ms)
        self._silence(gateway, "", watched, silent_ms, watched.rhythm.last_ms, now_ms, Severity.CRITICAL)
        return "" in watched.silent

    def _watch_series(self, gateway: str, watched: Watched, now_ms: int, *, silent: bool, rows_read: bool) -> None:
        """Open or resolve the alerts of silent series, unless the whole gateway is silent."""
        for name, rhythm in list(watched.series.items()):
            if now_ms - rhythm.last_ms > FORGET_MS:
                self._silence(gateway, name, watched, None, now_ms, now_ms, Severity.WARNING)
                del watched.series[name]
            elif not silent and rows_read:
                silent_ms = rhythm.silent_from_ms(self._silent_after_ms + ROWS_MS)
                self._silence(gateway, name, watched, silent_ms, rhythm.last_ms, now_ms, Severity.WARNING)

    def _silence(
        self,
        gateway: str,
        series: str,
        watched: Watched,
        silent_ms: int | None,
        last_ms: int,
        now_ms: int,
        severity: Severity,
    ) -> None:
        origin = Origin(AlertKind.SILENCE, "", severity)
        onset_ms = watched.silent.get(series)
        if onset_ms is not None and (last_ms > onset_ms or silent_ms is None):
            self._report(gateway, origin, _silence_report(series, onset_ms, max(last_ms, onset_ms), Phase.END))
            del watched.silent[series]
        elif onset_ms is None and silent_ms is not None and now_ms > silent_ms:
            watched.silent[series] = last_ms
            self._report(gateway, origin, _silence_report(series, last_ms, silent_ms, Phase.ONSET))

    def _watch_health(self, gateway: str, item: Item | None, watched: Watched) -> None:
        """Open or resolve the alerts of what the newest notice shows, once for each notice."""
        if item is None:
            return
        received_ms = int(item.get("received_ms", item["time_ms"]))
        if watched.notices and watched.notices[-1].received_ms >= received_ms:
            return
        counters = json.loads(str(item["counters"]))
        watched.notices = [*watched.notices, health.Notice.of(int(item["time_ms"]), received_ms, counters)]
        found = {one.rule: one for one in health.findings(watched.notices)}
        for rule, one in found.items():
            onset_ms = watched.unhealthy.setdefault(rule, received_ms)
            origin = Origin(AlertKind.HEALTH, rule, one.severity, one.summary)
            report = Anomaly("", Phase.UPDATE, onset_ms, received_ms, 1.0, rule, "", one.value, unit=one.unit)
            self._report(gateway, origin, report)
        for rule in [rule for rule in watched.unhealthy if rule not in found]:
            onset_ms = watched.unhealthy.pop(rule)
            report = Anomaly("", Phase.END, onset_ms, received_ms, 0.0, rule)
            self._report(gateway, Origin(AlertKind.HEALTH, rule, Severity.WARNING), report)

    def _read_rows(
        self, gateway: str, state: GatewayState, watched: Watched, now_ms: int
    ) -> dict[str, list[Aggregates]]:
        """Return the new rows by series, and learn the rhythm of the series."""
        posted = int((state.about or {}).get("seen_ms", 0)) > watched.http_ms
        epochs = {str(item["sk"]).split("#", 1)[1]: item for item in state.epochs}
        found: dict[str, list[Aggregates]] = defaultdict(list)
        for batch in arrivals.new_batches(self._telemetry, gateway, epochs, posted, watched, now_ms):
            try:
                rows = rows_of(batch, self._profiles)
            except UnreadableBatchError as error:
                _LOG.error("watch: %s", error)
                self._metrics.count("unreadable")
                continue
            for at, series in enumerate(rows.series):
                found[series.name].append(rows.take((rows.series_index == at).nonzero()[0]))
                known = watched.series.get(series.name)
                if known is not None or len(watched.series) < MAX_SERIES:
                    watched.series[series.name] = (known or Rhythm(batch.received_ms)).observe(batch.received_ms)
        return found

    def _evaluate(
        self,
        gateway: str,
        rules: Sequence[Rule],
        rows: dict[str, list[Aggregates]],
        watched: Watched,
        now_ms: int,
        silent: bool,
    ) -> None:
        wanted = set()
        for series in sorted({*rows, *watched.series}):
            merged = merge(rows[series]) if series in rows else None
            new = rows_of_series(merged) if merged is not None else []
            unit = merged.series[int(merged.series_index[-1])].unit if merged is not None and len(merged) else None
            for rule in rules:
                if rule.applies_to(gateway, series):
                    wanted.add(name := _name(rule, series))
                    self._evaluate_rule(gateway, rule, series, unit, new, watched, name, now_ms, silent)
        for name in [name for name in watched.rules if name not in wanted]:
            # The rule was changed or deleted: what it had opened is over.
            progress = watched.rules.pop(name)
            rule_name, _, series = name.split(_SEPARATOR)
            if progress.breach is not None:
                report = Anomaly(
                    series, Phase.END, progress.breach.onset_ms, max(progress.breach.last_ms, now_ms), 0.0, "rule"
                )
                self._report(gateway, Origin(AlertKind.RULE, rule_name, Severity.WARNING), report)

    def _evaluate_rule(
        self,
        gateway: str,
        rule: Rule,
        series: str,
        unit: str | None,
        rows: Iterable[Row],
        watched: Watched,
        name: str,
        now_ms: int,
        silent: bool,
    ) -> None:
        progress = watched.rules.get(name, Progress())
        found: list[Breach]
        if isinstance(rule.condition, Forecast):
            if now_ms - progress.until_ms < FORECAST_MS:
                return
            recent = self._reader.mixed(gateway, series, now_ms - rule_forecast.HISTORY_MS, now_ms)
            if len(recent):
                recent = recent.take((recent.series_index == recent.series_index[-1]).nonzero()[0])
            progress, one = rule_forecast.evaluate(rule.condition, progress, recent, now_ms)
            found = [one] if one is not None else []
        else:
            progress, found = evaluate(rule.condition, progress, rows)
            if isinstance(rule.condition, Absence):
                progress, one = absent(rule.condition, progress, now_ms)
                found += [one] if one is not None else []
        watched.rules[name] = progress
        self._metrics.count("evaluated_rules")
        summary = rule.summary
        origin = Origin(AlertKind.RULE, rule.name, rule.severity, summary, round(rule.for_s * 1000))
        for breach in found:
            hidden = silent and isinstance(rule.condition, Absence)
            self._report(gateway, origin, _rule_report(rule, series, unit or "", breach), hidden=hidden)

    def _report(self, gateway: str, origin: Origin, report: Anomaly, *, hidden: bool = False) -> None:
        """Report to the alert book; ``hidden`` until the alert of the silent gateway is found (see inhibition)."""
        alert = self._book.report(gateway, report, origin, inhibited_by="gateway" if hidden else None)
        if alert.version == 0:
            self._metrics.count("opened_alerts")


def _name(rule: Rule, series: str) -> str:
    """Return the name of a rule's progress; another condition has its own."""
    condition = json.dumps(rule.condition.to_dict(), sort_keys=True)
    return _SEPARATOR.join((rule.name, f"{zlib.crc32(condition.encode()):08x}", series))


def _silence_report(series: str, onset_ms: int, time_ms: int, phase: Phase) -> Anomaly:
    silent_s = (time_ms - onset_ms) / 1000
    return Anomaly(series, phase, onset_ms, time_ms, 1.0, "silence", "", silent_s, unit="s")


def _rule_report(rule: Rule, series: str, unit: str, breach: Breach) -> Anomaly:
    cause = str(rule.condition.to_dict()["type"])
    phase = Phase.UPDATE if breach.ended_ms is None else Phase.END
    if isinstance(rule.condition, Absence):
        # The same report each time, so that a series that stays absent writes nothing.
        time_ms = breach.onset_ms if breach.ended_ms is None else breach.ended_ms
        return Anomaly(series, phase, breach.onset_ms, time_ms, 1.0, cause, "", rule.condition.after_s, unit="s")
    time_ms = breach.last_ms if breach.ended_ms is None else breach.ended_ms
    if isinstance(rule.condition, Forecast):
        within = breach.peak
        score = 1.0 + 1.0 / (1.0 + within)
        return Anomaly(series, phase, breach.onset_ms, time_ms, score, cause, breach.direction, within, unit="s")
    beyond = abs(breach.peak - breach.limit) / max(abs(breach.limit), 1e-9)
    up = breach.direction == "up"
    return Anomaly(
        series,
        phase,
        breach.onset_ms,
        time_ms,
        1.0 + min(beyond, 1e6),
        cause,
        breach.direction,
        breach.peak,
        lower=None if up else breach.limit,
        upper=breach.limit if up else None,
        unit=f"{unit}/{rule.condition.per[1:]}" if isinstance(rule.condition, Rate) else unit,
    )
