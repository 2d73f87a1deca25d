"""Queries: metrics and expressions over them, as in GetMetricData and PutMetricAlarm's Metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from driftline.alerts.errors import ExpressionError
from driftline.alerts.metrics.datapoint import UNITS, check_metric, metric_key
from driftline.alerts.metrics.statistic import canonical

_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")
_LABEL_MAX = 2048
# Half of a pair, which JSON can write and no encoding can.
_SURROGATE = re.compile("[\ud800-\udfff]")
# CloudWatch API, MetricStat: Period.
_SHORT_PERIODS_S = (1, 5, 10, 20, 30)
# CloudWatch ends at a day; windows of monitors may be as long as a leap year.
_PERIOD_MAX_S = 366 * 86_400
_FIELDS = frozenset(
    {"id", "metric_stat", "expression", "label", "return_data", "period", "account_id"}
    | {"namespace", "metric_name", "dimensions", "stat", "unit"}
)
_METRIC_FIELDS = frozenset({"namespace", "metric_name", "dimensions"})
_STAT_FIELDS = frozenset({"metric", "period", "stat", "unit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """One metric with a statistic, or one expression over other queries.

    Parameters
    ----------
    id
        How expressions call it: a lower-case letter, then letters, digits and underscores.
    namespace, metric_name, dimensions, stat, period, unit
        The metric; the period in seconds. Without a unit, all units are taken together.
    expression
        In place of a metric: metric math.
    label
        What the result is called; None: as CloudWatch would.
    return_data
        Whether the result is wanted, or only used by expressions.

    Raises
    ------
    ExpressionError
        Naming the query, the field, the value and what was expected.
    DatapointError
        When the metric breaks a limit.
    """

    id: str
    namespace: str | None = None
    metric_name: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    stat: str | None = None
    period: int | None = None
    unit: str | None = None
    expression: str | None = None
    label: str | None = None
    return_data: bool = True

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ExpressionError(
                f'id "{self.id[:80]}" of a query; expected a lower-case letter, then letters, '
                "digits and underscores, 255 at most"
            )
        if (self.metric_name is None) == (self.expression is None):
            raise ExpressionError(
                f'query "{self.id}": {"neither" if self.expression is None else "both"} a metric '
                "and an expression; expected one of them"
            )
        if self.label is not None and len(self.label) > _LABEL_MAX:
            raise ExpressionError(
                f'query "{self.id}": a label of {len(self.label)} characters; expected '
                f"{_LABEL_MAX} or fewer"
            )
        if self.period is not None:
            self._check_period(self.period)
        if self.expression is None:
            self._check_metric()

    def _check_period(self, period: int) -> None:
        is_long = 60 <= period <= _PERIOD_MAX_S and period % 60 == 0
        if period not in _SHORT_PERIODS_S and not is_long:
            raise ExpressionError(
                f'query "{self.id}": period {str(period)[:80]} s; expected 1, 5, 10, 20, 30 or a '
                f"multiple of 60 up to {_PERIOD_MAX_S}"
            )

    def _check_metric(self) -> None:
        missing = [one for one in ("namespace", "stat", "period") if getattr(self, one) is None]
        if missing:
            raise ExpressionError(
                f'query "{self.id}": a metric without {" and ".join(missing)}; expected namespace, '
                "metric_name, stat and period"
            )
        check_metric(str(self.namespace), str(self.metric_name), self.dimensions)
        canonical(str(self.stat))
        if self.unit is not None and self.unit not in UNITS:
            raise ExpressionError(
                f'query "{self.id}": unit "{self.unit}"; expected a unit such as "Count"'
            )

    @property
    def is_metric(self) -> bool:
        """Whether it is a metric and no expression."""
        return self.expression is None

    @property
    def metric_key(self) -> str:
        """The digest of its metric."""
        return metric_key(str(self.namespace), str(self.metric_name), self.dimensions)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> MetricQuery:
        """Read a query as AWS writes it, in camel or in snake case, or with flat fields.

        Raises
        ------
        ExpressionError
            Naming the query, the field, the value and what was expected.
        """
        found = _fields(given, _FIELDS, "a query")
        where = f'query "{found.get("id")}"'
        if not isinstance(found.get("id"), str):
            raise ExpressionError(f"id {found.get('id')!r} of a query; expected a text such as m1")
        found.pop("account_id", None)
        stat = found.pop("metric_stat", None)
        if stat is not None:
            inner = _fields(stat, _STAT_FIELDS, f"{where}: metric_stat")
            metric = _fields(inner.pop("metric", None), _METRIC_FIELDS, f"{where}: metric")
            found |= metric | inner
        if "dimensions" in found:
            found["dimensions"] = read_dimensions(found["dimensions"], where)
        found = {key: value for key, value in found.items() if value is not None}
        _check_types(found, where)
        return cls(**found)

    def as_dict(self) -> dict[str, Any]:
        """Return the query in AWS's shape, in snake case, dimensions as an object."""
        found: dict[str, Any] = {"id": self.id}
        if self.is_metric:
            metric = {
                "namespace": self.namespace,
                "metric_name": self.metric_name,
                "dimensions": dict(self.dimensions),
            }
            found["metric_stat"] = {"metric": metric, "period": self.period, "stat": self.stat}
            if self.unit is not None:
                found["metric_stat"]["unit"] = self.unit
        else:
            found["expression"] = self.expression
            if self.period is not None:
                found["period"] = self.period
        if self.label is not None:
            found["label"] = self.label
        return found | {"return_data": self.return_data}

    def as_aws(self) -> dict[str, Any]:
        """Return the query as AWS writes it: in camel case, dimensions as a list."""
        found: dict[str, Any] = {"Id": self.id}
        if self.is_metric:
            dimensions = [
                {"Name": name, "Value": value} for name, value in sorted(self.dimensions.items())
            ]
            found["MetricStat"] = {
                "Metric": {
                    "Namespace": self.namespace,
                    "MetricName": self.metric_name,
                    "Dimensions": dimensions,
                },
                "Period": self.period,
                "Stat": self.stat,
            }
            if self.unit is not None:
                found["MetricStat"]["Unit"] = self.unit
        else:
            found["Expression"] = self.expression
            if self.period is not None:
                found["Period"] = self.period
        if self.label is not None:
            found["Label"] = self.label
        return found | {"ReturnData": self.return_data}


def snake(name: str) -> str:
    """Write a name of AWS's in snake case: ``MetricName`` as ``metric_name``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _fields(given: object, known: frozenset[str], where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ExpressionError(f"{where}: {given!r:.80}; expected an object")
    found = {snake(str(key)): value for key, value in given.items()}
    if unknown := sorted(set(found) - known):
        raise ExpressionError(
            f'{where}: unknown field "{unknown[0]}"; expected some of {", ".join(sorted(known))}'
        )
    return found


def read_dimensions(given: object, where: str) -> dict[str, str]:
    """Read dimensions: an object, or AWS's list of names and values.

    Raises
    ------
    ExpressionError
        When it is neither, a name is there twice, or what stands there is no text.
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        found: dict[str, str] = {}
        for one in given:
            pair = _fields(one, frozenset({"name", "value"}), f"{where}: dimension")
            is_named = set(pair) == {"name", "value"} and isinstance(pair["name"], str)
            if not is_named or pair["name"] in found:
                raise ExpressionError(f"{where}: dimension {one!r:.80}; expected each name once")
            found[pair["name"]] = pair["value"]
        given = found
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(
        isinstance(part, str) for pair in given.items() for part in pair
    ):
        raise ExpressionError(f"{where}: dimensions {given!r:.80}; expected texts by name")
    return dict(given)


_TYPES: dict[str, tuple[type, str]] = {
    "period": (int, "a whole number"),
    "return_data": (bool, "true or false"),
    "dimensions": (dict, "an object"),
}


def _check_types(found: Mapping[str, Any], where: str) -> None:
    for key, value in found.items():
        wanted, shown = _TYPES.get(key, (str, "a text"))
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise ExpressionError(f"{where}: {key} {value!r:.80}; expected {shown}")
        if isinstance(value, str) and _SURROGATE.search(value):
            raise ExpressionError(
                f"{where}: {key} {value!r:.80} has half a character; expected whole ones"
            )
