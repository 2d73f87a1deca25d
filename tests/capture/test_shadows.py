"""Answers of shadows: stored beside what callers got, and counted and read apart from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from driftline.capture.audit.audit import audit
from driftline.capture.audit.report import report
from driftline.capture.labels.labels import put
from driftline.capture.labels.report import label_report
from driftline.capture.line.sink import Sink
from driftline.capture.sagemaker.export import captured_hours, lines_between
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.retention import expire
from driftline.capture.tap.tap import Capture
from driftline.capture.tap.target import CaptureTarget
from driftline.capture.windows.window import Labels, Window, WindowRead, read_window
from driftline.signature import Signature
from tests.capture.tap.test_tap import answering, frames_of

NOON = datetime(2013, 1, 15, 12, tzinfo=UTC)
DAY = Window(datetime(2013, 1, 15, tzinfo=UTC), datetime(2013, 1, 16, tzinfo=UTC))


@pytest.fixture
def mirrored(spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]) -> None:
    """Store five requests, four of which a shadow answered too, the last one with an error."""
    writer = SpoolWriter(spool_dir)
    for number in range(5):
        of = {"event_id": f"e{number}", "at": NOON}
        write(writer, b"1,1,UA\n2,2,AA", b"1,0.25\n0,0.5", variant="blue", **of)
        if number < 4:
            status = 200 if number < 3 else 424
            answer = b"0,0.75\n0,0.75"
            write(
                writer, b"1,1,UA\n2,2,AA", answer, variant="green", status=status,
                flags=Flag.SHADOW, **of,
            )  # fmt: skip
    drain()


def test_the_tap_flags_what_a_shadow_answered_and_counts_no_request(
    spool_dir: Path, call: Callable[..., Any]
) -> None:
    app = answering(b"1,0.5", headers=[(b"content-type", b"text/csv")])
    targets = [CaptureTarget("flights", "blue"), CaptureTarget("flights", "green", is_shadow=True)]
    tap = Capture(app, spool_dir=spool_dir, route=lambda scope: targets[scope["at"]])

    for at in (0, 1, 1):
        call(tap, b"1,2,UA", scope={"at": at, "driftline.request_id": f"r{at}"})
    call(Capture(answering(b"half"), spool_dir=spool_dir, route=lambda _: targets[1]), b"1,2,UA")

    frames = sorted(frames_of(spool_dir), key=lambda frame: frame.meta["variant"])
    assert [(frame.meta["variant"], frame.flags) for frame in frames] == [
        ("blue", 0), ("green", Flag.SHADOW), ("green", Flag.SHADOW), ("green", Flag.SHADOW),
    ]  # fmt: skip
    ids = [frame.meta["event_id"] for frame in frames]
    assert (ids[0], ids.count("r1")) == ("r0", 2)
    assert frames[1].request == frames[0].request == b"1,2,UA"
    counts = read_counts(spool_dir)
    assert set(counts) == {"flights"}
    assert (counts["flights"].requests, counts["flights"].sampled) == (1, 1)


@pytest.mark.usefixtures("mirrored")
def test_a_window_gives_a_shadows_rows_to_who_names_it(root: str, signature: Signature) -> None:
    def read(**which: Any) -> WindowRead:
        return read_window(root, "flights", DAY, signature, **which)

    plain, blue, green, both = (
        read(),
        read(variant="blue"),
        read(variant="green"),
        read(shadows=True),
    )

    assert (plain.row_count, plain.request_count, plain.failed_count) == (10, 5, 0)
    assert plain.digest == blue.digest
    assert set(plain.table()["probability"].to_pylist()) == {0.25, 0.5}
    assert (green.row_count, green.request_count, green.failed_count) == (6, 4, 1)
    assert set(green.table()["probability"].to_pylist()) == {0.75}
    assert both.row_count == both.table().num_rows == 16
    assert len({one.digest for one in (plain, green, both)}) == 3


@pytest.mark.usefixtures("mirrored")
def test_labels_join_what_both_have_answered_and_are_counted_once(
    root: str, signature: Signature
) -> None:
    labels = pa.table(
        {"key": ["e0", "e4"], "row_index": pa.array([0, 1], pa.int32()), "label": ["1", "0"]}
    )
    put(root, "flights", labels, lambda: NOON + timedelta(days=1))

    def labelled(variant: str | None) -> list[int | None]:
        own = Labels("late", "int64")
        read = read_window(root, "flights", DAY, signature, labels=own, variant=variant)
        return [label for label in read.table()["late"].to_pylist() if label is not None]

    (day,) = label_report(root, "flights", "int64").days
    assert labelled(None) == labelled("blue") == [1, 0]
    assert labelled("green") == [1]
    assert (day.requests, day.rows, day.labelled_rows) == (5, 10, 2)


@pytest.mark.usefixtures("mirrored")
def test_counts_and_coverage_are_those_of_callers_requests(root: str, spool_dir: Path) -> None:
    found = report(root, "flights", now=NOON)
    audited = audit(root, now=lambda: NOON, spool_dir=spool_dir)
    expire(Dataset(root, "flights"), "2013-01-16")
    later = audit(root, now=lambda: NOON, spool_dir=spool_dir)

    assert (found.requests, found.rows, found.failed, found.shadows) == (5, 10, 0, 4)
    assert found.overall.stored == 5
    # Every number of the spool is accounted for, and five of the nine are requests.
    assert (audited.stored, audited.adds_up, audited.requests) == (9, True, {"flights": 5})
    assert (later.expired, later.adds_up, later.requests) == (9, True, {"flights": 5})


@pytest.mark.usefixtures("mirrored")
def test_an_export_holds_a_shadow_where_it_is_named(root: str) -> None:
    end = NOON + timedelta(hours=2)

    assert [hour.variant for hour in captured_hours(root, "flights", None, end)] == ["blue"]
    (green,) = captured_hours(root, "flights", None, end, variant="green")
    assert (green.lines, green.left_out) == (3, {"failed": 1})
    assert len([*lines_between(root, "flights", NOON, end)]) == 5
    assert len([*lines_between(root, "flights", NOON, end, variant="green")]) == 3
