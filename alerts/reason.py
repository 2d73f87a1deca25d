"""The texts of a change of state, literally CloudWatch's, because users match on them.

Recorded forms of the real service are in the tests. Dates are dd/MM/yy HH:mm:ss in UTC, newest
first; numbers are written as Java writes a double.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from driftline.alerts.alarm import Judgement, Point, breaching
from driftline.alerts.definition import AlarmDefinition

__all__ = ["INITIAL", "aws_time", "java_double", "state_reason", "state_reason_data"]

INITIAL = "Unchecked: Initial alarm creation"

_REASON_MAX = 1023  # CloudWatch API, StateReason.
_REASON_DATA_MAX = 4000  # CloudWatch API, StateReasonData.
_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


def state_reason(definition: AlarmDefinition, judgement: Judgement) -> str:
    """Say in CloudWatch's words why the alarm is in the state."""
    if judgement.state == "INSUFFICIENT_DATA":
        count = definition.evaluation_periods
        return f"Insufficient Data: {_count(count, 'datapoint')} {_were(count)} unknown."
    if _decided_by_treatment(definition, judgement):
        return _treated(definition, judgement)
    return _crossed(definition, judgement)


def state_reason_data(definition: AlarmDefinition, judgement: Judgement, now: datetime) -> str:
    """Give the JSON text that goes with a reason; the oldest points are left out if too long."""
    real = [point for point in judgement.evaluated if point.value is not None]
    data: dict[str, object] = {"version": "1.0", "queryDate": aws_time(now)}
    if real:
        data["startDate"] = aws_time(real[0].start)
    if definition.unit is not None:
        data["unit"] = definition.unit
    data |= {
        "statistic": definition.statistic,
        "period": definition.period,
        "recentDatapoints": [point.value for point in real],
        "threshold": float(definition.threshold),
        "evaluatedDatapoints": [_evaluated(point) for point in reversed(judgement.evaluated)],
    }
    text = json.dumps(data, separators=(",", ":"))
    kept = len(judgement.evaluated)
    while len(text) > _REASON_DATA_MAX:
        kept = kept * 3 // 4
        data["recentDatapoints"] = [point.value for point in real[-kept:]]
        newest = [_evaluated(point) for point in reversed(judgement.evaluated)][:kept]
        data["evaluatedDatapoints"] = newest
        text = json.dumps(data, separators=(",", ":"))
    return text


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
    """Give the fewest digits that name the double, and the exponent of the first of them."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    shift = len(whole) - 1 if whole != "0" else -(len(fraction) - len(fraction.lstrip("0")) + 1)
    return digits.rstrip("0") or "0", shift + int(exponent or 0)


def _decided_by_treatment(definition: AlarmDefinition, judgement: Judgement) -> bool:
    """Say whether the points that came in would not have been enough for the state."""
    if not judgement.filled_count or definition.treatment not in ("breaching", "notBreaching"):
        return False
    n, m = definition.evaluation_periods, definition.required_breaches
    if judgement.state == "ALARM":
        return judgement.breaching_count < m
    return judgement.good_count < n - m + 1


def _treated(definition: AlarmDefinition, judgement: Judgement) -> str:
    received = judgement.breaching_count + judgement.good_count
    filled, n = judgement.filled_count, definition.evaluation_periods
    came = _count(received, "datapoint") if received else "no datapoints"
    treatment = "Breaching" if definition.treatment == "breaching" else "NonBreaching"
    return (
        f"Threshold Crossed: {came} {_were(received)} received for {_count(n, 'period')} and "
        f"{_count(filled, 'missing datapoint')} {_were(filled)} treated as [{treatment}]."
    )


def _crossed(definition: AlarmDefinition, judgement: Judgement) -> str:
    is_alarm = judgement.state == "ALARM"
    wanted = [
        point
        for point in reversed(judgement.evaluated)
        if point.value is not None
        and breaching(point.value, definition.comparison_operator, definition.threshold) == is_alarm
    ]
    count, n, m = len(wanted), definition.evaluation_periods, definition.required_breaches
    side = f"{'' if is_alarm else 'not '}{_WORDS[definition.comparison_operator]}"
    end = f"{_were(count)} {side} the threshold ({java_double(definition.threshold)})"
    if definition.datapoints_to_alarm is None:
        start, end = f"Threshold Crossed: {_count(count, 'datapoint')} [", f"] {end}."
    else:
        start = f"Threshold Crossed: {count} out of the last {n} datapoints ["
        least, way = (m, "OK -> ALARM") if is_alarm else (n - m + 1, "ALARM -> OK")
        end = f"] {end} (minimum {_count(least, 'datapoint')} for {way} transition)."
    shown = [f"{java_double(point.value or 0.0)} ({_short_time(point.start)})" for point in wanted]
    return start + _fitting(shown, _REASON_MAX - len(start) - len(end)) + end


def _fitting(shown: list[str], room: int) -> str:
    text = ", ".join(shown)
    kept = len(shown)
    while len(text) > room:
        kept -= 1
        text = ", ".join([*shown[:kept], "..."])
    return text


def _short_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%d/%m/%y %H:%M:%S}"


def _evaluated(point: Point) -> dict[str, object]:
    found: dict[str, object] = {"timestamp": aws_time(point.start)}
    if point.value is not None:
        found |= {"sampleCount": float(point.sample_count), "value": point.value}
    return found


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
