"""A kind of monitor as one value, and the table of kinds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from driftline.errors import InputError
from driftline.roles import Roles
from driftline.signature import Signature

if TYPE_CHECKING:
    # Heavy, and only for types: commands read the table before they know what they need.
    from driftline.baseline.store import Baseline
    from driftline.monitors.check_context import CheckContext
    from driftline.monitors.report.report import Report

COMMAND = "command"  # Of monitors that name a program to run.
# By name: where each kind's value stands. A kind of somebody else's package is an entry point of
# the group, of the same form.
KINDS = {
    "data-quality": "driftline.monitors.kinds.data_quality.kind:KIND",
    "model-quality": "driftline.monitors.kinds.model_quality.kind:KIND",
    "bias": "driftline.monitors.kinds.bias.kind:KIND",
    "attribution": "driftline.monitors.kinds.attribution.kind:KIND",
    "outliers": "driftline.monitors.kinds.outliers.kind:KIND",
    "joint": "driftline.monitors.kinds.joint.kind:KIND",
    COMMAND: "driftline.monitors.kinds.command.kind:KIND",
}
GROUP = "driftline.kinds"
DEFAULT_KIND = "data-quality"
ALL = "all"  # In place of kinds, on the command line.
SEVERAL = "; several are judged by driftline.check_all(…, kinds=[…]), all of them without kinds="

log = logging.getLogger(__name__)

OWN_METRICS = "Driftline"
# SageMaker's own, of monitors on an endpoint and on batch transform.
_OF_ENDPOINTS, _OF_TABLES = "aws/sagemaker/Endpoints/", "aws/sagemaker/ModelMonitoring/"
DAILY, WEEKLY = "cron(0 0 ? * * *)", "cron(0 0 ? * MON *)"
# Of an alarm on what labels say, which come weeks late: a window that they make bad counts as long
# as it is among the newest four.
ONE_OF_FOUR: Mapping[str, object] = {"evaluation_periods": 4, "datapoints_to_alarm": 1}


class InapplicableKindError(InputError):
    """The baseline lacks what a kind compares rows with."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of a kind, in words for people.

    Parameters
    ----------
    name
        As reports and pages name it.
    title
        As people call it; "": its name.
    meaning
        What it measures, in a sentence; "" where the title says so.
    """

    name: str
    title: str = ""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """Where the values of a kind's metrics are stored over time.

    Parameters
    ----------
    namespace, prefix
        Of the metric's name in the store.
    has_label
        Whether the dimension ``Label`` is the metric's own; else it names a column.
    """

    namespace: str = OWN_METRICS
    prefix: str = ""
    has_label: bool = True


def metric_place(namespace: str, monitor: str, endpoint: str | None) -> tuple[str, dict[str, str]]:
    """Return namespace and dimensions of a monitor's metrics; without an endpoint its own."""
    if endpoint:
        return namespace, {"Endpoint": endpoint, "MonitoringSchedule": monitor}
    return namespace.replace(_OF_ENDPOINTS, _OF_TABLES), {"MonitoringSchedule": monitor}


def captured_columns(signature: Signature, baseline: Baseline) -> list[str]:
    """Return the endpoint's inputs and those of its outputs that the baseline knows.

    A reference without predictions says nothing about the outputs; judged, they would be extra
    columns.
    """
    outputs = [output.name for output in signature.outputs if baseline.signature.get(output.name)]
    return [*(one.name for one in signature.inputs), *outputs]


def answer_columns(signature: Signature, baseline: Baseline, *also: str) -> list[str]:
    """Return the captured columns of outcomes and weights, and others."""
    # Behind the outcomes are heavy packages, which the table of kinds does without.
    from driftline.baseline.outcomes import kept_columns

    names = captured_columns(signature, baseline)
    if baseline.outcomes is None:
        return names
    wanted = {*kept_columns(baseline.outcomes.roles), *also}
    return [name for name in names if name in wanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of monitor: what it reads, how it judges, what it publishes, how it is shown.

    Parameters
    ----------
    name
        As users write it, and as it is stored.
    evaluation
        The module with ``evaluate(context)`` and, where SageMaker has documents of the kind,
        ``suggest(baseline)``. It is imported at use: a check of data quality shall not wait for the
        packages of the others.
    compat_evaluation
        The module that evaluates as SageMaker does, the same one where it does both; "": none does.
        Where SageMaker's documents hold other values than `suggest` gives, it has
        ``suggest_compat(baseline)``.
    columns
        Names the captured columns that are read, by the endpoint's signature and the baseline.
    judges_columns
        Whether each column is judged for itself: such a kind takes rules, segments, preprocessing
        scripts and engines, and can be replayed by a backtest.
    uses_labels
        Whether windows change when ground truth arrives.
    needs_labels
        Whether nothing can be judged without ground truth.
    needs_model
        Whether the endpoint's model is asked.
    reads_timestamp
        Whether a check may name the column of times.
    pooled_windows
        How many windows before the judged one may be pooled with it, rows and all.
    needs_positive
        Whether one of several classes, or numbers above one, must be positive; else of two alone.
    needs
        What a reference must have for its documents, in words; "" where it has none.
    violations_version
        Version in constraint_violations.json, as Clarify writes it.
    namespace
        Where SageMaker publishes what it measures.
    series
        Where its metrics are stored over time.
    metrics
        What it measures, as far as names need words.
    headline_metrics
        Which of them is drawn first, the best first.
    panels
        What a window's page shows besides metrics, of the panels that the dashboard has; for any
        other name, the metrics with their meanings.
    schedule
        How often a deployed one runs.
    default_alarms
        Alarms that a deployed one gets: a title, and fields of PutMetricAlarm in snake case.
    is_deployable
        Whether it can be deployed, by the roles of the reference's columns and whether there is a
        model to ask; None: never.
    """

    name: str
    evaluation: str
    compat_evaluation: str = ""
    columns: Callable[[Signature, Baseline], list[str]] = captured_columns
    judges_columns: bool = False
    uses_labels: bool = False
    needs_labels: bool = False
    needs_model: bool = False
    reads_timestamp: bool = False
    pooled_windows: int = 0
    needs_positive: bool = False
    needs: str = ""
    violations_version: str | None = None
    namespace: str = OWN_METRICS
    series: MetricSeries = MetricSeries()
    metrics: tuple[MetricSpec, ...] = ()
    headline_metrics: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    schedule: str = WEEKLY
    default_alarms: tuple[Mapping[str, object], ...] = ()
    is_deployable: Callable[[Roles, bool], bool] | None = None

    @property
    def watched_windows(self) -> int:
        """How many of the newest windows its default alarms look at."""
        periods = (one.get("evaluation_periods", 1) for one in self.default_alarms)
        return max((one for one in periods if isinstance(one, int)), default=1)

    def evaluate(self, context: CheckContext) -> Report:
        """Judge a window, as SageMaker does where the context asks for it.

        The report is completed here: its kind, window, baseline and rows are the context's.

        Raises
        ------
        InputError
            When segments or SageMaker's judgement are asked for and the kind has none.
        """
        if context.segments and (not self.judges_columns or context.compat):
            asked = "compat" if context.compat else f'kind "{self.name}"'
            raise InputError(
                f"segments with {asked}; only data-quality, judged our own way, is judged by "
                "segment"
            )
        if context.compat and not self.compat_evaluation:
            raise InapplicableKindError(
                f'compat with kind "{self.name}"; SageMaker has no such monitor'
            )
        module = self.compat_evaluation if context.compat else self.evaluation
        report = cast("Report", import_module(module).evaluate(context))
        return replace(
            report,
            kind=self.name,
            facts=context.rows.facts,
            baseline_version=context.baseline.version,
            batches=report.batches or context.rows.batches,
            details={**report.details, **({"compat": True} if context.compat else {})},
        )

    def suggest(self, baseline: Baseline, *, compat: bool = False) -> Mapping[str, str]:
        """Return SageMaker's documents by file name, as they lie in a baseline of all kinds.

        With `compat` their values are SageMaker's, and what it does not measure is left out.
        """
        if not self.needs:
            return {}
        name, found = "suggest", import_module(self.evaluation)
        if compat and self.compat_evaluation:
            like_sagemaker = import_module(self.compat_evaluation)
            if hasattr(like_sagemaker, "suggest_compat"):
                name, found = "suggest_compat", like_sagemaker
        return cast("Mapping[str, str]", getattr(found, name)(baseline))

    def detectable(self, baseline: Baseline) -> list[str]:
        """Return the changes that windows would find, in sentences; none where unknown."""
        module = import_module(self.evaluation)
        return list(module.detectable(baseline)) if hasattr(module, "detectable") else []


def kind_named(text: str) -> Kind:
    """Return the kind with a name, in any case; InputError when there is none."""
    name = str(text).strip().casefold().replace("_", "-")
    found = find_kind(name)
    if found is None:
        hint = "; drift of single columns is data-quality, of several together joint"
        raise InputError(
            f'kind "{text}"; expected one of {", ".join(kind_names())}'
            f"{hint if 'drift' in name else ''}"
            f"{SEVERAL if name == ALL or not isinstance(text, str) else ''}"
        )
    return found


def kind_names() -> tuple[str, ...]:
    """Return the kinds' names, those of other packages last."""
    # Slow to import, and only needed for what the table does not have.
    from importlib.metadata import entry_points

    return (*KINDS, *sorted({one.name for one in entry_points(group=GROUP)} - {*KINDS}))


def all_kinds() -> tuple[Kind, ...]:
    """Return every kind that is installed."""
    return tuple(kind for name in kind_names() if (kind := find_kind(name)) is not None)


@cache
def find_kind(name: str) -> Kind | None:
    """Return a kind by its stored name; None where its package is missing or broken."""
    if name in KINDS:
        module, _, attribute = KINDS[name].partition(":")
        return cast("Kind", getattr(import_module(module), attribute))
    from importlib.metadata import entry_points  # As in `kind_names`.

    for one in entry_points(group=GROUP, name=name):
        try:
            return cast("Kind", one.load())
        except (Exception, SystemExit):  # Foreign code; without it the other kinds go on.
            log.exception("the kind of monitor cannot be loaded kind=%s from=%s", name, one.value)
    return None


@cache
def metric_spec(name: str) -> MetricSpec:
    """Return the words of a metric of any kind; ``f1[cat]`` is a part of ``f1``."""
    specs = (metric for kind in all_kinds() for metric in kind.metrics if metric.name == name)
    if (found := next(specs, None)) is not None:
        return found
    whole, bracket, part = name.partition("[")
    spec = metric_spec(whole) if bracket else MetricSpec(name)
    title = spec.title or whole.replace("_", " ")
    return replace(spec, name=name, title=f"{title} [{part}") if bracket else spec
