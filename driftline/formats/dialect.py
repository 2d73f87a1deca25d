"""What the user says about text files."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from driftline.errors import InputError

NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
# Encodings of Python's that are for the names of hosts, not for texts.
NAMES_ONLY = ("idna", "punycode")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The user's statements about text files; None: detected."""

    # One character, or "tab", "comma", "semicolon", "pipe", "space".
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    # Of the columns, in order, where rows have no names: CSV without a header, lists of JSON.
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if twice := next((one for one in self.names if self.names.count(one) > 1), None):
            raise InputError(f'names: "{twice}" stands twice; expected each once')
        if self.delimiter is not None:
            sign = NAMES.get(self.delimiter, self.delimiter)
            if len(sign) != 1 or not sign.isascii() or sign in '"\r\n\x00':
                raise InputError(
                    f'delimiter "{self.delimiter}"; expected one character such as ; or the word '
                    "tab, comma, semicolon, pipe or space"
                )
            object.__setattr__(self, "delimiter", sign)
        if self.encoding is not None and not _is_encoding(self.encoding):
            raise InputError(
                f'encoding "{self.encoding}" is unknown; expected such as utf-8, latin-1, cp1252 '
                "or utf-16"
            )


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        return codecs.lookup(name).name not in NAMES_ONLY
    except (LookupError, ValueError):
        return False


AS_FOUND = Dialect()
