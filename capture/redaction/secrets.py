"""Masks texts under the names of secrets, in JSON and in CSV with a header.

Apps are captured whole, their log-in routes too, so this holds without any rule. A body without
such a text stays as it was sent; numbers, booleans and null are no secrets. JSON that names a
secret and cannot be parsed is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.redaction.bodies import Edited, RewriteError, require_bound, written
from driftline.capture.redaction.csv_bodies import CsvEdit, header_of, is_word, rewrite_csv
from driftline.capture.redaction.rules import CsvPlace
from driftline.capture.redaction.values import Change, masked
from driftline.capture.tap.secret_names import is_secret, pattern_of
from driftline.formats.media_types import begins_as_json

# In a body a name may stand between any signs; in JSON each of its characters may be escaped.
_BEGIN, _END = r"(?:^|[^A-Za-z0-9_])_*", r"_*(?:[^A-Za-z0-9_]|$)"
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})")
_mask = masked(0)
# Of larger bodies the letters are looked at first: the pattern costs 1.6 ns a byte of numbers.
_LARGE_BYTES = 1 << 13
_FEW_LETTERS = 1 / 8  # Of a body; else the pattern costs less.
_FIRST_LETTER = ord("A")  # Digits and most signs stand before it,
_SIGNS = b"[]^_`{|}~\x7f"  # and these behind it.

Report = Callable[[str], None]


class Secrets:
    """Masks what stands under some names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        found = pattern_of(names, _BEGIN, _END)
        escaped = r"\\u00[2-7]" if "".join(names).isascii() else r"\\u"
        self._pattern = f"{found}|{escaped}"  # RE2 reads it.
        self._found = re.compile(found.encode())
        # What other letters fold to ASCII, only the pattern knows.
        self._letters = {
            re.sub("[^a-z]", "", name.lower()).encode() if name.isascii() else b"" for name in names
        }

    def suspects(self, contents: pa.BinaryArray, is_packed: np.ndarray) -> np.ndarray:
        """Return a mask of the bodies that may name a secret, shape (bodies,), all packed ones."""
        if not self.names:
            return np.zeros(len(contents), np.bool_)
        # Nothing is masked in arrays of numpy, where short names stand by chance.
        is_text = pc.invert(pc.starts_with(contents, b"\x93NUMPY"))
        found: np.ndarray = is_text.to_numpy(zero_copy_only=False).copy()
        is_large = pc.binary_length(contents).to_numpy() >= _LARGE_BYTES
        for at in np.flatnonzero(found & is_large).tolist():
            found[at] = self._has_letters(contents[at].as_buffer())
        texts = contents if found.all() else contents.filter(pa.array(found))
        matched = pc.match_substring_regex(texts, self._pattern)
        found[found] = matched.to_numpy(zero_copy_only=False)
        found |= is_packed
        return found

    def _has_letters(self, content: pa.Buffer) -> bool:
        """Whether the letters of a name may stand in a body, whatever lies between them."""
        codes = np.frombuffer(content, np.uint8)
        at = np.flatnonzero(codes >= _FIRST_LETTER)
        if len(at) > len(codes) * _FEW_LETTERS:
            return True
        letters = codes[at].tobytes().translate(None, _SIGNS).lower()
        is_plain = letters.isascii() and b"\\" not in letters
        return not is_plain or any(name in letters for name in self._letters)

    def mask(self, content: bytes, report: Report) -> Edited | None:
        """Mask the secrets in a body and return their names; None where it holds none.

        JSON that may name a secret and cannot be parsed is refused.
        """
        if not self._found.search(_ESCAPE.sub(_plain, content)):
            return None
        return (self._json if begins_as_json(content) else self._csv)(content, report)

    def _json(self, content: bytes, report: Report) -> Edited | None:
        require_bound(content)
        found: set[str] = set()
        try:
            try:
                documents = [json.loads(content)]
            except ValueError:
                documents = [json.loads(line) for line in content.splitlines() if line.strip()]
            hidden = [self._hidden(document, "", found) for document in documents]
        except (ValueError, RecursionError):
            raise RewriteError("it may hold a secret, and it is not JSON") from None
        for name in sorted(found):
            report(name)
        return Edited(b"\n".join(map(written, hidden)), {0}) if found else None

    def _hidden(self, node: Any, secret: str, found: set[str]) -> Any:  # noqa: ANN401 - JSON
        """Return JSON with masked texts; ``secret``: the name of one that it stands under."""
        if isinstance(node, str) and secret:
            found.add(secret)
            return _mask(node)
        if isinstance(node, list):
            return [self._hidden(one, secret, found) for one in node]
        if not isinstance(node, dict):
            return node
        hidden = {
            key: self._hidden(value, secret or self._secret(key), found)
            for key, value in node.items()
        }
        # Values whose names stand beside them: a tensor, columns of a frame.
        name, columns, data = node.get("name"), node.get("columns"), hidden.get("data")
        if isinstance(name, str) and self._secret(name) and data is not None:
            hidden["data"] = self._hidden(data, name, found)
        elif isinstance(columns, list) and isinstance(data, list):
            for at, column in enumerate(columns):
                if isinstance(column, str) and self._secret(column):
                    for row in data:
                        if isinstance(row, list) and at < len(row):
                            row[at] = self._hidden(row[at], column, found)
        return hidden

    def _csv(self, content: bytes, report: Report) -> Edited | None:
        names = header_of(content)
        edits = [
            CsvEdit(CsvPlace(at, names, is_named=True), _cells(name, report), 0)
            for at, name in enumerate(names)
            if self._secret(name)
        ]
        found = rewrite_csv(content, edits, is_strict=False) if edits else None
        return None if found is None or found.content == content else found

    def _secret(self, name: str) -> str:
        """Return the name of a secret; of anything else the empty text."""
        return name if is_secret(name, self.names) else ""


def _cells(name: str, report: Report) -> Change:
    """Return what masks the cells of a column that are words."""

    def change(value: object) -> object:
        if not is_word(str(value)):
            return value
        report(name)
        return _mask(value)

    return change


def _plain(found: re.Match[bytes]) -> bytes:
    return chr(int(found[1], 16)).encode("utf-8", "surrogatepass")
