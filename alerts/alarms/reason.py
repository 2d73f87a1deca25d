"""The reasons of state changes, literally CloudWatch's, because users match on them.

Recorded forms of the real service are in the tests. Dates are dd/MM/yy HH:mm:ss in UTC, newest
first; numbers are written as Java writes a double.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from driftline.alerts.alarms.alarm import Judgement, Point, is_breaching
from driftline.alerts.alarms.definition import AlarmDefinition

INITIAL = "Unchecked: Initial alarm creation"

_REASON_MAX = 1023  # CloudWatch API, StateReason.
_REASON_DATA_MAX = 4000  # CloudWatch API, StateReasonData.
_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_TREATED = {"breaching": "Breaching", "notBreaching": "NonBreaching"}


def state_reason(definition: AlarmDefinition, judgement: Judgement) -> str:
    """Return CloudWatch's sentence on why the alarm is in the state."""
    if judgement.state == "INSUFFICIENT_DATA":
        count = definition.evaluation_periods
        untrained = judgement.untrained
        cause = "" if untrained is None else f" {_sentence(str(untrained))}"
        return f"Insufficient Data: {_count(count, 'datapoint')} {_were(count)} unknown.{cause}"
    if _decided_by_treatment(definition, judgement):
        return _treated(definition, judgement)
    return _crossed(definition, judgement)


def untrained_reason(definition: AlarmDefinition, judgement: Judgement) -> str | None:
    """Return the reason of an alarm that waits for its band; None when it does not.

    The state does not change meanwhile, while the number of datapoints in the reason does.
    """
    if judgement.untrained is None or judgement.state != "INSUFFICIENT_DATA":
        return None
    return state_reason(definition, judgement)


def state_reason_data(definition: AlarmDefinition, judgement: Judgement, now: datetime) -> str:
    """Return the JSON text that goes with a reason; the oldest points are left out if too long."""
    real = [one for one in judgement.evaluated if is_breaching(definition, one) is not None]
    data: dict[str, object] = {"version": "1.0", "queryDate": aws_time(now)}
    if real:
        data["startDate"] = aws_time(real[0].start)
    if definition.unit is not None:
        data["unit"] = definition.unit
    if definition.statistic_name:
        data["statistic"] = definition.statistic_name
    data["period"] = definition.period
    kept = len(judgement.evaluated)
    while True:
        recent = real[max(len(real) - kept, 0) :]
        newest = judgement.evaluated[len(judgement.evaluated) - kept :]
        data |= {"recentDatapoints": [point.value for point in recent]}
        data |= _limits(definition, recent)
        data |= {"evaluatedDatapoints": [_evaluated(definition, one) for one in reversed(newest)]}
        text = json.dumps(data, separators=(",", ":"))
        if len(text) <= _REASON_DATA_MAX:
            return text
        kept = kept * 3 // 4


def _limits(definition: AlarmDefinition, points: Sequence[Point]) -> dict[str, object]:
    """Return what the values were compared with: one threshold, or the edges of the band."""
    if definition.threshold is not None:
        return {"threshold": float(definition.threshold)}
    return {
        f"recent{edge.capitalize()}Thresholds": [getattr(point, edge) for point in points]
        for edge in _edges(definition)
    }


def _edges(definition: AlarmDefinition) -> tuple[str, ...]:
    """Return the edges of the band that a comparison looks at."""
    both = {"LessThanLowerThreshold": ("lower",), "GreaterThanUpperThreshold": ("upper",)}
    return both.get(definition.comparison_operator, ("lower", "upper"))


def aws_time(time: datetime) -> str:
    """Write a time as CloudWatch's messages do, such as ``2019-10-02T17:04:40.985+0000``."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


def java_double(value: float) -> str:
    """Write a number as Java's Double.toString does: ``21.5``, ``1.0E-4``, ``1.073741824E9``."""
    value = float(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, exponent = _shortest(value)
    whole = digits[0]
    return f"{'-' if value < 0 else ''}{whole}.{digits[1:] or '0'}E{exponent}"


def _shortest(value: float) -> tuple[str, int]:
    """Return the fewest digits that name the double, and the exponent of the first of them."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    shift = len(whole) - 1 if whole != "0" else -(len(fraction) - len(fraction.lstrip("0")) + 1)
    return digits.rstrip("0") or "0", shift + int(exponent or 0)


def _decided_by_treatment(definition: AlarmDefinition, judgement: Judgement) -> bool:
    """Whether the points that came in would not have been enough for the state."""
    if not judgement.filled_count or definition.treatment not in ("breaching", "notBreaching"):
        return False
    n, m = definition.evaluation_periods, definition.required_breaches
    if judgement.state == "ALARM":
        return judgement.breaching_count < m
    return judgement.good_count < n - m + 1


def _treated(definition: AlarmDefinition, judgement: Judgement) -> str:
    received = judgement.breaching_count + judgement.good_count
    came = _count(received, "datapoint") if received else "no datapoints"
    return (
        f"Threshold Crossed: {came} {_were(received)} received for "
        f"{_count(len(judgement.evaluated), 'period')}{_filled(definition, judgement)}."
    )


def _filled(definition: AlarmDefinition, judgement: Judgement) -> str:
    """Return what the missing points were taken for, where they were taken for something."""
    count, treatment = judgement.filled_count, _TREATED.get(definition.treatment)
    if not count or treatment is None:
        return ""
    return f" and {_count(count, 'missing datapoint')} {_were(count)} treated as [{treatment}]"


def _crossed(definition: AlarmDefinition, judgement: Judgement) -> str:
    is_alarm = judgement.state == "ALARM"
    wanted = [
        point
        for point in reversed(judgement.evaluated)
        if is_breaching(definition, point) is is_alarm
    ]
    count, n, m = len(wanted), definition.evaluation_periods, definition.required_breaches
    start = "Thresholds Crossed: " if definition.is_band else "Threshold Crossed: "
    end = "."
    if definition.datapoints_to_alarm is None:
        start += f"{_count(count, 'datapoint')} ["
    else:
        start += f"{count} out of the last {n} datapoints ["
        least, way = (m, "OK -> ALARM") if is_alarm else (n - m + 1, "ALARM -> OK")
        end = f" (minimum {_count(least, 'datapoint')} for {way} transition)."
    end = _filled(definition, judgement) + end
    shown = [f"{java_double(point.value or 0.0)} ({_short_time(point.start)})" for point in wanted]

    def text(kept: int) -> str:
        listed = shown[:kept] + ["..."] * (kept < count)
        compared = _compared(definition, wanted[:kept], is_alarm=is_alarm)
        return f"{start}{', '.join(listed)}] {_were(count)} {compared}{end}"

    if len(text(count)) <= _REASON_MAX:
        return text(count)
    fitting = bisect.bisect_right(range(count), _REASON_MAX, key=lambda kept: len(text(kept)))
    return text(max(fitting - 1, 0))


def _compared(definition: AlarmDefinition, points: Sequence[Point], *, is_alarm: bool) -> str:
    """Return what the points were, beside the threshold or the edges of the band."""
    negated = "" if is_alarm else "not "
    if definition.threshold is not None:
        words = _WORDS[definition.comparison_operator]
        return f"{negated}{words} the threshold ({java_double(definition.threshold)})"
    sides = {"lower": "less than the lower", "upper": "greater than the upper"}
    return " or ".join(
        f"{negated}{sides[edge]} thresholds "
        f"[{', '.join(java_double(getattr(point, edge)) for point in points)}]"
        for edge in _edges(definition)
    )


def _short_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%d/%m/%y %H:%M:%S}"


def _evaluated(definition: AlarmDefinition, point: Point) -> dict[str, object]:
    found: dict[str, object] = {"timestamp": aws_time(point.start)}
    if is_breaching(definition, point) is None:
        return found
    if not definition.metrics:
        found["sampleCount"] = float(point.sample_count)
    found["value"] = point.value
    edges = _edges(definition) if definition.is_band else ()
    if len(edges) == 1:
        found["threshold"] = getattr(point, edges[0])
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
