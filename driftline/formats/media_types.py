"""Media types of text. Standard library only: the worker and capture lines read it, too."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

TextFormat = Literal["csv", "json", "jsonlines"]

# The first is the one that is answered.
TEXT_MEDIA_TYPES: dict[TextFormat, tuple[str, ...]] = {
    "csv": ("text/csv",),
    "json": ("application/json",),
    "jsonlines": (
        "application/jsonlines",
        "application/x-jsonlines",
        "application/x-ndjson",
        "application/jsonl",
    ),
}
TEXT_FORMATS: dict[str, TextFormat] = {
    media: name for name, types in TEXT_MEDIA_TYPES.items() for media in types
}
# Types of bodies from which rows may be read, beside those of text; none says nothing.
_ROWS = (
    "",
    "text/plain",
    "application/x-npy",
)
# Types that say that a body has no rows; of others that are unknown the first bytes tell.
ROWLESS = re.compile(
    r"(image|audio|video|multipart)/.+|text/(event-stream|html)"
    r"|application/(pdf|x-parquet|vnd\.apache\.(parquet|arrow\.(file|stream)))"
)
# The default of clients, which also send JSON under it.
FORM = "application/x-www-form-urlencoded"
_BLANK = b"\xef\xbb\xbf \t\r\n"


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def text_format(content_type: str) -> TextFormat | None:
    """Return the format of text that a Content-Type names; None for any other."""
    name = media_type(content_type)
    return "json" if name.endswith("+json") else TEXT_FORMATS.get(name)


@lru_cache(maxsize=256)
def may_hold_rows(content_type: bytes) -> bool:
    """Whether a Content-Type names a format of rows, or nothing that is known."""
    name = media_type(content_type.decode("latin-1"))
    return name in _ROWS or text_format(name) is not None


def begins_as_json(head: bytes) -> bool:
    """Whether text begins with an object or a list."""
    return head.lstrip(_BLANK)[:1] in (b"{", b"[")
