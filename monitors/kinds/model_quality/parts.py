"""Metrics of each class alone."""

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
from driftline.monitors.results.metric import MetricPoint, MetricResult
from driftline.stats.clusters import cluster_rows

# Of more classes those with most rows are shown.
CLASSES_SHOWN = 20


def part_results(answers: Answers, expected: Expectation) -> tuple[MetricResult, ...]:
    """Measure each class without a threshold of its own, with the reference's value."""
    known, found = expected.answers, []
    clusters = cluster_rows(answers.time_us)
    usual = None if known is None else cluster_rows(known.time_us)
    for part in shown_classes(answers):
        measures = part_measures(answers, part, clusters)
        reference = {} if known is None else part_measures(known, part, usual)
        for metric, measure in measures.items():
            if f"{metric}[{part}]" not in expected.constraints:
                result = shown_result(metric, measure, reference.get(metric), len(answers))
                found.append(replace(result, label=part))
    return tuple(found)


def part_points(parts: Sequence[MetricResult]) -> Iterator[MetricPoint]:
    """Return each part's metrics, under the label that names the part."""
    for one in parts:
        if one.value is not None:
            yield MetricPoint(NAMESPACE, one.name, one.value, {"Label": one.label})


def shown_classes(answers: Answers) -> tuple[str, ...]:
    """Return the classes shown alone, in order; none unless there are several."""
    if answers.problem != "multiclass" or not len(answers):
        return ()
    size = len(answers.classes)
    counts = np.bincount(answers.label.astype(np.intp), minlength=size)
    places = np.sort(np.argsort(-counts, kind="stable")[:CLASSES_SHOWN])
    return tuple(answers.classes[one] for one in places)


def part_measures(
    answers: Answers, part: str, clusters: Codes | None = None
) -> Mapping[str, Measure]:
    """Measure a class against the others; nothing where it is missing."""
    return class_measures(answers, part, clusters) if part in answers.classes else {}
