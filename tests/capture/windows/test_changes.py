"""Changes: which hours of event time were touched since one last looked, and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.capture.labels.labels import label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.retention import expire, vacuum
from driftline.capture.windows.changes import Changes, Position, changes
from driftline.capture.windows.window import Labels, Window, read_window
from tests.capture.conftest import SIGNATURE, record
from tests.sinking import sink_all

Drain = Callable[..., Sink]
DAY = datetime(2013, 1, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = DAY + timedelta(days=30)


def load(root: str, *keys: str, at: datetime = DAY + timedelta(days=3), label: str = "1") -> None:
    labels = pa.table({"key": list(keys), "label": [label] * len(keys)})
    put(root, "flights", labels, lambda: at)


def look(root: str, since: Position | None, **options: Any) -> Changes:
    chosen = {"before": LATER, "labels": True, **options}
    return changes(root, "flights", since, **chosen)


@pytest.fixture
def stored(root: str, spool_dir: Path, drain: Drain) -> SpoolWriter:
    """Store one request at half past each of six hours, e0 to e5, by two commits."""
    writer = SpoolWriter(spool_dir)
    for number in range(6):
        record(
            writer, event_id=f"e{number}", at=DAY + (number + 0.5) * HOUR, inference_id=f"i{number}"
        )
        if number == 2:
            drain()
    drain()
    return writer


def test_new_records_touch_their_hours_only(root: str, stored: SpoolWriter, drain: Drain) -> None:
    since = look(root, None).position
    record(stored, at=DAY + 1.9 * HOUR)
    record(stored, at=DAY - 0.1 * HOUR, status=500)
    drain()

    found = look(root, since)

    assert found.hours == (DAY - HOUR, DAY + HOUR)
    assert found.position.capture > since.capture
    assert found.position.truth == since.truth


def test_new_labels_touch_the_hours_of_their_records(root: str, stored: SpoolWriter) -> None:
    since = look(root, None).position
    load(root, "e0", "i4", "nobody")

    found = look(root, since)

    assert found.hours == (DAY, DAY + 4 * HOUR)
    assert look(root, found.position).hours == ()
    assert look(root, since, labels=False) == Changes(since, ())


def test_a_label_whose_record_is_not_stored_yet_is_not_lost(
    root: str, stored: SpoolWriter, drain: Drain
) -> None:
    since = look(root, None).position
    load(root, "late")
    early = look(root, since)
    record(stored, event_id="late", at=DAY + 3.2 * HOUR)
    drain()

    after = look(root, early.position)

    assert early.hours == ()
    assert after.hours == (DAY + 3 * HOUR,)
    window = Window(DAY + 3 * HOUR, DAY + 4 * HOUR)
    read = read_window(root, "flights", window, SIGNATURE, labels=Labels("late", "int64"))
    assert (read.row_count, read.labelled_count) == (2, 1)


def test_compaction_and_retention_are_no_changes(
    root: str, stored: SpoolWriter, drain: Drain
) -> None:
    load(root, "e0")
    load(root, "e1")
    record(stored, at=DAY - timedelta(days=40))
    drain()
    since = look(root, None).position

    records, labels = Dataset(root, "flights"), label_folder(root, "flights")
    assert compact(records, "2026-01-01") == 2
    assert compact(labels, "2026-01-01") == 2
    assert expire(records, "2013-01-01") == 1

    found = look(root, since)
    assert found.hours == ()
    assert found.position.capture > since.capture
    assert found.position.truth > since.truth


def test_files_that_were_compacted_away_count_with_their_whole_day(
    root: str, stored: SpoolWriter, drain: Drain
) -> None:
    since = look(root, None).position
    record(stored, at=DAY + 1.5 * HOUR)
    drain()
    load(root, "e4")
    records, labels = Dataset(root, "flights"), label_folder(root, "flights")
    load(root, "nobody")
    for folder in (records, labels):
        compact(folder, "2026-01-01")
        vacuum(folder, 0, LATER)

    found = look(root, since)
    only_labels = look(root, Position(found.position.capture, since.truth))

    assert found.hours == tuple(DAY + number * HOUR for number in range(24))
    assert only_labels.hours == (DAY + 4 * HOUR,)


def test_a_log_that_was_cut_short_counts_as_all_changed(root: str, stored: SpoolWriter) -> None:
    since = look(root, None).position
    load(root, "e0", "e3")
    log = Path(label_folder(root, "flights").path) / "_delta_log"
    DeltaTable(label_folder(root, "flights").uri).create_checkpoint()
    (log / f"{0:020d}.json").unlink()

    found = look(root, since)

    assert found.hours == (DAY, DAY + 3 * HOUR)


def test_a_table_made_anew_counts_as_all_changed(root: str, stored: SpoolWriter) -> None:
    far = Position(capture=500, truth=500)
    load(root, "e5")

    found = look(root, far)

    assert len(found.hours) == 24
    assert found.position == look(root, None).position


Step = tuple[str, int, int]
# Around midnight, so that two days are in it.
HOURS = range(21, 27)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["record", "label", "look"]), st.sampled_from(HOURS), st.integers(0, 4)
    ),
    max_size=12,
)


@settings(max_examples=settings.default.max_examples // 6)
@given(steps=STEPS)
def test_a_window_whose_digest_moved_was_told_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """Records and labels come in any order; no hour changes without having been told."""
    folder = tmp_path_factory.mktemp("any")
    root, writer = str(folder / "root"), SpoolWriter(folder / "spool")
    drain = partial(sink_all, root, folder / "spool", lambda _: SIGNATURE)
    known = look(root, None).position
    seen = _digests(root)
    for what, hour, name in [*steps, ("look", 0, 0)]:
        if what == "record":
            record(writer, at=DAY + (hour + 0.3) * HOUR, inference_id=f"i{name}")
            drain()
        elif what == "label":
            load(root, f"i{name}", label=str(hour))
        else:
            found = look(root, known)
            now, known = _digests(root), found.position
            moved = {start for start in now if now[start] != seen[start]}
            assert moved <= set(found.hours)
            seen = now


def _digests(root: str) -> dict[datetime, str]:
    starts = [DAY + number * HOUR for number in HOURS]
    labels = Labels("late", "int64")
    return {
        start: read_window(
            root, "flights", Window(start, start + HOUR), SIGNATURE, labels=labels
        ).digest
        for start in starts
    }
