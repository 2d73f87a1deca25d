"""That all models of an endpoint with a signature take and answer the same.

They are captured into one table, where one column holds one thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from driftline.serving.hosting.formats.model_format import BODIES, Description, ModelError

_MEND = "put it below another prefix"
_TAKES = ("rows of columns", "bodies, by functions of its own (code/inference.py)")


def require_alike(found: Description, expected: Mapping[str, Any]) -> None:
    """Refuse a model whose columns or answers differ from a Description."""
    if found.kind != expected["kind"] and BODIES in (found.kind, expected["kind"]):
        one, others = (_TAKES[kind == BODIES] for kind in (found.kind, expected["kind"]))
        raise ModelError(f"it takes {one}, the endpoint's models take {others}; {_MEND}")
    answers = (found.class_type, list(found.classes), found.has_probability)
    if answers != (expected["class_type"], list(expected["classes"]), expected["has_probability"]):
        raise ModelError(
            f"it answers {_answers(*answers)}, the endpoint's models answer "
            f"{_answers(expected['class_type'], expected['classes'], expected['has_probability'])};"
            f" {_MEND}"
        )
    width = expected.get("answer_width")
    if None not in (found.answer_width, width) and found.answer_width != width:
        raise ModelError(
            f"it answers {found.answer_width} values a row, the endpoint's models {width}; {_MEND}"
        )
    if found.kind != expected["kind"]:
        raise ModelError(f"it is of kind {found.kind}, not {expected['kind']}; {_MEND}")
    names, others = found.feature_names, expected["feature_names"]
    if names is not None and others is not None and set(names) != set(others):
        raise ModelError(
            "it takes other columns than the endpoint's models: "
            f"not {_listed(set(others) - set(names))}, but {_listed(set(names) - set(others))}; "
            f"{_MEND}"
        )
    if found.feature_count != expected["feature_count"]:
        raise ModelError(
            f"it takes {found.feature_count} columns, the endpoint's models "
            f"{expected['feature_count']}; {_MEND}"
        )


def most_alike(known: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], int]:
    """Return the Description that most models agree with, the first of such, and how many do."""
    counts = [sum(_is_alike(Description(**other), one) for other in known) for one in known]
    most = max(counts)
    return known[counts.index(most)], most


def _is_alike(found: Description, expected: Mapping[str, Any]) -> bool:
    try:
        require_alike(found, expected)
    except ModelError:
        return False
    return True


def _answers(class_type: str, classes: Iterable[str], has_probability: bool) -> str:
    what = _listed(classes) if classes else class_type
    return f"{what} with{'' if has_probability else 'out'} probabilities"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:8]) or "nothing"
