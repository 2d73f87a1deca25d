"""That all models of an endpoint with a signature take and answer the same.

They are captured into one table, where one column holds one thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from driftline.serving.hosting.formats.model_format import BODIES, Description, ModelError


def require_alike(found: Description, expected: Mapping[str, Any]) -> None:
    """Refuse a model whose columns or answers differ from a Description."""
    if difference := _difference(found, Description(**expected)):
        what, one, other = difference
        raise ModelError(
            f"it differs in {what}: {one}, the endpoint's models {other}; put it below another "
            "prefix"
        )


def most_alike(known: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], int]:
    """Return the Description that most models agree with, the first of such, and how many do."""
    models = [Description(**one) for one in known]
    counts = [sum(_difference(other, one) is None for other in models) for one in models]
    most = max(counts)
    return known[counts.index(most)], most


def _difference(one: Description, other: Description) -> tuple[str, object, object] | None:
    """Name the first thing in which two models differ, and what it is in each."""
    theirs = _facts(other)
    for what, (mine, said) in _facts(one).items():
        value, text = theirs[what]
        if None not in (mine, value) and mine != value:
            return what, said, text
    return None


def _facts(model: Description) -> dict[str, tuple[object, object]]:
    """Return what has to be the same, where both models tell, with a text of it."""
    answers = _listed(model.classes) if model.classes else model.class_type
    chance = "with" if model.has_probability else "without"
    takes_bodies, names = model.kind == BODIES, model.feature_names
    return {
        "what they take": (
            takes_bodies, "bodies, by functions of its own" if takes_bodies else "rows of columns"
        ),
        "answers": (
            (model.class_type, *model.classes, model.has_probability),
            f"{answers} {chance} probabilities",
        ),
        "values a row": (model.answer_width, model.answer_width),
        "kind": (model.kind, model.kind),
        "columns": (names and set(names), names and _listed(names)),
        "number of columns": (str(model.feature_count), model.feature_count),
    }  # fmt: skip


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:8])
