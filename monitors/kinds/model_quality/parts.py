"""The parts of a window that are measured alone: each class, or each step ahead of forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.extras import class_measures
from driftline.monitors.kinds.model_quality.influence import Codes, Measure
from driftline.monitors.kinds.model_quality.judgement import shown_result
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.kinds.model_quality.quantile_metrics import PINBALL, is_coverage
from driftline.monitors.results.metric import MetricPoint, MetricResult
from driftline.stats.clusters import cluster_rows

# Metrics of one step ahead of forecasts; of quantiles their loss and coverage, too.
STEP_METRICS = ("mae", "rmse", "smape", "mean_error")
STEPS_SHOWN = 24
# Errors of steps ahead grow a few times; those of outputs of other units differ by more.
OTHER_UNIT = 10.0
# Of more classes those with most rows are shown.
CLASSES_SHOWN = 20


def part_results(answers: Answers, expected: Expectation) -> tuple[MetricResult, ...]:
    """Measure each class, or step ahead of forecasts, alone, and beside it the reference's.

    What has a threshold is listed already.
    """
    known, found = expected.answers, []
    clusters = cluster_rows(answers.time_us)
    usual = None if known is None else cluster_rows(known.time_us)
    parts: tuple[str | int, ...] = shown_classes(answers) or shown_steps(answers)
    for part in parts:
        measures = part_measures(answers, part, clusters)
        reference = {} if known is None else part_measures(known, part, usual)
        name = f"step {part}" if isinstance(part, int) else part
        for metric, measure in measures.items():
            if f"{metric}[{name}]" not in expected.constraints:
                result = shown_result(metric, measure, reference.get(metric), len(answers))
                found.append(replace(result, label=name))
    return tuple(found)


def part_points(parts: Sequence[MetricResult]) -> Iterator[MetricPoint]:
    """Return each part's metrics, under the label that names the part."""
    for one in parts:
        if one.value is not None:
            yield MetricPoint(NAMESPACE, one.name, one.value, {"Label": one.label})


def shown_classes(answers: Answers) -> tuple[str, ...]:
    """Name the classes that are shown alone, in their order; none unless there are several."""
    if answers.problem != "multiclass" or not len(answers):
        return ()
    size = len(answers.classes)
    counts = np.bincount(answers.label.astype(np.intp), minlength=size)
    places = np.sort(np.argsort(-counts, kind="stable")[:CLASSES_SHOWN])
    return tuple(answers.classes[one] for one in places)


def shown_steps(answers: Answers) -> tuple[int, ...]:
    """Name the steps ahead of forecasts that are shown alone, evenly spaced where many."""
    if answers.step is None or not len(answers):
        return ()
    steps = np.unique(answers.step)
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), STEPS_SHOWN)).round().astype(np.intp)
    return tuple(steps[chosen].tolist())


def outputs_note(answers: Answers | None) -> str:
    """Return a note where errors of all steps together are those of the largest; else ""."""
    if answers is None or answers.step is None or not len(answers):
        return ""
    error = np.abs(answers.label.astype(np.float64) - answers.answer.astype(np.float64))
    mean = np.bincount(answers.step, error) / np.maximum(np.bincount(answers.step), 1)
    steps = np.flatnonzero(mean)
    if not len(steps) or mean.max() <= OTHER_UNIT * mean[steps].min():
        return ""
    least, most = steps[np.argmin(mean[steps])], int(mean.argmax())
    return (
        f"the error of step {most} is {mean[most] / mean[least]:,.0f} times that of step {least}: "
        "metrics of all steps together are those of the largest; outputs of other units are judged "
        "apart, by a baseline and a monitor for each"
    )


def part_measures(
    answers: Answers, part: str | int, clusters: Codes | None = None
) -> Mapping[str, Measure]:
    """Measure a class against the others, or the errors of a step ahead; nothing where it lacks."""
    if isinstance(part, str):
        return class_measures(answers, part, clusters) if part in answers.classes else {}
    if answers.step is None or not (at := answers.step == part).any():
        return {}
    found = measure_answers(answers.take(at), None if clusters is None else clusters[at])
    names = (*STEP_METRICS, *(name for name in found if name == PINBALL or is_coverage(name)))
    return {name: found[name] for name in names}
