"""How labels and captured rows fit: each label is for a row, for nobody, or for no such row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.capture.labels.labels import put
from driftline.capture.labels.report import DayCoverage, LabelReport, label_report
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tap.logger import Logger
from driftline.capture.windows.window import Labels, Window, read_window
from tests.capture.conftest import SIGNATURE, record
from tests.sinking import sink_all

NOON = datetime(2013, 1, 15, 12, tzinfo=UTC)
DAY = Window(datetime(2013, 1, 15, tzinfo=UTC), datetime(2013, 1, 16, tzinfo=UTC))
TUESDAY, WEDNESDAY = date(2013, 1, 15), date(2013, 1, 16)


def load(root: str, *rows: tuple[Any, ...], after: timedelta = timedelta(days=3)) -> None:
    """Store labels given as id, label and, if one likes, the row."""
    filled = [(*row, 0)[:3] for row in rows]
    keys, labels, index = ([row[at] for row in filled] for at in range(3))
    table = pa.table(
        {"key": keys, "row_index": pa.array(index, pa.int32()), "label": pa.array(labels)}
    )
    put(root, "flights", table, lambda: NOON + after)


def report(root: str, **span: Any) -> LabelReport:
    return label_report(root, "flights", "int64", **span)


@pytest.fixture
def captured(spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]) -> None:
    """Store e0 (one row), e1 (three rows, inference id i1), one that failed, and e2 a day later."""
    writer = SpoolWriter(spool_dir)
    write(writer, event_id="e0")
    write(writer, b"1,1,a\n2,2,b\n3,3,c", b"1,0.1\n0,0.2\n1,0.3", event_id="e1", inference_id="i1")
    write(writer, event_id="failed", status=500)
    write(writer, event_id="e2", at=NOON + timedelta(days=1))
    drain()


@pytest.mark.usefixtures("captured")
def test_coverage_is_told_by_day_of_the_event(root: str) -> None:
    load(root, ("e0", "1"), ("i1", "1", 0), ("e1", "0", 1))

    found = report(root)

    assert found.days == (
        DayCoverage(TUESDAY, requests=2, labelled_requests=1, partly_labelled_requests=1, rows=4,
                    labelled_rows=3, share=0.5),
        DayCoverage(WEDNESDAY, requests=1, labelled_requests=0, partly_labelled_requests=0, rows=1,
                    labelled_rows=0, share=0.0),
    )  # fmt: skip
    assert (found.labels, found.places, found.unmatched, found.stray) == (3, 3, 0, 0)
    assert [day.day for day in report(root, first=WEDNESDAY).days] == [WEDNESDAY]
    assert [day.day for day in report(root, last=TUESDAY).days] == [TUESDAY]


@pytest.mark.usefixtures("captured")
def test_labels_for_nobody_so_far_and_for_no_such_row_are_told_apart(root: str) -> None:
    load(root, ("nobody", "1"), ("nobody", "0", 1), ("failed", "1"))
    load(root, ("e0", "1", 1), ("i1", "1", 3), after=timedelta(days=4))

    found = report(root)

    # A failed request was never answered, so that nothing can be true of it.
    assert (found.unmatched, found.unmatched_ids) == (3, ("failed", "nobody"))
    assert found.unmatched_since == NOON + timedelta(days=3)
    assert (found.stray, found.stray_ids) == (2, ("e0", "i1"))
    assert found.delay_s is None


@pytest.mark.usefixtures("captured")
def test_two_answers_for_one_row_are_a_conflict_and_the_same_again_is_none(root: str) -> None:
    load(root, ("e0", "1"), ("e2", "0"), ("e1", "1", 2))
    load(root, ("e0", "1.0"), ("e2", "1"), ("i1", "0", 2), after=timedelta(days=5))

    found = report(root)
    as_text = label_report(root, "flights", None)

    assert (found.labels, found.places, found.repeated) == (6, 4, 1)
    # e1 is contradicted by its inference id.
    assert (found.conflicts, found.conflict_ids) == (2, ("e1", "e2"))
    assert (as_text.conflicts, as_text.unfit) == (3, None)


def test_labels_of_requests_that_sampling_left_out_are_told_apart(
    root: str, spool_dir: Path, drain: Callable[..., Sink]
) -> None:
    log = Logger("flights", spool_dir=spool_dir, sampling_percentage=10)
    ids = [f"order-{number}" for number in range(2000)]
    for one in ids:
        log([1.5, 3, "UA"], 1, inference_id=one)
    log.close()
    drain()
    captured = pl.read_delta(Dataset(root, "flights").uri)["inference_id"].to_list()
    load(root, *((one, "1") for one in ids), after=timedelta(days=9999))

    found = report(root)

    # A binomial count of 2,000 by a tenth is between 100 and 300 but for a chance under 1e-6.
    assert 100 < len(captured) < 300
    assert (found.labelled_rows, found.places) == (len(captured), 2000)
    assert (found.unsampled, found.unmatched) == (2000 - len(captured), 0)


@pytest.mark.usefixtures("captured")
def test_a_label_that_says_no_value_labels_no_row_as_in_windows(root: str) -> None:
    load(root, ("e0", "NA"), ("e1", "1", 0), ("e1", "n/a", 1), ("e1", "yes", 2))

    coverage = report(root)

    assert [day.labelled_rows for day in coverage.days] == [2, 0]
    assert (coverage.labelled_rows, coverage.unfit) == (2, 1)
    assert (coverage.days[0].labelled_requests, coverage.days[0].partly_labelled_requests) == (0, 1)
    labels = read_window(root, "flights", DAY, SIGNATURE, labels=Labels("label", "int64"))
    assert labels.labelled_count == coverage.labelled_rows - coverage.unfit


@pytest.mark.usefixtures("captured")
def test_how_late_labels_are_is_told_from_the_event_on(root: str) -> None:
    load(root, ("e0", "1"), after=timedelta(hours=2))
    load(root, ("e1", "1", 0), ("e1", "1", 1), ("e1", "1", 2), after=timedelta(days=2))
    load(root, ("e2", "1"), after=timedelta(hours=23))

    delay = report(root).delay_s

    assert delay is not None
    assert delay["median"] == delay["longest"] == 2 * 86_400
    # The label of e2 came an hour before its request.
    assert delay["p95"] == pytest.approx(2 * 86_400)


LABELS = st.lists(
    st.tuples(
        st.sampled_from(["e0", "e1", "i1", "e2", "nobody"]),
        st.sampled_from(["0", "1", "1.0", "x"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


@settings(max_examples=settings.default.max_examples // 5)
@given(portions=st.lists(LABELS, max_size=4))
def test_each_place_is_labelled_stray_or_for_nobody_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, portions: list[list[tuple[str, str, int]]]
) -> None:
    root = _house(tmp_path_factory)
    last: dict[tuple[str, int], str] = {}
    rank: dict[tuple[str, int], int] = {}
    for number, portion in enumerate(portions):
        load(root, *((key, label, row) for key, label, row in portion))
        for key, label, row in portion:
            last[key, row], rank[key, row] = label, number

    found = report(root)
    window = read_window(root, "flights", DAY, SIGNATURE, labels=Labels("late", "int64"))

    rows = {"e0": 1, "e1": 3, "i1": 3, "e2": 1, "nobody": 0}
    assert found.places == len(last)
    assert found.unmatched == sum(rows[key] == 0 for key, _ in last)
    assert found.stray == sum(0 < rows[key] <= row for key, row in last)
    expected = []
    for request, ids in (("e0", ("e0",)), ("e1", ("e1", "i1"))):
        for row in range(rows[request]):
            known = [(rank[one, row], last[one, row]) for one in ids if (one, row) in last]
            texts = {text for at, text in known if at == max(known)[0]}
            expected.append(texts)
    values = window.table()["late"].to_pylist()
    for value, texts in zip(values, expected, strict=True):
        typed = {None if text == "x" else int(float(text)) for text in texts} or {None}
        assert value in typed
    assert found.days[0].labelled_rows == sum(bool(texts) for texts in expected)


@settings(max_examples=settings.default.max_examples // 5)
@given(labels=LABELS, again=st.integers(1, 3), data=st.data())
def test_loads_that_are_repeated_or_cut_otherwise_say_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    labels: list[tuple[str, str, int]],
    again: int,
    data: st.DataObject,
) -> None:
    once, often = _house(tmp_path_factory), _house(tmp_path_factory)
    load(once, *labels)
    cut = data.draw(st.integers(0, len(labels)))
    # A part that comes again before the rest is as if it had come once.
    for _ in range(again):
        load(often, *labels[:cut])
    for _ in range(again):
        load(often, *labels[cut:])

    first, second = report(once), report(often)
    windows = [
        read_window(root, "flights", DAY, SIGNATURE, labels=Labels("late", "int64"))
        for root in (once, often)
    ]

    assert (first.places, first.unmatched, first.stray) == (
        second.places,
        second.unmatched,
        second.stray,
    )
    assert [day.labelled_rows for day in first.days] == [day.labelled_rows for day in second.days]
    assert first.unfit == second.unfit
    if not {"e1", "i1"} <= {key for key, _, _ in labels}:
        assert windows[0].table()["late"] == windows[1].table()["late"]
        assert windows[0].digest == windows[1].digest


_TEMPLATE: list[Path] = []


def _house(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a root of its own with three captured requests, a copy of one filled once."""

    if not _TEMPLATE:
        _TEMPLATE.append(_filled(tmp_path_factory.mktemp("template")))
    root = tmp_path_factory.mktemp("house") / "root"
    shutil.copytree(_TEMPLATE[0], root)
    return str(root)


def _filled(folder: Path) -> Path:
    writer = SpoolWriter(folder / "spool")
    record(writer, event_id="e0")
    record(writer, b"1,1,a\n2,2,b\n3,3,c", b"1,0.1\n0,0.2\n1,0.3", event_id="e1", inference_id="i1")
    record(writer, event_id="e2", at=NOON + timedelta(days=1))
    sink_all(folder / "root", folder / "spool", lambda _: SIGNATURE)
    return folder / "root"
