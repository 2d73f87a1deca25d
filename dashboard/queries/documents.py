"""From an execution's report.json to what a page shows; pure, and forgiving to fields it misses.

The document is written by monitors/report/report.py: ``features`` is a list of measured features,
``metrics`` one of measured numbers, ``violations`` one of broken constraints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from driftline.baseline.condition import Condition
from driftline.dashboard.queries.metric_views import Confusion, GroupLine
from driftline.dashboard.queries.views import FeatureLine, WindowDetail, WindowRun
from driftline.errors import DriftlineError
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.violation import Severity

Document = Mapping[str, object]
"""A JSON object."""

UNJUDGED = frozenset({"label", "id", "timestamp", "excluded"})
"""Roles of columns that are described, but neither demanded nor judged."""


def detail_of(run: WindowRun, report: Document | None) -> WindowDetail:
    """Read one execution's document into a detail, features by blame, then by ratio."""
    if report is None:
        return WindowDetail(run, (), run.cause, None, 0, 0, None)
    violations = _objects(report, "violations")
    measured = {_text(entry, "feature"): entry for entry in _objects(report, "features")}
    by_name: dict[str, list[Document]] = {name: [] for name in measured}
    for violation in violations:
        by_name.setdefault(_text(violation, "feature_name"), []).append(violation)
    expected = {feature for feature, *_ in expected_of(report)}
    features = [
        replace(_feature(name, measured.get(name, {}), broken), is_expected=name in expected)
        for name, broken in by_name.items()
        if broken or _text(measured[name], "role") not in UNJUDGED
    ]
    features.sort(
        key=lambda line: (
            not line.checks,
            not line.is_expected,
            -line.blame,
            -(line.ratio or 0.0),
            line.name,
        )
    )
    segments = [_segment(violation) for violation in violations]
    return WindowDetail(
        run=run,
        features=tuple(features),
        cause=_optional(report, "cause") or run.cause,
        segment=next((segment for segment in segments if segment), None),
        late=_count(report, "late_count", "late"),
        unparsed=_count(report, "unparsed_count", "unparsed"),
        documents=None,
    )


def script_of(report: Document | None) -> str | None:
    """Name the record script that made the judged rows, which then are not the captured ones."""
    details = (report or {}).get("details")
    found = details.get("preprocess") if isinstance(details, Mapping) else None
    return found if isinstance(found, str) else None


def culprit(report: Document | None, feature: str) -> tuple[Document, Condition] | None:
    """Give a feature's gravest violation that points at rows, with the rows' condition.

    One that somebody expected comes after those that alarm.
    """
    return next(_culprits(report, feature), None)


def gravest_culprit(report: Document | None) -> tuple[Document, Condition] | None:
    """Give the gravest violation of all that points at rows, with the rows' condition."""
    return next(_culprits(report, None), None)


def _culprits(report: Document | None, feature: str | None) -> Iterator[tuple[Document, Condition]]:
    loud, expected = (
        sorted(_objects(report or {}, key), key=_gravity)
        for key in ("violations", "expected_violations")
    )
    for violation in (*loud, *expected):
        found = violation.get("predicate")
        is_asked = feature is None or _text(violation, "feature_name") == feature
        if is_asked and isinstance(found, Mapping):
            yield violation, read_condition(found)


def finding_of(violation: Document) -> tuple[str, str]:
    """Name a broken constraint, and say what was found: the cause, or the document's own text."""
    words = _text(violation, "cause") or _text(violation, "description")
    return _text(violation, "constraint_check_type"), words


def expected_of(report: Document | None) -> list[tuple[str, str, str, int | None]]:
    """Give what was expected: feature, check, in words, and the id of the mark that says so."""
    found = []
    for entry in _objects(report or {}, "expected_violations"):
        mark = entry.get("mark")
        identity = mark.get("id") if isinstance(mark, Mapping) else None
        check, words = finding_of(entry)
        known = identity if isinstance(identity, int) else None
        found.append((_text(entry, "feature_name"), check, words, known))
    return found


def features_of(report: Document | None) -> list[str]:
    """Name what is violated, the gravest first, each once."""
    violations = sorted(_objects(report or {}, "violations"), key=_gravity)
    return list(dict.fromkeys(_text(one, "feature_name") for one in violations))


def segment_of(violation: Document) -> str | None:
    """Say which segment holds the rows of a violation."""
    return _segment(violation)


def onset_of(violation: Document) -> str | None:
    """Say from when to when a violation lasted, in words; None when that is not known."""
    onset = violation.get("onset")
    return _optional(cast("Document", onset), "text") if isinstance(onset, Mapping) else None


def blame_of(violation: Document) -> float:
    """Give the share of the blame that a violation's feature bears, 0-1."""
    return _number(violation, "share_of_blame") or 0.0


def bounds_of(report: Document | None) -> dict[str, float]:
    """Give the bound of each measured feature."""
    found = {
        _text(entry, "feature"): _number(entry, "bound")
        for entry in _objects(report or {}, "features")
    }
    return {name: bound for name, bound in found.items() if bound is not None}


def numbers_of(statistics: Document | None) -> dict[str, list[list[float]]]:
    """Read the stored values of each numeric column's sketch, by level, from statistics.json."""
    found: dict[str, list[list[float]]] = {}
    for entry in _objects(statistics or {}, "features"):
        place: object = entry
        for key in ("numerical_statistics", "distribution", "kll", "sketch", "data"):
            place = place.get(key) if isinstance(place, Mapping) else None
        if isinstance(place, list):
            found[_text(entry, "name")] = [
                [float(one) for one in level if isinstance(one, int | float)]
                for level in place
                if isinstance(level, list)
            ]
    return found


def metrics_of(report: Document | None) -> tuple[MetricResult, ...]:
    """Read the measured metrics, in the document's order."""
    return tuple(_metric(entry) for entry in _objects(report or {}, "metrics"))


def findings_of(report: Document | None) -> tuple[tuple[str, str], ...]:
    """Give all broken constraints by check and in words, the gravest first."""
    violations = sorted(_objects(report or {}, "violations"), key=_gravity)
    return tuple(map(finding_of, violations))


def count_of(report: Document | None, key: str) -> int:
    """Read a count; 0 where the document has none."""
    return _count(report or {}, key)


def confusion_of(report: Document | None) -> Confusion | None:
    """Read the confusion matrix: truth, then prediction, then how many; None without one.

    SageMaker's form is ``{truth: {prediction: count}}``.
    """
    found = _details(report).get("confusion_matrix")
    if not isinstance(found, Mapping) or not found:
        return None
    rows = {str(truth): row for truth, row in found.items() if isinstance(row, Mapping)}
    classes = tuple(dict.fromkeys([*rows, *(str(one) for row in rows.values() for one in row)]))
    place = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for truth, row in rows.items():
        for predicted in row:
            counts[place[truth], place[str(predicted)]] = round(_number(row, predicted) or 0)
    return Confusion(classes, counts)


def groups_of(report: Document | None) -> tuple[GroupLine, ...]:
    """Read how large the groups of a bias monitor are, and what they get; largest first."""
    lines = [_group(entry) for entry in _objects(_details(report), "groups")]
    return tuple(sorted(lines, key=lambda line: -line.rows))


def warnings_of(report: Document | None) -> tuple[str, ...]:
    """Read what a kind warns of: what its numbers cannot be trusted in."""
    found = _details(report).get("warnings")
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _details(report: Document | None) -> Document:
    found = (report or {}).get("details")
    return found if isinstance(found, Mapping) else {}


def _group(entry: Document) -> GroupLine:
    own, others = entry.get("group"), entry.get("others")
    own = own if isinstance(own, Mapping) else {}
    facet, value = _text(entry, "facet"), _text(entry, "facet_value")
    return GroupLine(
        name=f"{facet}={value}" if value else facet,
        rows=_count(own, "rows"),
        positive=_positive(own),
        others=_positive(others) if isinstance(others, Mapping) else None,
        labelled=_number(own, "labelled_share"),
    )


def _positive(side: Document) -> float | None:
    predicted = _count(side, "predicted")
    return _count(side, "predicted_positive") / predicted if predicted else None


SEVERITIES: Mapping[str, Severity] = {"page": "page", "ticket": "ticket"}


def _metric(entry: Document) -> MetricResult:
    return MetricResult(
        name=_text(entry, "name"),
        value=_extended(entry, "value"),
        low=_extended(entry, "low"),
        high=_extended(entry, "high"),
        reference=_extended(entry, "reference"),
        reference_low=_extended(entry, "reference_low"),
        reference_high=_extended(entry, "reference_high"),
        bound=_extended(entry, "bound"),
        operator=_text(entry, "operator"),
        p_value=_number(entry, "p_value"),
        count=_count(entry, "count"),
        facet=_text(entry, "facet"),
        facet_value=_text(entry, "facet_value"),
        label=_text(entry, "label"),
        severity=SEVERITIES.get(_text(entry, "severity")),
        note=_text(entry, "note"),
    )


def _extended(document: Document, key: str) -> float | None:
    """Read a number that may be infinite, which JSON holds as text."""
    infinite = {"Infinity": math.inf, "-Infinity": -math.inf}.get(_text(document, key))
    return infinite if infinite is not None else _number(document, key)


def _feature(name: str, measured: Document, broken: Sequence[Document]) -> FeatureLine:
    """Join what was measured of a feature with the constraints that it breaks."""
    low, high = _number(measured, "share_low"), _number(measured, "share_high")
    ranked = sorted(broken, key=_gravity)
    return FeatureLine(
        name=name,
        type=_text(measured, "type"),
        distance=_number(measured, "distance"),
        bound=_number(measured, "bound"),
        p_value=_number(measured, "p_value"),
        blame=max([_number(measured, "share_of_blame") or 0.0, *map(blame_of, broken)]),
        hard=any(_text(entry, "severity") == "page" for entry in broken),
        what=_optional(measured, "set"),
        share_reference=_number(measured, "share_reference"),
        share_window=_number(measured, "share_window"),
        share_interval=None if low is None or high is None else (low, high),
        findings=tuple(map(finding_of, ranked)),
        note=_text(measured, "note"),
        accused=_accused(ranked[0]) if ranked else None,
        brief=_brief(ranked[0]) if ranked else "",
        change=_text(measured, "change"),
    )


def _gravity(violation: Document) -> bool:
    """Sort pages before tickets; as a pager's sentence does, which the page must not contradict."""
    return _text(violation, "severity") != "page"


def _brief(violation: Document) -> str:
    """Tell a violation without where its rows lie."""
    words = finding_of(violation)[1]
    return words.removesuffix(f", {_segment(violation) or ''}")


def _accused(violation: Document) -> str | None:
    """Name the values that a violation is about, if it is about any that can be read."""
    found = violation.get("predicate")
    if not isinstance(found, Mapping):
        return None
    try:
        return read_condition(found).phrase
    except (DriftlineError, KeyError, TypeError, ValueError):
        return None


def _segment(violation: Document) -> str | None:
    segment = violation.get("segment")
    return _optional(cast("Document", segment), "text") if isinstance(segment, Mapping) else None


def _objects(document: Document, key: str) -> list[Document]:
    entries = document.get(key)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _text(document: Document, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _optional(document: Document, key: str) -> str | None:
    return _text(document, key) or None


def _number(document: Document, key: str) -> float | None:
    value = document.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(document: Document, *keys: str) -> int:
    found = (document.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int)), 0)
