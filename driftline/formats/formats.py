"""The forms in which data comes: media types, endings of files and first bytes, in one table.

To add one: a row here, and its reader in `bodies.READERS`, in `source`, or in both. Standard
library only: the worker and the writer of capture lines read it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FormatName = Literal["csv", "json", "jsonlines", "parquet", "arrow", "npy", "tensors"]


@dataclass(frozen=True, slots=True)
class Format:
    """How data of one form is recognised.

    Parameters
    ----------
    media_types
        Of bodies; the first is the one that is answered.
    suffixes
        Endings of files, in lower case.
    signs
        First bytes; empty for text.
    """

    media_types: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    signs: tuple[bytes, ...] = ()


FORMATS: dict[FormatName, Format] = {
    "csv": Format(("text/csv",), (".csv", ".tsv", ".tab", ".txt")),
    "json": Format(("application/json",), (".json",)),
    "jsonlines": Format(
        (
            "application/jsonlines",
            "application/x-jsonlines",
            "application/x-ndjson",
            "application/jsonl",
        ),
        (".jsonl", ".ndjson"),
    ),
    "parquet": Format(
        ("application/vnd.apache.parquet", "application/x-parquet"),
        (".parquet", ".pq"),
        (b"PAR1",),
    ),
    "arrow": Format(
        suffixes=(".arrow", ".arrows", ".ipc", ".feather"),
        signs=(b"ARROW1", b"\xff\xff\xff\xff"),
    ),
    "npy": Format(("application/x-npy",), signs=(b"\x93NUMPY",)),
    # The Open Inference Protocol's binary data: a header says how long the JSON before it is.
    "tensors": Format(),
}
BY_MEDIA_TYPE: dict[str, FormatName] = {
    media: name for name, one in FORMATS.items() for media in one.media_types
}
_BLANK = b"\xef\xbb\xbf \t\r\n"


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def format_of(content_type: str) -> FormatName | None:
    """Return the format that a Content-Type names; None for any other."""
    name = media_type(content_type)
    return "json" if name.endswith("+json") else BY_MEDIA_TYPE.get(name)


def sniff(head: bytes) -> FormatName:
    """Return the format that first bytes look like; text is JSON where it begins like it."""
    for name, one in FORMATS.items():
        if head.startswith(one.signs):
            return name
    return "json" if begins_as_json(head) else "csv"


def begins_as_json(head: bytes) -> bool:
    """Whether text begins with an object or a list."""
    return head.lstrip(_BLANK)[:1] in (b"{", b"[")
