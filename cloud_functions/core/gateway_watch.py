"""Watch of one gateway: silence of the gateway and of its series, its health, and the cloud rules over its new rows."""

from __future__ import annotations

import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cloud_functions.core import arrivals, health, keys, rule_forecast
from cloud_functions.core.alert import Origin
from cloud_functions.core.alerting import AlertBook
from cloud_functions.core.batch_rows import UnreadableBatchError, rows_of
from cloud_functions.core.batch_series import series_of
from cloud_functions.core.columns import merge
from cloud_functions.core.dry_run import rows_of_series
from cloud_functions.core.gateways import GatewayState, read_figures
from cloud_functions.core.globs import is_own
from cloud_functions.core.history_reader import HistoryReader
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, Key, NowMs, Table
from cloud_functions.core.rhythm import Rhythm
from cloud_functions.core.rule_evaluation import Breach, Progress, Row, absent, evaluate
from cloud_functions.core.rules import Absence, Forecast, Rule, SetSilence, set_silence
from cloud_functions.core.severity import AlertKind, Severity
from cloud_functions.core.watch_reports import rule_report, silence_report
from cloud_functions.core.watched import Watched
from wire.anomaly import Anomaly, Phase
from wire.codec import Profiles
from wire.model import Aggregates

MINUTE_MS = 60_000
ROWS_MS = 300_000
"""Interval at which a gateway without rules is watched, and the series of its new batches are read."""
PROMPT_MS = 3 * ROWS_MS
"""A gateway that is silent after less than this is watched each minute."""
FORECAST_MS = 900_000
"""Interval at which a forecast of a series is evaluated."""
FORGET_MS = 7 * 86_400_000
"""Silence after which a series counts as removed: its alert is resolved."""
MAX_SERIES = 3_000
_SEPARATOR = "\x1f"
Loaded = tuple[Mapping[Key, Item], Mapping[Key, Item]]
"""Progress and last notices of gateways."""
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

    def is_prompt(self, gateway: str) -> bool:
        """Return True for a gateway that is watched each minute: a rule names it, or its silence is short."""
        short = self._silent_after_ms < PROMPT_MS
        return short or any(rule.applies_to_gateway(gateway) for rule in self._rules())

    def load(self, gateways: Sequence[str]) -> Loaded:
        """Return the progress and the last notices of gateways, by two requests; raises StoreError.

        They may be a second old: then the progress of the run is not saved, and the next one repeats its reports.
        """
        progress = self._alerts.get_many([keys.watched(name) for name in gateways])
        return progress, self._telemetry.get_many([keys.about(name, keys.NOTICE) for name in gateways])

    def run(self, gateway: str, loaded: Loaded | None = None) -> None:
        """Evaluate what arrived of a gateway and what did not; raises StoreError. ``loaded`` is what load returned.

        Reports are idempotent, and the progress is saved after them: a run that fails or overlaps another one repeats
        reports, and misses none.
        """
        now_ms = self._now_ms()
        progress, notices = loaded if loaded is not None else self.load([gateway])
        item = progress.get(keys.watched(gateway))
        watched = Watched.from_item(item)
        state = read_figures(self._telemetry, gateway, notices.get(keys.about(gateway, keys.NOTICE)))
        rules = [rule for rule in self._rules() if rule.applies_to_gateway(gateway)]
        # A minute less than the interval of the runs, none of which is started exactly.
        rows_due = bool(rules) or now_ms - watched.rows_ms >= ROWS_MS - MINUTE_MS
        silent = self._watch_silence(gateway, rules, state.last_seen_ms, watched, now_ms)
        self._watch_health(gateway, state.notice, watched)
        rows: dict[str, list[Aggregates]] = {}
        if rows_due:
            watched.rows_ms = now_ms
            rows = self._read_rows(gateway, state, rules, watched, now_ms)
        self._watch_series(gateway, rules, watched, now_ms, silent=silent, rows_read=rows_due)
        self._evaluate(gateway, rules, rows, watched, now_ms, silent)
        fresh = watched.to_item(gateway, now_ms)
        if item is None or fresh["body"] != item["body"]:
            self._alerts.replace(fresh, watched.version)

    def _watch_silence(
        self, gateway: str, rules: Sequence[Rule], seen_ms: int | None, watched: Watched, now_ms: int
    ) -> bool:
        """Open or resolve the alert of a silent gateway; return True while it is silent."""
        if not seen_ms:
            return False
        watched.rhythm = (watched.rhythm or Rhythm(seen_ms)).observe(seen_ms)
        expected = _expected(set_silence(rules, gateway), watched.rhythm, self._silent_after_ms, Severity.CRITICAL)
        self._silence(gateway, "", watched, expected, watched.rhythm.last_ms, now_ms)
        return "" in watched.silent

    def _watch_series(
        self,
        gateway: str,
        rules: Sequence[Rule],
        watched: Watched,
        now_ms: int,
        *,
        silent: bool,
        rows_read: bool,
    ) -> None:
        """Open or resolve the alerts of silent series, unless the whole gateway is silent.

        The gateway's own series (``host.*``) are watched only if a rule sets their silence.
        """
        for name, rhythm in list(watched.series.items()):
            if now_ms - rhythm.last_ms > FORGET_MS:
                self._silence(gateway, name, watched, _Expected(None, 0, Severity.WARNING), now_ms, now_ms)
                del watched.series[name]
            elif not silent and rows_read:
                least_ms, rule = self._silent_after_ms + ROWS_MS, set_silence(rules, gateway, name)
                expected = _expected(rule, rhythm, least_ms, Severity.WARNING)
                if is_own(name) and rule is None:
                    expected = expected._replace(silent_ms=None)
                self._silence(gateway, name, watched, expected, rhythm.last_ms, now_ms)

    def _silence(
        self, gateway: str, series: str, watched: Watched, expected: _Expected, last_ms: int, now_ms: int
    ) -> None:
        """Open or resolve the alert of a gateway, or of a series if one is named."""
        origin = Origin(AlertKind.SILENCE, "", expected.severity)
        onset_ms, silent_ms = watched.silent.get(series), expected.silent_ms
        # A longer silence that was set since ends the alert, too.
        ended = silent_ms is None or now_ms <= silent_ms
        if onset_ms is not None and (last_ms > onset_ms or ended):
            end_ms = max(last_ms, onset_ms)
            self._report(gateway, origin, silence_report(series, onset_ms, end_ms, Phase.END, end_ms - onset_ms))
            del watched.silent[series]
        elif onset_ms is None and silent_ms is not None and now_ms > silent_ms:
            # Two silences that were set are two alerts, also if nothing came between them.
            watched.silent[series] = onset_ms = last_ms + expected.set_ms
            self._report(gateway, origin, silence_report(series, onset_ms, silent_ms, Phase.ONSET, silent_ms - last_ms))

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
        self, gateway: str, state: GatewayState, rules: Sequence[Rule], watched: Watched, now_ms: int
    ) -> dict[str, list[Aggregates]]:
        """Return the new rows of the series that a rule needs, and learn the rhythm of all series.

        Rows are decoded only of a batch with a series that a rule needs.
        """
        posted = int((state.about or {}).get("seen_ms", 0)) > watched.http_ms
        epochs = {str(item["sk"]).split("#", 1)[1]: item for item in state.epochs}
        wanting = [rule for rule in rules if rule.needs_rows]
        found: dict[str, list[Aggregates]] = defaultdict(list)
        for batch in arrivals.new_batches(self._telemetry, gateway, epochs, posted, watched, now_ms):
            try:
                names = series_of(batch, watched, self._profiles)
                wanted = {name for name in names if any(rule.applies_to(gateway, name) for rule in wanting)}
                rows = rows_of(batch, self._profiles) if wanted else None
            except UnreadableBatchError as error:
                _LOG.error("watch: %s", error)
                self._metrics.count("unreadable")
                continue
            for name in names:
                known = watched.series.get(name)
                if known is not None or len(watched.series) < MAX_SERIES:
                    watched.series[name] = (known or Rhythm(batch.received_ms)).observe(batch.received_ms)
            for at, series in enumerate(rows.series if rows is not None else ()):
                if rows is not None and series.name in wanted:
                    found[series.name].append(rows.take((rows.series_index == at).nonzero()[0]))
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
        rules = [rule for rule in rules if not isinstance(rule.condition, SetSilence)]
        for series in sorted({*rows, *watched.series}) if rules else ():
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
            self._report(gateway, origin, rule_report(rule, series, unit or "", breach), hidden=hidden)

    def _report(self, gateway: str, origin: Origin, report: Anomaly, *, hidden: bool = False) -> None:
        """Report to the alert book; ``hidden`` until the alert of the silent gateway is found (see inhibition)."""
        alert = self._book.report(gateway, report, origin, inhibited_by="gateway" if hidden else None)
        if alert.version == 0:
            self._metrics.count("opened_alerts")


def _name(rule: Rule, series: str) -> str:
    """Return the name of a rule's progress; another condition has its own."""
    condition = json.dumps(rule.condition.to_dict(), sort_keys=True)
    return _SEPARATOR.join((rule.name, f"{zlib.crc32(condition.encode()):08x}", series))


class _Expected(NamedTuple):
    """Time from which a gateway or series is silent, None if unknown, the set silence or 0, and the severity."""

    silent_ms: int | None
    set_ms: int
    severity: Severity


def _expected(rule: Rule | None, rhythm: Rhythm, least_ms: int, severity: Severity) -> _Expected:
    """Return what a rule sets, or what was learned."""
    if rule is not None and isinstance(rule.condition, SetSilence):
        return _Expected(rhythm.last_ms + rule.condition.after_ms, rule.condition.after_ms, rule.severity)
    return _Expected(rhythm.silent_from_ms(least_ms), 0, severity)
