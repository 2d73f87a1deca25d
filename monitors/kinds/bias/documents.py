"""Clarify's documents: analysis.json with the metrics of each group, and what a violation says.

References
----------
Real outputs: analysis.json of a baselining job and constraint_violations.json of a monitoring job
(amazon-sagemaker-examples, model bias monitor). The baseline's analysis.json is at once the
monitor's constraints.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from driftline.errors import InputError
from driftline.monitors.kinds.bias.groups import Group, group_of_text, label_of_text
from driftline.monitors.kinds.bias.metrics import POST_TRAINING, PRE_TRAINING, GroupMetric
from driftline.monitors.results.measured import finite

PRE, POST = "pre_training_bias_metrics", "post_training_bias_metrics"
STAGES: Mapping[str, Mapping[str, str]] = {POST: POST_TRAINING, PRE: PRE_TRAINING}
CHECK = "bias_drift_check"
# Why a metric has no value, in words.
REASONS = {
    "no_rows_in_group": "Facet set is empty",
    "no_rows_outside_group": "Negated Facet set is empty",
    "no_labels": "there are no labels",
    "no_predictions": "there are no predictions",
}


@dataclass(frozen=True)
class Requirements:
    """The limits of an analysis.json."""

    groups: tuple[Group, ...]
    # By group's key: the metrics' values; None where it has none.
    values: Mapping[tuple[str, object], Mapping[str, float | None]]
    label: str | None = None
    positive: str | None = None
    is_threshold: bool = False  # Whether `positive` is a threshold of numbers.
    positive_text: str = ""


def analysis(
    groups: Sequence[tuple[Group, Mapping[str, GroupMetric]]],
    *,
    label: str,
    positive: str,
    stages: Sequence[str] = (POST, PRE),
) -> str:
    """Write analysis.json."""
    found: dict[str, Any] = {"version": "1.0"}
    for stage in stages:
        facets: dict[str, list[Any]] = {}
        for group, metrics in groups:
            entries = [
                _entry(name, words, metrics[name])
                for name, words in STAGES[stage].items()
                if name in metrics
            ]
            shown = {"value_or_threshold": group.text, "metrics": entries}
            facets.setdefault(group.facet.name, []).append(shown)
        found[stage] = {"label": label, "facets": facets, "label_value_or_threshold": positive}
    return json.dumps(found, indent=4, ensure_ascii=False) + "\n"


def read_requirements(text: str) -> Requirements:
    """Read an analysis.json, of ours or of Clarify."""
    groups: dict[tuple[str, object], Group] = {}
    values: dict[tuple[str, object], dict[str, float | None]] = {}
    label = positive = None
    is_threshold, written = False, ""
    try:
        document = json.loads(text)
        for stage in STAGES:
            section = document.get(stage)
            if section is None:
                continue
            label = section["label"]
            written = str(section["label_value_or_threshold"])
            positive, is_threshold = label_of_text(written)
            for column, entries in section["facets"].items():
                for entry in entries:
                    group = group_of_text(column, str(entry["value_or_threshold"]))
                    groups.setdefault(group.key, group)
                    own = values.setdefault(group.key, {})
                    own.update({one["name"]: _number(one["value"]) for one in entry["metrics"]})
    except (
        LookupError,
        ValueError,
        OverflowError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InputError(
            f"analysis.json: {error!r}; expected the bias metrics that SageMaker Clarify writes"
        ) from error
    found = tuple(groups.values())
    return Requirements(found, values, label, positive, is_threshold, written)


def violation_fields(group: Group, name: str, value: float, required: float) -> dict[str, str]:
    """Return the entry of constraint_violations.json, in Clarify's fields and words."""
    return {
        "facet": group.facet.name,
        "facet_value": group.text,
        "metric_name": name,
        "constraint_check_type": CHECK,
        "description": (
            f"Metric value {_text(value)} doesn't meet the baseline constraint requirement "
            f"{_text(required)}"
        ),
    }


def _entry(name: str, words: str, measured: GroupMetric) -> dict[str, object]:
    found: dict[str, object] = {"name": name, "description": words}
    value = finite(measured.value)
    found["value"] = value
    if value is None:
        found["error"] = REASONS.get(measured.reason, measured.reason.replace("_", " "))
    return found


def _number(value: object) -> float | None:
    """Read a metric's value: a number, "Infinity" or "-Infinity", or nothing."""
    if value is None:
        return None
    if isinstance(value, str) and value not in ("Infinity", "-Infinity"):
        raise ValueError(f'value "{value}"')
    found = float(value)  # type: ignore[arg-type] # What JSON holds besides raises TypeError.
    return None if math.isnan(found) else found


def _text(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))
