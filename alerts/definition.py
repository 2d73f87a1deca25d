"""The definition of a metric alarm: PutMetricAlarm's fields in snake case, checked once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, cast, get_args

from driftline.alerts.datapoint import UNITS, check_metric, metric_key
from driftline.alerts.errors import AlarmError
from driftline.alerts.metrics import STATISTICS, Statistic

__all__ = ["COMPARISONS", "AlarmDefinition", "Severity", "Treatment", "evaluation_range"]

Treatment = Literal["missing", "ignore", "breaching", "notBreaching"]
Severity = Literal["page", "ticket"]

COMPARISONS: tuple[str, ...] = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)

# CloudWatch API, PutMetricAlarm.
_NAME_MAX = 255
_DESCRIPTION_MAX = 1024
_ACTIONS_MAX = 5
_TAGS_MAX = 50
_SHORT_PERIODS_S = (10, 20, 30)
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A monitor's windows may be days or weeks long, so the span limit is not for these namespaces.
_MONITOR_NAMESPACES = ("Driftline", "aws/sagemaker/", "AWS/SageMaker")
_PERIODS_MAX = 1_000
_MONITOR_SPAN_MAX_DAYS = 3_653  # Ten years; beyond some thousand, times leave the calendar.


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmDefinition:
    """One static-threshold alarm on one metric.

    Parameters
    ----------
    alarm_name
        Free text of 1 to 255 characters, unique.
    namespace, metric_name, dimensions, statistic, unit
        Which numbers; without a unit, datapoints of all units are taken together.
    period
        Length of a period in seconds.
    evaluation_periods, datapoints_to_alarm
        N, and M of them that must breach (default N).
    threshold, comparison_operator
        The statistic is the left operand.
    treat_missing_data
        ``missing`` (default), ``ignore``, ``breaching`` or ``notBreaching``.
    alarm_actions, ok_actions, insufficient_data_actions
        Names of channels that are told when the state becomes this.
    severity, tags
        Passed on in messages: ``page`` wakes somebody, ``ticket`` waits for the morning.
    evaluation_range
        How many periods are looked at; None takes :func:`evaluation_range`.

    Raises
    ------
    AlarmError
        Naming the alarm, the field, the value and what was expected.
    """

    alarm_name: str
    namespace: str
    metric_name: str
    period: int
    evaluation_periods: int
    threshold: float
    comparison_operator: str
    statistic: Statistic = "Average"
    dimensions: Mapping[str, str] = field(default_factory=dict)
    datapoints_to_alarm: int | None = None
    treat_missing_data: Treatment | None = None
    unit: str | None = None
    alarm_description: str = ""
    actions_enabled: bool = True
    alarm_actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()
    insufficient_data_actions: tuple[str, ...] = ()
    severity: Severity = "page"
    tags: Mapping[str, str] = field(default_factory=dict)
    evaluation_range: int | None = None

    def __post_init__(self) -> None:
        self._check_texts()
        check_metric(self.namespace, self.metric_name, self.dimensions)
        self._check_rule()
        self._check_periods()

    @property
    def required_breaches(self) -> int:
        """M: how many of the N newest real points must breach."""
        return self.datapoints_to_alarm or self.evaluation_periods

    @property
    def treatment(self) -> Treatment:
        """What a missing point counts as."""
        return self.treat_missing_data or "missing"

    @property
    def range_periods(self) -> int:
        """How many of the newest periods an evaluation looks at."""
        return self.evaluation_range or evaluation_range(self.evaluation_periods)

    @property
    def metric_key(self) -> str:
        """The digest of the metric that the alarm looks at."""
        return metric_key(self.namespace, self.metric_name, self.dimensions)

    def actions(self, state: str) -> tuple[str, ...]:
        """Name the channels to tell when the state becomes this one."""
        return {
            "ALARM": self.alarm_actions,
            "OK": self.ok_actions,
            "INSUFFICIENT_DATA": self.insufficient_data_actions,
        }[state]

    @property
    def channel_names(self) -> frozenset[str]:
        """All channels that the alarm can tell."""
        return frozenset(self.alarm_actions + self.ok_actions + self.insufficient_data_actions)

    def as_dict(self) -> dict[str, object]:
        """Give the definition as plain JSON values, all fields."""
        found: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            found[one.name] = value
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> AlarmDefinition:
        """Read a definition from plain JSON values; dimensions as an object or AWS's list."""
        known = {one.name for one in fields(cls)}
        name = str(found.get("alarm_name", ""))
        if unknown := set(found) - known:
            raise AlarmError(
                f'alarm "{name}": unknown key "{min(unknown)}"; expected {sorted(known)}'
            )
        values = dict(found)
        values["dimensions"] = _dimensions(name, found.get("dimensions"))
        for key in ("alarm_actions", "ok_actions", "insufficient_data_actions"):
            values[key] = _names(name, key, found.get(key))
        try:
            return cls(**values)  # type: ignore[arg-type] # __post_init__ checks each of them
        except TypeError as error:
            raise AlarmError(f'alarm "{name}": {_missing(found, cls)}') from error

    def _check_texts(self) -> None:
        where = f'alarm "{self.alarm_name}"'
        if not 1 <= len(self.alarm_name) <= _NAME_MAX or _CONTROL.search(self.alarm_name):
            raise AlarmError(
                f"alarm name {self.alarm_name[:80]!r}; expected 1 to {_NAME_MAX} characters "
                "without control characters"
            )
        if len(self.alarm_description) > _DESCRIPTION_MAX:
            raise AlarmError(
                f"{where}: description of {len(self.alarm_description)} characters; "
                f"expected {_DESCRIPTION_MAX} or fewer"
            )
        if len(self.tags) > _TAGS_MAX:
            raise AlarmError(f"{where}: {len(self.tags)} tags; expected {_TAGS_MAX} or fewer")
        for state in ("ALARM", "OK", "INSUFFICIENT_DATA"):
            count = len(self.actions(state))
            if count > _ACTIONS_MAX or count != len(set(self.actions(state))):
                raise AlarmError(
                    f"{where}: {count} actions for {state}; expected {_ACTIONS_MAX} or fewer, "
                    "each once"
                )

    def _check_rule(self) -> None:
        where = f'alarm "{self.alarm_name}"'
        if self.statistic not in STATISTICS:
            raise AlarmError(
                f'{where}: statistic "{self.statistic}"; expected one of {", ".join(STATISTICS)}'
            )
        if self.comparison_operator not in COMPARISONS:
            raise AlarmError(
                f'{where}: comparison_operator "{self.comparison_operator}"; '
                f"expected one of {', '.join(COMPARISONS)}"
            )
        if not _is_number(self.threshold):
            raise AlarmError(f"{where}: threshold {self.threshold!r}; expected a finite number")
        if self.unit is not None and self.unit not in UNITS:
            raise AlarmError(f'{where}: unit "{self.unit}"; expected a unit such as "Count"')
        if self.severity not in get_args(Severity):
            raise AlarmError(f'{where}: severity "{self.severity}"; expected page or ticket')
        if self.treat_missing_data is not None and self.treat_missing_data not in get_args(
            Treatment
        ):
            # CloudWatch's own sentence.
            raise AlarmError(
                f"The value {self.treat_missing_data} is not supported for TreatMissingData "
                "parameter. Supported values are [breaching, notBreaching, ignore, missing]."
            )

    def _check_periods(self) -> None:
        where = f'alarm "{self.alarm_name}"'
        n, m = self.evaluation_periods, self.datapoints_to_alarm
        if not _is_whole(self.period) or (
            self.period not in _SHORT_PERIODS_S and (self.period < 60 or self.period % 60)
        ):
            raise AlarmError(
                f"{where}: period {self.period} s; expected 10, 20, 30 or a multiple of 60"
            )
        if not _is_whole(n) or not 1 <= n <= _DAY_S:
            raise AlarmError(f"{where}: evaluation_periods {n}; expected 1 or more")
        if m is not None and not (_is_whole(m) and 1 <= m <= n):
            raise AlarmError(f"{where}: datapoints_to_alarm {m}; expected 1 to {n}")
        if self.evaluation_range is not None and not (
            _is_whole(self.evaluation_range) and n <= self.evaluation_range <= 10 * n + 10
        ):
            raise AlarmError(
                f"{where}: evaluation_range {self.evaluation_range}; expected {n} to {10 * n + 10}"
            )
        self._check_span(where)

    def _check_span(self, where: str) -> None:
        if self.namespace.startswith(_MONITOR_NAMESPACES):
            if self.evaluation_periods > _PERIODS_MAX:
                raise AlarmError(
                    f"{where}: evaluation_periods {self.evaluation_periods}; "
                    f"expected {_PERIODS_MAX} or fewer"
                )
            if self.period * self.range_periods > _MONITOR_SPAN_MAX_DAYS * _DAY_S:
                raise AlarmError(
                    f"{where}: period {self.period} s x {self.range_periods} periods to look at; "
                    f"expected {_MONITOR_SPAN_MAX_DAYS} days or less"
                )
            return
        longest = _DAY_S if self.period < _HOUR_S else _WEEK_S
        span = self.period * self.evaluation_periods
        if span > longest:
            raise AlarmError(
                f"{where}: period x evaluation_periods is {span} s; expected {longest} s or less"
            )


def evaluation_range(evaluation_periods: int) -> int:
    """Give how many periods an evaluation looks at, N + max(N // 3, 2).

    AWS documents 5 for N = 3 only; the formula is LocalStack's.
    """
    return evaluation_periods + max(evaluation_periods // 3, 2)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number that no float can hold.
        return False


def _dimensions(alarm: str, found: object) -> dict[str, str]:
    if found is None:
        return {}
    if isinstance(found, Mapping):
        pairs = [(key, value) for key, value in found.items()]
    elif isinstance(found, Sequence) and all(isinstance(entry, Mapping) for entry in found):
        lowered = [{str(key).lower(): entry[key] for key in entry} for entry in found]
        pairs = [(entry.get("name"), entry.get("value")) for entry in lowered]
    else:
        raise AlarmError(f'alarm "{alarm}": dimensions {found!r}; expected an object of texts')
    if any(not isinstance(part, str) for pair in pairs for part in pair):
        raise AlarmError(f'alarm "{alarm}": dimensions {found!r}; expected an object of texts')
    if len({key for key, _ in pairs}) != len(pairs):
        raise AlarmError(f'alarm "{alarm}": a dimension stands twice in {found!r}; expected once')
    return dict(pairs)


def _names(alarm: str, key: str, found: object) -> tuple[str, ...]:
    if found is None:
        return ()
    if not isinstance(found, list | tuple) or any(not isinstance(one, str) for one in found):
        raise AlarmError(f'alarm "{alarm}": {key} {found!r}; expected a list of channel names')
    return tuple(cast("Sequence[str]", found))


def _missing(found: Mapping[str, object], cls: type[AlarmDefinition]) -> str:
    needed = ("alarm_name", "namespace", "metric_name", "period", "evaluation_periods")
    for key in (*needed, "threshold", "comparison_operator"):
        if key not in found:
            return f'"{key}" is missing; expected it'
    return f"a field has a value of the wrong type; expected the types of {cls.__name__}"
