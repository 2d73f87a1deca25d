"""Bodies rewritten: JSON and JSON Lines with addressed values changed; how each body is read.

JSON is parsed and written anew, compactly: what was not parsed, such as the first of two equal
names, cannot be in it. What could be read in two ways, or has rows that a rule fits beside others
that it does not, is not rewritten at all: ``RewriteError``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from driftline.capture.redaction.json_shapes import (
    UncertainError,
    holds_rows,
    is_index,
    require_certain,
)
from driftline.capture.redaction.values import DROPPED, Change
from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import unpack
from driftline.formats.media_types import TextFormat, begins_as_json, media_type, text_format

# Names under which clients send whatever they send, curl's default among them.
_FORM = "application/x-www-form-urlencoded"
_VAGUE = ("", "text/plain", _FORM)
# Each value in memory, and each hash, takes many times the bytes that it was sent as.
_MAX_VALUES = 1_000_000
_BEFORE_VALUES = (b",", b"[", b"{", b"\n", b"\r")


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
        return any(map(is_index, self.steps))


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
    if known == "csv" or (name in _VAGUE and name != _FORM):
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
    """Pack what came packed: a small body that unpacks to a large one must stay small.

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
                require_certain(document, edit.steps)
        for edit in edits:
            found = _edit(document, edit.steps, edit.change)
            hits.update([edit.rule] * (_HIT in found))
            misfits.update([edit.rule] * (_MISFIT in found))
        return Edited(_written(document), hits, misfits)
    except UncertainError as error:
        raise RewriteError(str(error)) from None
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
        is_fit = not (step == "-" or is_index(step) or holds_rows(node))
    elif isinstance(node, list):
        if step in ("*", "-"):
            return range(len(node))
        if is_index(step) and int(step) < len(node):
            return (int(step),)
        is_fit = False
    else:
        return () if node is None else None
    return () if is_fit or not node else None


def _written(document: object) -> bytes:
    form: Callable[..., str] = json.dumps
    try:
        return form(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:  # Half of a surrogate pair can only be written escaped.
        return form(document, separators=(",", ":")).encode("ascii")
