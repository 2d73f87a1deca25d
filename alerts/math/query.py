"""Queries: metrics and expressions over them, as in GetMetricData and PutMetricAlarm's Metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_serializer, model_validator

from driftline.alerts.documents import Document, fields_of
from driftline.alerts.errors import ExpressionError
from driftline.alerts.metrics.datapoint import check_metric, check_unit, metric_key
from driftline.alerts.metrics.statistic import check_statistic

_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")
_LABEL_MAX = 2048
# CloudWatch API, MetricStat: Period.
_SHORT_PERIODS_S = (1, 5, 10, 20, 30)
# CloudWatch ends at a day; windows of monitors may be as long as a leap year.
_PERIOD_MAX_S = 366 * 86_400
_METRIC_FIELDS = ("namespace", "metric_name", "dimensions")
_STAT_FIELDS = ("metric", "period", "stat", "unit")

_Text = Annotated[str | None, Field(description="a text")]


class MetricQuery(Document):
    """One metric with a statistic, or one expression over other queries."""

    error = ExpressionError

    id: str  # How expressions call it.
    namespace: _Text = None
    metric_name: _Text = None
    dimensions: dict[str, str] = Field(default_factory=dict)
    stat: _Text = None
    period: Annotated[int | None, Field(description="a whole number")] = None  # Seconds.
    unit: _Text = None  # None: all units are taken together.
    expression: _Text = None  # In place of a metric.
    label: _Text = None  # None: as CloudWatch would call it.
    return_data: Annotated[bool, Field(description="true or false")] = True  # Or used only.

    @model_validator(mode="after")
    def _check(self) -> MetricQuery:
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
        return self

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
        check_statistic(str(self.stat))
        check_unit(self.unit, f'query "{self.id}": ')

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
        """Read a query as AWS writes it, in camel or in snake case, or with flat fields."""
        known = (*cls.model_fields, "metric_stat", "account_id")
        found = fields_of({} if given is None else given, known, "a query", cls.error)
        where = f'query "{found.get("id")}"'
        if not isinstance(found.get("id"), str):
            raise ExpressionError(f"id {found.get('id')!r} of a query; expected a text such as m1")
        found.pop("account_id", None)
        if (stat := found.pop("metric_stat", None)) is not None:
            inner = fields_of(stat, _STAT_FIELDS, f"{where}: metric_stat", cls.error)
            metric = inner.pop("metric", None)
            found |= fields_of(metric, _METRIC_FIELDS, f"{where}: metric", cls.error) | inner
        if "dimensions" in found:
            found["dimensions"] = read_dimensions(found["dimensions"], where)
        return cls(**found)

    @classmethod
    def sentence(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        """Return the problem of the first field, and of which query."""
        return f'query "{given.get("id")}": {super().sentence(error, given)}'

    @model_serializer
    def _in_awss_shape(self) -> dict[str, Any]:
        """Return the query in AWS's shape, in snake case, dimensions as an object."""
        found: dict[str, Any] = {"id": self.id}
        if self.is_metric:
            metric = {key: getattr(self, key) for key in _METRIC_FIELDS}
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


def read_dimensions(given: object, where: str) -> dict[str, str]:
    """Read dimensions: an object, or AWS's list of names and values."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        found: dict[str, str] = {}
        for one in given:
            pair = fields_of(one, ("name", "value"), f"{where}: dimension", ExpressionError)
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
