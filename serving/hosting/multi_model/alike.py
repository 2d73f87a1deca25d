"""That all models of an endpoint with a signature take and answer the same.

They are captured into one table, where one column holds one thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from driftline.serving.hosting.formats.model_format import BODIES, Description, ModelError


def require_alike(found: Description, expected: Mapping[str, Any]) -> None:
    """Refuse a model whose columns or answers differ from a Description."""
    theirs = _facts(Description(**expected))
    for what, (mine, said) in _facts(found).items():
        value, text = theirs[what]
        if None not in (mine, value) and mine != value:
            raise ModelError(
                f"it differs in {what}: {said}, the endpoint's models {text}; put it below another "
                "prefix"
            )


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
