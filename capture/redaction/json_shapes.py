"""Shapes of JSON in which a pointer by position may lead to another field than was meant.

Model servers read rows by position where nothing else tells, and by names where names stand beside
them: a frame's ``columns``, the ``name`` of a tensor. Those come in any order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from driftline.formats.shapes.requests import ENVELOPES

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_TENSOR = frozenset({"name", "shape"})
_FRAME = frozenset({"columns", "data"})
# Rows may stand in these beside other names; anywhere else they do so alone.
_AROUND_ROWS = (*ENVELOPES, "values")


class UncertainError(Exception):
    """What a place by position means is not certain; the message quotes nothing of the body."""


def is_index(step: str) -> bool:
    """Whether a step of a pointer counts elements of a list."""
    return _INDEX.fullmatch(step) is not None


def holds_rows(node: Mapping[str, object]) -> bool:
    """Whether an object may be no row but stand around some."""
    names = node if len(node) == 1 else [name for name in _AROUND_ROWS if name in node]
    return any(_is_deep(node[name]) for name in names)


def require_certain(document: object, steps: Sequence[str]) -> None:
    """Refuse a pointer by position where names or shapes tell otherwise."""
    _walk(document, steps, 0, 0)


def _walk(node: Any, steps: Sequence[str], at: int, below_frame: int) -> None:  # noqa: ANN401
    """Follow a pointer; ``below_frame``: how many steps lead to a value of a frame's row."""
    if at == len(steps):
        return
    step = steps[at]
    if isinstance(node, dict):
        for key in list(node) if step == "*" else [step] if step in node else []:
            if key == "data" and at + 1 < len(steps):
                _require_rows(node, steps[at + 1])
            is_frame = key == "data" and _is_named_frame(node)
            _walk(node[key], steps, at + 1, 2 if is_frame else 0)
    elif isinstance(node, list):
        is_count = is_index(step)
        if is_count and below_frame == 1:
            raise UncertainError("names beside its rows tell their order, not the rule")
        if is_count and len(node) > 1:
            if all(isinstance(one, dict) and one.keys() >= _TENSOR for one in node):
                raise UncertainError("its tensors are known by names, not by the rule's order")
            is_last = at == len(steps) - 1 and at < 2
            if is_last and all(isinstance(one, dict | list) for one in node):
                raise UncertainError("it has rows where the rule tells a field")
        wanted = node if step in ("*", "-") else node[int(step) : int(step) + 1] if is_count else ()
        for one in wanted:
            _walk(one, steps, at + 1, max(below_frame - 1, 0))


def _require_rows(tensor: Mapping[str, object], step: str) -> None:
    """Refuse to count values of several rows that are written flat."""
    shape, data = tensor.get("shape"), tensor["data"]
    if not is_index(step) or not tensor.keys() >= _TENSOR or not isinstance(data, list):
        return
    is_one_row = isinstance(shape, list) and len(shape) > 1 and shape[0] == 1
    if not is_one_row and not any(isinstance(one, list) for one in data):
        raise UncertainError("its tensor may hold several rows where the rule tells a field")


def _is_named_frame(node: Mapping[str, object]) -> bool:
    columns = node.get("columns")
    is_named = isinstance(columns, list) and any(isinstance(name, str) for name in columns)
    return is_named and node.keys() >= _FRAME


def _is_deep(value: object) -> bool:
    """Whether this is an object, or a list of objects or lists."""
    if isinstance(value, list):
        return any(isinstance(one, dict | list) for one in value)
    return isinstance(value, dict)
