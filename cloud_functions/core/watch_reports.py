"""Reports of what the watch function finds, in the form in which gateways report anomalies."""

from __future__ import annotations

from cloud_functions.core.rule_evaluation import Breach
from cloud_functions.core.rules import Absence, Forecast, Rate, Rule
from wire.anomaly import Anomaly, Phase


def silence_report(series: str, onset_ms: int, time_ms: int, phase: Phase, silent_ms: int) -> Anomaly:
    """Return the report of a gateway, or of a series if one is named, that sent nothing for ``silent_ms``."""
    return Anomaly(series, phase, onset_ms, time_ms, 1.0, "silence", "", silent_ms / 1000, unit="s")


def rule_report(rule: Rule, series: str, unit: str, breach: Breach) -> Anomaly:
    """Return the report of a breach of a rule's condition."""
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
