"""Values under the names of secrets, masked in JSON and in CSV with a header.

Apps are captured whole, their log-in routes too, so this holds without any rule. A body that names
no secret stays as it was sent. JSON that names one and cannot be parsed is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from driftline.capture.redaction.bodies import Edited, RewriteError, require_bound, written
from driftline.capture.redaction.csv_bodies import CsvEdit, header_of, rewrite_csv
from driftline.capture.redaction.rules import CsvPlace
from driftline.capture.redaction.values import masked
from driftline.capture.tap.secret_names import is_secret, pattern_of
from driftline.formats.media_types import begins_as_json, media_type, text_format

# JSON may write each letter of a name as an escape.
_ESCAPED = r"\\u00"
_CSV_TYPES = ("", "text/plain")
_mask = masked(0)

Report = Callable[[str], None]


class Secrets:
    """Masks what stands under some names.

    ``pattern``: what bodies are searched for, in the syntax of RE2; empty without names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.pattern = f"{pattern_of(names)}(?:[^A-Za-z0-9]|$)|{_ESCAPED}" if names else ""
        self._found = re.compile(self.pattern.encode())

    def mask(self, content: bytes, content_type: str, report: Report) -> Edited | None:
        """Mask the secrets in a body, and report their names; None where it names none.

        Raises
        ------
        RewriteError
            When it may name one and is JSON that cannot be parsed.
        """
        if not self.pattern or not self._found.search(content):
            return None
        if begins_as_json(content):
            return self._json(content, report)
        is_csv = text_format(content_type) == "csv" or media_type(content_type) in _CSV_TYPES
        return self._csv(content, report) if is_csv else None

    def _json(self, content: bytes, report: Report) -> Edited | None:
        require_bound(content)
        try:
            try:
                documents = [json.loads(content)]
            except ValueError:
                documents = [json.loads(line) for line in content.splitlines() if line.strip()]
            if not self._hide(documents, report):
                return None
            return Edited(b"\n".join(map(written, documents)), {0})
        except (ValueError, RecursionError):
            raise RewriteError("it may hold a secret, and it is not JSON") from None

    def _hide(self, node: Any, report: Report) -> bool:  # noqa: ANN401 - JSON
        """Mask what stands under the name of a secret; whether there was anything."""
        if isinstance(node, list):
            return bool(sum(self._hide(one, report) for one in node))  # Each of them.
        if not isinstance(node, dict):
            return False
        is_found = self._hide_data(node, report)
        for key, value in node.items():
            if self._is_secret(key, report):
                node[key] = _hidden(value)
                is_found = True
            else:
                is_found |= self._hide(value, report)
        return is_found

    def _hide_data(self, node: dict[str, Any], report: Report) -> bool:
        """Mask values whose names stand beside them: columns of a frame, a tensor."""
        data, columns = node.get("data"), node.get("columns")
        if isinstance(node.get("name"), str) and data is not None:
            if is_found := self._is_secret(node["name"], report):
                node["data"] = _hidden(data)
            return is_found
        if not isinstance(columns, list) or not isinstance(data, list):
            return False
        places = [
            at for at, name in enumerate(columns)
            if isinstance(name, str) and self._is_secret(name, report)
        ]  # fmt: skip
        for row in data:
            for at in places:
                if isinstance(row, list) and at < len(row):
                    row[at] = _hidden(row[at])
        return bool(places)

    def _csv(self, content: bytes, report: Report) -> Edited | None:
        names = header_of(content)
        edits = [
            CsvEdit(CsvPlace(at, names, is_named=True), _mask, 0)
            for at, name in enumerate(names)
            if self._is_secret(name, report)
        ]
        return rewrite_csv(content, edits, is_strict=False) if edits else None

    def _is_secret(self, name: str, report: Report) -> bool:
        is_found = is_secret(name, self._names)
        if is_found:
            report(name)
        return is_found


def _hidden(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Mask a value, each one of a list or an object; yes, no and nothing are no secrets."""
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    if isinstance(value, dict):
        return {key: _hidden(one) for key, one in value.items()}
    return value if isinstance(value, bool) else _mask(value)
