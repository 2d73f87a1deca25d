"""Rules of redaction: which field of which endpoint, and which action. Standard library only.

A rule is one ``[[capture.redact]]`` table of the settings. Its ``field`` is a JSON Pointer (RFC
6901; ``*`` stands for every element), ``column:3`` or ``column:NAME`` of a CSV body, or
``header:NAME`` of a recorded header; an empty one is the whole body.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from driftline.capture.redaction import values as values
from driftline.capture.redaction.keys import Keys
from driftline.capture.tap.target import is_name
from driftline.errors import InputError

EVERY = "*"
_ACTIONS = ("drop", "null", "hash", "mask", "bucket")
_SIDES = ("request", "response", "both")
_COLUMN = "column:"
_HEADER = "header:"
_MAX_STEPS = 32
_BAD_ESCAPE = re.compile(r"~(?![01])")
_SPELLINGS = {
    "x-amzn-sagemaker-inference-id": "inference_id",
    "x-amzn-sagemaker-custom-attributes": "custom_attributes",
    "content-type": "request_content_type",
    "content-encoding": "request_encoding",
    "inference-header-content-length": "request_inference_header_length",
    "x-driftline-event-time": "event_time_us",
}
# Without them a record has no place in a table.
_NEEDED = (
    "endpoint", "event_id", "event_time_us", "stated_time_us", "rate", "variant", "model",
    "request_content_type", "response_content_type", "request_encoding", "response_encoding",
    "request_inference_header_length", "response_inference_header_length", "headers", "first_row",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JsonPlace:
    """A place in a JSON document: the steps of a pointer."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CsvPlace:
    """A column of a CSV body, counted from 0; ``columns``: all there are, empty when not told.

    ``is_named``: the rule gives its name, so that it follows a header.
    """

    index: int
    columns: tuple[str, ...] = ()
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class HeaderPlace:
    """A value that is kept beside the bodies, by its name in the frame."""

    name: str


@dataclass(frozen=True, slots=True)
class WholeBody:
    """All of a body, of whatever format."""


Place = JsonPlace | CsvPlace | HeaderPlace | WholeBody


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of redaction."""

    endpoint: str
    field: str
    action: str
    side: str = "both"
    # Last characters that "mask" keeps, or first ones that "bucket" does.
    keep: int = 0
    # Lower edges of buckets, ascending, or how wide each is.
    edges: tuple[float, ...] = ()
    width: float = 0.0
    # Of a CSV body.
    columns: tuple[str, ...] = ()
    # Id of the key that "hash" takes; empty: the newest.
    key: str = ""
    optional: bool = False
    place: Place = dataclass_field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.endpoint != EVERY and not is_name(self.endpoint):
            raise self._error(
                f'endpoint "{self.endpoint}" is no name; expected one, or "*" for all'
            )
        for what, given, known in (("action", self.action, _ACTIONS), ("side", self.side, _SIDES)):
            if given not in known:
                listed = ", ".join(f'"{one}"' for one in known)
                raise self._error(f'{what} "{given}" is unknown; expected one of {listed}')
        object.__setattr__(self, "place", self._place())
        self._check_options()
        self._check_bucket()

    def change(self, keys: Keys) -> values.Change:
        """Return what the rule does to a value."""
        if self.action == "drop":
            return values.drop
        if self.action == "null":
            return values.null
        if self.action == "mask":
            return values.masked(self.keep)
        if self.action == "hash":
            try:
                return values.hashed(keys.choose(self.key))
            except InputError as error:
                raise self._error(str(error)) from None
        if self.edges:
            return values.by_edges(self.edges)
        return values.by_width(self.width) if self.width else values.prefix(self.keep)

    def _place(self) -> Place:
        if not self.field:
            if self.action not in ("drop", "null"):
                raise self._error(f'"{self.action}" of a whole body; expected "drop"')
            return WholeBody()
        if self.field.startswith("/"):
            return self._pointer()
        if self.field.startswith(_COLUMN):
            return self._column(self.field.removeprefix(_COLUMN))
        if self.field.startswith(_HEADER):
            return self._header(self.field.removeprefix(_HEADER).strip().lower())
        raise self._error(
            'field not understood; expected a JSON Pointer such as "/instances/*/3", "column:3", '
            '"column:NAME" with columns, or "header:NAME"'
        )

    def _pointer(self) -> JsonPlace:
        steps = self.field[1:].split("/")
        if len(steps) > _MAX_STEPS:
            raise self._error(f"pointer of {len(steps)} steps; expected at most {_MAX_STEPS}")
        if _BAD_ESCAPE.search(self.field):
            raise self._error('"~" in a pointer; expected ~0 for ~ and ~1 for /')
        return JsonPlace(tuple(step.replace("~1", "/").replace("~0", "~") for step in steps))

    def _column(self, name: str) -> CsvPlace:
        width = len(self.columns)
        if len(set(self.columns)) != width:
            raise self._error("columns names one twice; expected each once")
        if name in self.columns:
            return CsvPlace(self.columns.index(name), self.columns, is_named=True)
        if not (name.isascii() and name.isdecimal() and len(name) < 7):
            known = "expected one of columns" if width else "expected columns = [names in order]"
            raise self._error(f'column "{name}" is neither a number nor declared; {known}')
        if width and int(name) >= width:
            raise self._error(f"column {name} of {width} columns; they count from 0")
        return CsvPlace(int(name), self.columns)

    def _header(self, name: str) -> HeaderPlace:
        name = _SPELLINGS.get(name, name)
        if not name or name in _NEEDED:
            raise self._error("this is no header that can be redacted; expected such as "
                              '"header:inference_id" or "header:custom_attributes"')  # fmt: skip
        if self.side != "both":
            raise self._error("side of a header; leave it out")
        return HeaderPlace(name)

    def _check_options(self) -> None:
        """Refuse options that would have no effect: their author expects one."""
        is_column = isinstance(self.place, CsvPlace)
        for name, is_given, is_fit, what in (
            ("keep", self.keep, self.action in ("mask", "bucket"), '"mask" or "bucket"'),
            ("edges", self.edges, self.action == "bucket", '"bucket"'),
            ("width", self.width, self.action == "bucket", '"bucket"'),
            ("key", self.key, self.action == "hash", '"hash"'),
            ("columns", self.columns, is_column, "a column"),
        ):
            if is_given and not is_fit:
                raise self._error(f"{name} does nothing here; it belongs to {what}")
        if self.keep < 0:
            raise self._error(f"keep = {self.keep}; expected 0 or more")

    def _check_bucket(self) -> None:
        if self.action != "bucket":
            return
        if sum(map(bool, (self.edges, self.width, self.keep))) != 1:
            raise self._error("a bucket needs one of edges, width and keep")
        if not all(map(math.isfinite, (*self.edges, self.width))) or self.width < 0:
            raise self._error("edges and width must be finite numbers, width above 0")
        if list(self.edges) != sorted(set(self.edges)):
            raise self._error("edges do not ascend; expected such as [0, 18, 65]")

    def _error(self, sentence: str) -> InputError:
        return InputError(f'redaction of "{self.field}" at "{self.endpoint}": {sentence}')
