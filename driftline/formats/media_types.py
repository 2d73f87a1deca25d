"""Media types of text. Standard library only: the worker and capture lines read it, too."""

from __future__ import annotations

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
_BLANK = b"\xef\xbb\xbf \t\r\n"


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def text_format(content_type: str) -> TextFormat | None:
    """Return the format of text that a Content-Type names; None for any other."""
    name = media_type(content_type)
    return "json" if name.endswith("+json") else TEXT_FORMATS.get(name)


def begins_as_json(head: bytes) -> bool:
    """Whether text begins with an object or a list."""
    return head.lstrip(_BLANK)[:1] in (b"{", b"[")
