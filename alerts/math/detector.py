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
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from driftline.alerts.documents import Document, TimeZ, fields_of, time_of
from driftline.alerts.errors import DetectorError
from driftline.alerts.math.band import Learning
from driftline.alerts.math.plan import Plan, check_watched
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.zones import zone_of

# CloudWatch API, AnomalyDetectorConfiguration and AnomalyDetectorExcludedTimeRanges.
_RANGES_MAX = 10
_HALF_LIVES_D = {"FAST": 1.0, "NORMAL": 3.0, "SLOW": 10.0}
_TAILS = {"MINIMAL": 0.99, "MODERATE": 0.95, "STRICT": None}
DEFAULT_PERIOD_S = 300

_FLAT = ("namespace", "metric_name", "dimensions", "stat", "unit")
_PARTS = ("configuration", "metric_characteristics")
_SUBJECTS = ("single_metric_anomaly_detector", "metric_math_anomaly_detector")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a detector watches: one metric and statistic, or one expression with its metrics."""

    # One metric; or those of an expression, of which only the watched one returns data.
    queries: tuple[MetricQuery, ...]

    @classmethod
    def of(cls, plan: Plan, id_: str) -> Subject:
        """Return the subject that an id stands for in a plan."""
        check_watched(plan, id_)
        query = plan.query(id_)
        if query.is_metric:
            return cls((query.changed(id="m1", label=None, return_data=True),))
        return cls(
            tuple(
                one.changed(label=None, return_data=one.id == id_)
                for one in plan.needed([id_]).queries
            )
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
        return (self.watched.changed(period=period_s),)

    def as_dict(self) -> dict[str, Any]:
        """Return it as CloudWatch's DescribeAnomalyDetectors does, in snake case."""
        if self.is_expression:
            queries = [query.as_dict() for query in self.queries]
            return {"metric_math_anomaly_detector": {"metric_data_queries": queries}}
        shown = {key: getattr(self.watched, key) for key in _FLAT}
        if shown["unit"] is None:
            del shown["unit"]
        return {"single_metric_anomaly_detector": shown}


class TimeRange(Document):
    """A range of time that says nothing of what is usual."""

    error = DetectorError

    start_time: TimeZ
    end_time: TimeZ


def _ranges(given: object) -> tuple[TimeRange, ...]:
    if not isinstance(given, list | tuple):
        raise DetectorError(f"excluded_time_ranges {given!r:.80}; expected a list")
    return tuple(one if isinstance(one, TimeRange) else _range(one) for one in given)


def _range(given: object) -> TimeRange:
    """Read a range; its times may also be seconds since 1970, and without a zone are UTC."""
    found = fields_of(given, TimeRange.model_fields, "excluded time range", DetectorError)
    times = []
    for time in (found.get("start_time"), found.get("end_time")):
        try:
            times.append(time_of(time))
        except (ValueError, OverflowError, OSError):
            raise DetectorError(
                f"time {time!r:.80} of an excluded range; expected one such as 2013-11-18T00:00:00Z"
            ) from None
    return TimeRange(start_time=times[0], end_time=times[1])


class Configuration(Document):
    """How a detector learns."""

    error = DetectorError

    excluded_time_ranges: Annotated[tuple[TimeRange, ...], BeforeValidator(_ranges)] = ()
    metric_timezone: str = "UTC"  # Of hours and free days.
    # After one, three or ten days a level weighs half.
    adaptation_speed: Annotated[
        Literal["FAST", "NORMAL", "SLOW"], Field(description="one of FAST, NORMAL, SLOW")
    ] = "NORMAL"
    # How much of the tails is taken for outliers.
    outlier_filtering_strength: Annotated[
        Literal["MINIMAL", "MODERATE", "STRICT"],
        Field(description="one of MINIMAL, MODERATE, STRICT"),
    ] = "MODERATE"
    # Spikes are usual: no outliers, whatever the strength.
    periodic_spikes: Annotated[bool, Field(description="true or false", exclude=True)] = False

    @model_validator(mode="after")
    def _check(self) -> Configuration:
        if len(self.excluded_time_ranges) > _RANGES_MAX:
            raise DetectorError(
                f"{len(self.excluded_time_ranges)} excluded time ranges; expected {_RANGES_MAX} or "
                "fewer"
            )
        for one in self.excluded_time_ranges:
            if one.start_time >= one.end_time:
                raise DetectorError(
                    f"excluded time range {one.start_time.isoformat()} to "
                    f"{one.end_time.isoformat()}; expected the start before the end"
                )
        zone_of(self.metric_timezone)
        return self

    def learning(self, subject: Subject) -> Learning:
        """Return it in numbers, for the band."""
        return Learning(
            excluded=[
                (int(one.start_time.timestamp()), int(one.end_time.timestamp()))
                for one in self.excluded_time_ranges
            ],
            zone=self.metric_timezone,
            half_life_d=_HALF_LIVES_D[self.adaptation_speed],
            tail=0.99 if self.periodic_spikes else _TAILS[self.outlier_filtering_strength],
            high=1.0 if _is_distance(subject) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as CloudWatch writes it, in snake case."""
        return {
            "configuration": super().as_dict(),
            "metric_characteristics": {"periodic_spikes": self.periodic_spikes},
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Configuration:
        """Read what :meth:`as_dict` gives, or AWS's form; what is left out is as by default."""
        known = set(cls.model_fields) - {"periodic_spikes"}
        found = fields_of(given.get("configuration"), known, "configuration", cls.error)
        traits = given.get("metric_characteristics")
        found |= fields_of(traits, {"periodic_spikes"}, "metric_characteristics", cls.error)
        return cls(**{key: value for key, value in found.items() if value not in ("", [])})


@dataclass(frozen=True, slots=True)
class Detector:
    """A subject and how it is learnt."""

    subject: Subject
    configuration: Configuration = field(default_factory=Configuration)
    # What is learnt first; others follow when alarms ask for them.
    period_s: int = DEFAULT_PERIOD_S

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Detector:
        """Read a detector in AWS's form, in camel or snake case; flat fields, too."""
        known = {*_SUBJECTS, *_PARTS, "period", *_FLAT}
        found = fields_of(given, known, "a detector", DetectorError)
        single, math = (found.get(key) for key in _SUBJECTS)
        flat = {key: found[key] for key in _FLAT if key in found}
        if sum(bool(one) for one in (single, math, flat)) != 1:
            raise DetectorError(
                "a detector of none or several metrics; expected one of "
                "single_metric_anomaly_detector and metric_math_anomaly_detector"
            )
        configuration = Configuration.from_dict(found)
        if math:
            inner = fields_of(math, {"metric_data_queries"}, _SUBJECTS[1], DetectorError)
            subject = _of_queries(inner.get("metric_data_queries"))
            return cls(subject, configuration, subject.period_s)
        inner = fields_of(single, _FLAT, _SUBJECTS[0], DetectorError) or flat
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
