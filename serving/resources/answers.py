"""Whether what a model says that it answers has a place in the column of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.errors import InputError
from driftline.signature import Column


def answers_several(description: Mapping[str, Any]) -> bool:
    """Whether a model says that it answers several values a row."""
    return (description.get("answer_width") or 1) > 1


def require_width(column: Column | None, description: Mapping[str, Any]) -> None:
    """Refuse a model of several values a row beside a prediction, or label, of one value."""
    if column is None or not answers_several(description):
        return
    width = description["answer_width"]
    raise InputError(
        f'the model answers {width} values a row; the {column.role} "{column.name}" is one '
        f"({column.sent_type}); expected a model of one value a row: give each value a model and "
        "an endpoint of its own"
    )
