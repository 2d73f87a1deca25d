"""Bodies rewritten: JSON and JSON Lines with addressed values changed; how each body is read.

JSON is parsed and written anew, compactly, so nothing that was not parsed, such as the first of two
equal names, stays in it. A body that is ambiguous, or has rows that a rule fits beside others that
it does not, is refused: ``RewriteError``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from driftline.capture.redaction.values import DROPPED, Change
from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import unpack
from driftline.formats.media_types import (
    FORM,
    TextFormat,
    begins_as_json,
    media_type,
    text_format,
)
from driftline.formats.shapes.requests import ENVELOPES

# Names under which clients send whatever they send, curl's default among them.
_VAGUE = ("", "text/plain", FORM)
# Each value in memory, and each hash, takes many times the bytes that it was sent as.
_MAX_VALUES = 1_000_000
_BEFORE_VALUES = (b",", b"[", b"{", b"\n", b"\r")

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_TENSOR = frozenset({"name", "shape"})
_FRAME = frozenset({"columns", "data"})
# Rows may stand in these beside other names; anywhere else they do so alone.
_AROUND_ROWS = (*ENVELOPES, "values")
_HIT, _MISFIT = "hit", "misfit"


class RewriteError(ValueError):
    """A body cannot be rewritten safely; the message names what it is, never what is in it."""


class JsonEdit(NamedTuple):
    """A pointer's steps, what to do there, and which rule says so."""

    steps: tuple[str, ...]
    change: Change
    rule: int

    @property
    def by_position(self) -> bool:
        """Whether a step counts elements."""
        return any(map(_is_index, self.steps))


class Edited(NamedTuple):
    """A body as it may be kept, and what the rules have found in it.

    ``hits``: rules that have found their place; ``misfits``: those that found something else on the
    way to it, such as a list where they name a field.
    """

    content: bytes
    hits: set[int]
    misfits: frozenset[int] | set[int] = frozenset()
    is_packed: bool = False


def form_of(content_type: str, content: bytes) -> TextFormat:
    """Return how to read a body: as JSON, JSON Lines or CSV."""
    name, known = media_type(content_type), text_format(content_type)
    if known in ("json", "jsonlines"):
        return known
    is_bracketed = begins_as_json(content)
    if name in _VAGUE and is_bracketed:
        return "json"
    if known == "csv" or (name in _VAGUE and name != FORM):
        if is_bracketed:
            # Its fields stand elsewhere than columns would tell.
            raise RewriteError("it is called CSV and begins like JSON")
        return "csv"
    raise RewriteError("its content type is none of JSON, JSON Lines and CSV")


def inflated(content: bytes, encoding: str) -> bytes:
    """Unpack a body within a bound."""
    try:
        return unpack(content, encoding)
    except BodyError:  # Without its message: it may quote the encoding that was sent.
        raise RewriteError("it cannot be unpacked") from None


def packed(edited: Edited) -> Edited:
    """Compress what came compressed: a small body that unpacks to a large one must stay small.

    The same content gives the same bytes: without a time.
    """
    content = gzip.compress(edited.content, 1, mtime=0)
    return edited._replace(content=content, is_packed=True)


def require_bound(content: bytes) -> None:
    """Refuse a body of too many values, which would take gigabytes when it is taken apart."""
    if len(content) > _MAX_VALUES and sum(map(content.count, _BEFORE_VALUES)) > _MAX_VALUES:
        raise RewriteError("it has more than a million values")


def rewrite_json(content: bytes, edits: Sequence[JsonEdit]) -> Edited:
    """Change the addressed values of a document; written anew also when there were none."""
    hits: set[int] = set()
    misfits: set[int] = set()
    try:
        document = json.loads(content)
        for edit in edits:  # All of them first: an edit may take away what tells.
            if edit.by_position:
                _require_certain(document, edit.steps)
        for edit in edits:
            found = _edit(document, edit.steps, edit.change)
            hits.update([edit.rule] * (_HIT in found))
            misfits.update([edit.rule] * (_MISFIT in found))
        return Edited(written(document), hits, misfits)
    except RewriteError:
        raise
    except (ValueError, RecursionError):
        raise RewriteError("it is not JSON") from None


def rewrite_json_lines(content: bytes, edits: Sequence[JsonEdit]) -> Edited:
    """Change the addressed values of each line's document."""
    found = [rewrite_json(line, edits) for line in content.splitlines() if line.strip()]
    hits = set(chain.from_iterable(edited.hits for edited in found))
    misfits = set(chain.from_iterable(edited.misfits for edited in found))
    return Edited(b"".join(edited.content + b"\n" for edited in found), hits, misfits)


def _edit(node: Any, steps: tuple[str, ...], change: Change) -> set[str]:  # noqa: ANN401 - JSON
    """Change what a pointer leads to; say whether there was anything, and whether else."""
    step, rest = steps[0], steps[1:]
    keys = _keys(node, step)
    if keys is None:
        return {_MISFIT}
    if rest:
        return set().union(*(_edit(node[key], rest, change) for key in keys))
    for key in keys:
        changed = change(node[key])
        if changed is not DROPPED:
            node[key] = changed
        elif isinstance(node, dict):
            del node[key]
        else:
            node[key] = None  # What stands behind it is known by its position.
    return {_HIT} if keys else set()


def _keys(node: Any, step: str) -> Sequence[Any] | None:  # noqa: ANN401 - JSON
    """Return where a step leads: nowhere where it is missing, None where it makes no sense."""
    if isinstance(node, dict):
        if step == "*":
            return list(node)
        if step in node:
            return (step,)
        is_fit = not (step == "-" or _is_index(step) or _holds_rows(node))
    elif isinstance(node, list):
        if step in ("*", "-"):
            return range(len(node))
        if _is_index(step) and int(step) < len(node):
            return (int(step),)
        is_fit = False
    else:
        return () if node is None else None
    return () if is_fit or not node else None


def written(document: object) -> bytes:
    """Return a document as compact JSON."""
    form: Callable[..., str] = json.dumps
    try:
        return form(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:  # Half of a surrogate pair can only be written escaped.
        return form(document, separators=(",", ":")).encode("ascii")


def _is_index(step: str) -> bool:
    """Whether a step of a pointer counts elements of a list."""
    return _INDEX.fullmatch(step) is not None


def _holds_rows(node: Mapping[str, object]) -> bool:
    """Whether an object may be no row but stand around some."""
    names = node if len(node) == 1 else [name for name in _AROUND_ROWS if name in node]
    return any(_is_deep(node[name]) for name in names)


def _require_certain(document: object, steps: Sequence[str]) -> None:
    """Refuse a pointer by position where names or shapes may order values otherwise.

    Model servers read rows by position, and by names where names stand beside them: a frame's
    ``columns``, the ``name`` of a tensor. Those come in any order.
    """
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
        is_count = _is_index(step)
        if is_count and below_frame == 1:
            raise RewriteError("names beside its rows tell their order, not the rule")
        if is_count and len(node) > 1:
            if all(isinstance(one, dict) and one.keys() >= _TENSOR for one in node):
                raise RewriteError("its tensors are known by names, not by the rule's order")
            is_last = at == len(steps) - 1 and at < 2
            if is_last and all(isinstance(one, dict | list) for one in node):
                raise RewriteError("it has rows where the rule tells a field")
        wanted = node if step in ("*", "-") else node[int(step) : int(step) + 1] if is_count else ()
        for one in wanted:
            _walk(one, steps, at + 1, max(below_frame - 1, 0))


def _require_rows(tensor: Mapping[str, object], step: str) -> None:
    """Refuse to count values of several rows that are written flat."""
    shape, data = tensor.get("shape"), tensor["data"]
    if not _is_index(step) or not tensor.keys() >= _TENSOR or not isinstance(data, list):
        return
    is_one_row = isinstance(shape, list) and len(shape) > 1 and shape[0] == 1
    if not is_one_row and not any(isinstance(one, list) for one in data):
        raise RewriteError("its tensor may hold several rows where the rule tells a field")


def _is_named_frame(node: Mapping[str, object]) -> bool:
    columns = node.get("columns")
    is_named = isinstance(columns, list) and any(isinstance(name, str) for name in columns)
    return is_named and node.keys() >= _FRAME


def _is_deep(value: object) -> bool:
    """Whether this is an object, or a list of objects or lists."""
    if isinstance(value, list):
        return any(isinstance(one, dict | list) for one in value)
    return isinstance(value, dict)
