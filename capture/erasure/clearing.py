"""Removes ids from documents of executions and from quarantined records.

This package knows neither monitors nor the database: a ``WindowClearer`` and a ``RequestClearer``
clear what else holds values of rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow.fs as pafs

from driftline.capture.spool.folder import QUARANTINE
from driftline.capture.spool.frame import seed_of, unpack
from driftline.capture.tables.storage import open_storage, reaching, replace_object

# Stands where something was erased.
ERASED = "(erased)"
# A window may begin so long before a row that it holds.
LONGEST_WINDOW = timedelta(days=32)
_JSON = (".json", ".jsonl")
# Possessive, so that no document takes long.
_JSON_TEXT = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*+")(?P<key>\s*+:)?', re.DOTALL)
_STAMP = re.compile(r"/(\d{8}T\d{6}Z)/")


@dataclass(frozen=True, slots=True)
class ClearedWindows:
    """Counts of the windows and messages from which values of rows were removed."""

    windows: int = 0
    messages: int = 0

    def __add__(self, other: ClearedWindows) -> ClearedWindows:
        return ClearedWindows(self.windows + other.windows, self.messages + other.messages)


class WindowClearer(Protocol):
    """Removes values of rows from the results and messages of an endpoint's windows.

    Called with the event times of the rows, in microseconds since 1970, before the rows go; and
    once more after that (``is_again``), for what was written meanwhile. Doing it twice is safe.
    """

    def __call__(
        self,
        endpoint: str,
        times: Collection[int],
        /,
        *,
        is_again: bool = False,
        dry_run: bool = False,
    ) -> ClearedWindows:
        """Clear the windows that hold one of the times, or only count them."""
        ...


def clear_no_window(
    _endpoint: str, _times: Collection[int], /, *, is_again: bool = False, dry_run: bool = False
) -> ClearedWindows:
    """Clear nothing: for a storage root without monitors."""
    return ClearedWindows()


@dataclass(frozen=True, slots=True)
class ClearedRequests:
    """What was removed of requests beside their rows.

    ``invocations``: asynchronous ones, answered or not; ``jobs``: those that lost their
    reason; ``messages``: notifications that lost their text; ``found``: inference ids of such
    invocations; ``unanswered``: those no longer waiting, which may have reached the model already.
    """

    invocations: int = 0
    jobs: int = 0
    messages: int = 0
    found: frozenset[str] = frozenset()
    unanswered: frozenset[str] = frozenset()

    def __add__(self, other: ClearedRequests) -> ClearedRequests:
        return ClearedRequests(
            self.invocations + other.invocations,
            self.jobs + other.jobs,
            self.messages + other.messages,
            self.found | other.found,
            self.unanswered | other.unanswered,
        )


class RequestClearer(Protocol):
    """Removes what is kept of requests beside their rows: queued bodies, answers, reasons.

    Called with the requested inference ids (of all endpoints when it is None), and before rows of
    an endpoint go (``of_rows``) with theirs. Repeating it is safe.
    """

    def __call__(
        self,
        endpoint: str | None,
        inference_ids: Collection[str],
        /,
        *,
        of_rows: bool = False,
        dry_run: bool = False,
    ) -> ClearedRequests:
        """Clear what is kept of these requests, or only count it."""
        ...


def clear_no_request(
    _endpoint: str | None,
    _inference_ids: Collection[str],
    /,
    *,
    of_rows: bool = False,
    dry_run: bool = False,
) -> ClearedRequests:
    """Clear nothing: for a storage root without a server's database."""
    return ClearedRequests()


def clear_documents(
    root: str, ids: Iterable[str], span: tuple[datetime, datetime] | None, *, dry_run: bool = False
) -> int:
    """Replace ids in the documents of executions by ``(erased)``; return how many documents.

    Also in those of other windows than the rows' own. Other values of rows are left to the
    ``WindowClearer``, which clears whole windows. In JSON an id is a text or a part of one, never a
    number, a key or a bracket.
    """
    if not (sought := set(ids)):
        return 0
    pattern = words_of(sought)
    filesystem, path = open_storage(root)
    cleared = 0
    with reaching(f"{root}/executions"):
        selector = pafs.FileSelector(f"{path}/executions", recursive=True, allow_not_found=True)
        for entry in filesystem.get_file_info(selector):
            if not entry.is_file or not _may_hold(entry.path, span):
                continue
            with filesystem.open_input_stream(entry.path) as stream:
                content = stream.readall().decode(errors="surrogateescape")
            clean = _without(pattern, content, is_json=Path(entry.path).suffix in _JSON)
            if clean != content:
                cleared += 1
                if not dry_run:
                    found = clean.encode(errors="surrogateescape")
                    replace_object(filesystem, entry.path, found)
    return cleared


def words_of(ids: Collection[str]) -> re.Pattern[str]:
    """Return what finds one of some ids in a text, as a whole word."""
    # The longest first, for one may begin another.
    sought = "|".join(map(re.escape, sorted(ids, key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])(?:{sought})(?![\w-])")


def _without(pattern: re.Pattern[str], content: str, *, is_json: bool) -> str:
    if is_json:
        try:
            return _JSON_TEXT.sub(partial(_text_without, pattern), content)
        except ValueError:
            pass  # A kind of monitor of somebody else's wrote what is no JSON: a text like others.
    return pattern.sub(ERASED, content)


def _text_without(pattern: re.Pattern[str], found: re.Match[str]) -> str:
    """Return a text of a JSON document without ids; keys, and texts without any, as they stand."""
    if found["key"] is not None:
        return found[0]
    clean, count = pattern.subn(ERASED, json.loads(found["text"], strict=False))
    return json.dumps(clean) if count else found[0]


def clear_quarantine(
    spool_dir: Path, endpoint: str | None, ids: Iterable[str], *, dry_run: bool = False
) -> int:
    """Delete the records of these ids from this host's quarantine."""
    sought, deleted = frozenset(ids), 0
    for file in sorted(Path(spool_dir, QUARANTINE).glob("*.dlf")):
        spool = file.stem.rpartition("-")[0]
        frame = unpack(file.read_bytes(), 0, seed_of(spool))
        if frame is None or (endpoint is not None and frame.meta.get("endpoint") != endpoint):
            continue
        if sought.intersection((frame.meta.get("event_id"), frame.meta.get("inference_id"))):
            deleted += 1
            if not dry_run:
                file.unlink(missing_ok=True)
    return deleted


def _may_hold(path: str, span: tuple[datetime, datetime] | None) -> bool:
    stamp = _STAMP.search(path)
    if span is None or stamp is None:
        return True
    start = datetime.strptime(stamp[1], "%Y%m%dT%H%M%S%z")
    return span[0] - LONGEST_WINDOW <= start <= span[1]
