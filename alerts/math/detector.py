"""A detector: what is watched for anomalies, and how it is to learn; in PutAnomalyDetector's words.

::

    {"single_metric_anomaly_detector": {"namespace", "metric_name", "dimensions", "stat"},
     "configuration": {"excluded_time_ranges": [{"start_time", "end_time"}], "metric_timezone",
                       "adaptation_speed", "outlier_filtering_strength"},
     "metric_characteristics": {"periodic_spikes"}}

or ``{"metric_math_anomaly_detector": {"metric_data_queries": […]}, …}``, in camel or snake case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from driftline.alerts.errors import DetectorError
from driftline.alerts.math.band import Learning
from driftline.alerts.math.plan import Plan, check_watched
from driftline.alerts.math.query import MetricQuery, snake
from driftline.alerts.math.zones import zone_of
from driftline.alerts.times import iso

# CloudWatch API, AnomalyDetectorConfiguration and AnomalyDetectorExcludedTimeRanges.
_RANGES_MAX = 10
_HALF_LIVES_D = {"FAST": 1.0, "NORMAL": 3.0, "SLOW": 10.0}
_TAILS = {"MINIMAL": 0.99, "MODERATE": 0.95, "STRICT": None}
DEFAULT_PERIOD_S = 300

_FLAT = ("namespace", "metric_name", "dimensions", "stat", "unit")
_KNOWN = frozenset(
    {"single_metric_anomaly_detector", "metric_math_anomaly_detector", "configuration"}
    | {"metric_characteristics", "period", *_FLAT}
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched: one metric and statistic, or one expression with all that it needs.

    Parameters
    ----------
    queries
        One metric; or the queries of an expression, of which only the watched one is returned.
    """

    queries: tuple[MetricQuery, ...]

    @classmethod
    def of(cls, plan: Plan, id_: str) -> Subject:
        """Return the subject that an id stands for in a plan.

        Raises
        ------
        ExpressionError
            When it cannot have a detector: see :func:`check_watched`.
        """
        check_watched(plan, id_)
        query = plan.query(id_)
        if query.is_metric:
            return cls((replace(query, id="m1", label=None, return_data=True),))
        needed = plan.needed([id_])
        return cls(
            tuple(replace(one, label=None, return_data=one.id == id_) for one in needed.queries)
        )

    @property
    def watched(self) -> MetricQuery:
        """The query whose values are watched."""
        return next(query for query in self.queries if query.return_data)

    @property
    def period_s(self) -> int:
        """Length of the periods that it is asked for, in seconds."""
        return max(query.period or 0 for query in self.queries)

    @property
    def is_expression(self) -> bool:
        """Whether it is metric math and no metric."""
        return not self.watched.is_metric

    @property
    def key(self) -> str:
        """A digest: 32 hexadecimal digits; equal for a metric and statistic at any period."""
        text = json.dumps(self._identity(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _identity(self) -> list[Any]:
        if self.is_expression:
            return [query.as_dict() for query in self.queries]
        one = self.watched
        return [one.namespace, one.metric_name, sorted(one.dimensions.items()), one.stat, one.unit]

    def at(self, period_s: int) -> tuple[MetricQuery, ...]:
        """Return its queries at a length of periods; an expression has its own."""
        if self.is_expression:
            return self.queries
        return (replace(self.watched, period=period_s),)

    def as_dict(self) -> dict[str, Any]:
        """Return it as CloudWatch's DescribeAnomalyDetectors does, in snake case."""
        if self.is_expression:
            queries = [query.as_dict() for query in self.queries]
            return {"metric_math_anomaly_detector": {"metric_data_queries": queries}}
        one = self.watched
        found: dict[str, Any] = {
            "namespace": one.namespace,
            "metric_name": one.metric_name,
            "dimensions": dict(one.dimensions),
            "stat": one.stat,
        }
        if one.unit is not None:
            found["unit"] = one.unit
        return {"single_metric_anomaly_detector": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """How a detector learns.

    Parameters
    ----------
    excluded
        Ranges (start, end), aware, that say nothing of what is usual; at most ten.
    zone
        Time zone of hours and free days.
    speed
        ``FAST``, ``NORMAL`` or ``SLOW``: after one, three or ten days a level weighs half.
    strength
        ``MINIMAL``, ``MODERATE`` or ``STRICT``: how much of the tails is taken for outliers.
    has_spikes
        Whether spikes are usual: then they are no outliers, whatever the strength.
    """

    excluded: tuple[tuple[datetime, datetime], ...] = ()
    zone: str = "UTC"
    speed: str = "NORMAL"
    strength: str = "MODERATE"
    has_spikes: bool = False

    def __post_init__(self) -> None:
        if len(self.excluded) > _RANGES_MAX:
            raise DetectorError(
                f"{len(self.excluded)} excluded time ranges; expected {_RANGES_MAX} or fewer"
            )
        for start, end in self.excluded:
            if start >= end:
                raise DetectorError(
                    f"excluded time range {start.isoformat()} to {end.isoformat()}; expected the "
                    "start before the end"
                )
        for name, value, known in (
            ("adaptation_speed", self.speed, _HALF_LIVES_D),
            ("outlier_filtering_strength", self.strength, _TAILS),
        ):
            if value not in known:
                raise DetectorError(f'{name} "{value}"; expected one of {", ".join(known)}')
        zone_of(self.zone)

    def learning(self, subject: Subject) -> Learning:
        """Say it in numbers, for the band."""
        return Learning(
            excluded=[
                (int(start.timestamp()), int(end.timestamp())) for start, end in self.excluded
            ],
            zone=self.zone,
            half_life_d=_HALF_LIVES_D[self.speed],
            tail=0.99 if self.has_spikes else _TAILS[self.strength],
            high=1.0 if _is_distance(subject) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as CloudWatch writes it, in snake case."""
        ranges = [{"start_time": iso(start), "end_time": iso(end)} for start, end in self.excluded]
        return {
            "configuration": {
                "excluded_time_ranges": ranges,
                "metric_timezone": self.zone,
                "adaptation_speed": self.speed,
                "outlier_filtering_strength": self.strength,
            },
            "metric_characteristics": {"periodic_spikes": self.has_spikes},
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Configuration:
        """Read what :meth:`as_dict` gives, or AWS's form; what is left out is as by default."""
        found = _fields(given.get("configuration"), _CONFIGURATION, "configuration")
        traits = _fields(given.get("metric_characteristics"), _TRAITS, "metric_characteristics")
        ranges = found.get("excluded_time_ranges") or []
        if not isinstance(ranges, list):
            raise DetectorError(f"excluded_time_ranges {ranges!r:.80}; expected a list")
        spikes = traits.get("periodic_spikes") or False
        if not isinstance(spikes, bool):
            raise DetectorError(f"periodic_spikes {spikes!r:.80}; expected true or false")
        return cls(
            excluded=tuple(_range(one) for one in ranges),
            zone=str(found.get("metric_timezone") or "UTC"),
            speed=str(found.get("adaptation_speed") or "NORMAL"),
            strength=str(found.get("outlier_filtering_strength") or "MODERATE"),
            has_spikes=spikes,
        )


@dataclass(frozen=True, slots=True)
class Detector:
    """A subject and how it is learnt.

    Parameters
    ----------
    subject, configuration
        See there.
    period_s
        Length of periods that is learnt first, in seconds; others follow when alarms ask for them.
    """

    subject: Subject
    configuration: Configuration = field(default_factory=Configuration)
    period_s: int = DEFAULT_PERIOD_S

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Detector:
        """Read a detector in AWS's form, in camel or snake case; flat fields, too.

        Raises
        ------
        DetectorError
            Naming the field, the value and what was expected.
        """
        found = _fields(given, _KNOWN, "a detector")
        single = found.get("single_metric_anomaly_detector")
        math = found.get("metric_math_anomaly_detector")
        flat = {key: found[key] for key in _FLAT if found.get(key) is not None}
        if sum(bool(one) for one in (single, math, flat)) != 1:
            raise DetectorError(
                "a detector of none or several metrics; expected one of "
                "single_metric_anomaly_detector and metric_math_anomaly_detector"
            )
        configuration = Configuration.from_dict(found)
        if math:
            inner = _fields(
                math, frozenset({"metric_data_queries"}), "metric_math_anomaly_detector"
            )
            subject = _of_queries(inner.get("metric_data_queries"))
            return cls(subject, configuration, subject.period_s)
        inner = _fields(single, frozenset(_FLAT), "single_metric_anomaly_detector") or flat
        period_s = found.get("period") or DEFAULT_PERIOD_S
        query = MetricQuery.from_dict({**inner, "id": "m1", "period": period_s})
        return cls(Subject.of(Plan.of([query]), query.id), configuration, period_s)


def _of_queries(given: object) -> Subject:
    if not isinstance(given, list):
        raise DetectorError(f"metric_data_queries {given!r:.80}; expected a list of queries")
    plan = Plan.of([MetricQuery.from_dict(one) for one in given])
    watched = [query.id for query in plan.queries if query.return_data]
    if len(watched) != 1:
        raise DetectorError(
            f"{len(watched)} queries return data ({', '.join(watched)}); expected the one that is "
            "watched, and return_data false for the others"
        )
    if plan.query(watched[0]).is_metric:
        raise DetectorError(
            f'query "{watched[0]}" is a metric; expected single_metric_anomaly_detector for it'
        )
    return Subject.of(plan, watched[0])


def _is_distance(subject: Subject) -> bool:
    """Whether values are distances of distributions, which end at 1."""
    one = subject.watched
    return (
        str(one.namespace).startswith("aws/sagemaker/Endpoints/data-metrics")
        and str(one.metric_name).startswith("feature_baseline_drift_")
        and one.stat not in ("Sum", "SampleCount")
    )


_CONFIGURATION = frozenset(
    {"excluded_time_ranges", "metric_timezone", "adaptation_speed", "outlier_filtering_strength"}
)
_TRAITS = frozenset({"periodic_spikes"})


def _fields(given: object, known: frozenset[str], where: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DetectorError(f"{where}: {given!r:.80}; expected an object")
    found = {snake(str(key)): value for key, value in given.items()}
    if unknown := sorted(set(found) - known):
        raise DetectorError(
            f'{where}: unknown field "{unknown[0]}"; expected some of {", ".join(sorted(known))}'
        )
    return found


def _range(given: object) -> tuple[datetime, datetime]:
    found = _fields(given, frozenset({"start_time", "end_time"}), "excluded time range")
    return _moment(found.get("start_time")), _moment(found.get("end_time"))


def _moment(given: object) -> datetime:
    """Read a time: ISO 8601, or seconds since 1970; without a zone it is UTC."""
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return datetime.fromtimestamp(given, UTC)
        found = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise DetectorError(
            f"time {given!r:.80} of an excluded range; expected one such as 2013-11-18T00:00:00Z"
        ) from None
