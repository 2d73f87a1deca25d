"""Ground truth: the last label of a row counts, late ones change the digest, equal ones do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from driftline.capture.labels.labels import LabelCounts, label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.windows.window import Labels, Window, WindowRead, read_window
from driftline.errors import InputError
from driftline.signature import ColumnType, Signature
from tests.together import together

Drain = Callable[..., Sink]
Write = Callable[..., bool]
NOON = datetime(2013, 1, 15, 12, tzinfo=UTC)
DAY = Window(datetime(2013, 1, 15, tzinfo=UTC), datetime(2013, 1, 16, tzinfo=UTC))
LATE = Labels("late", "int64")


def load(root: str, *rows: tuple[Any, ...], at: datetime = NOON + timedelta(days=3)) -> LabelCounts:
    """Store labels given as id, label and, if one likes, the row."""
    filled = [(*row, 0)[:3] for row in rows]
    keys, labels, index = ([row[at] for row in filled] for at in range(3))
    table = pa.table(
        {"key": keys, "row_index": pa.array(index, pa.int32()), "label": pa.array(labels)}
    )
    return put(root, "flights", table, lambda: at)


def labelled(root: str, signature: Signature, kind: ColumnType = "int64") -> WindowRead:
    return read_window(root, "flights", DAY, signature, labels=Labels("late", kind))


def values(root: str, signature: Signature, kind: ColumnType = "int64") -> list[Any]:
    return labelled(root, signature, kind).table()["late"].to_pylist()


@pytest.fixture
def three(spool_dir: Path, write: Write, drain: Drain) -> SpoolWriter:
    """Store three requests, e0 to e2, of one row each; e1 has the inference id i1."""
    writer = SpoolWriter(spool_dir)
    for number in range(3):
        meta = {"inference_id": "i1"} if number == 1 else {}
        at = NOON + timedelta(minutes=number)
        write(writer, b"%d,1,a" % number, event_id=f"e{number}", at=at, **meta)
    drain()
    return writer


@pytest.mark.usefixtures("three")
def test_labels_are_found_by_event_id_and_by_inference_id(root: str, signature: Signature) -> None:
    counts = load(root, ("e0", "1"), ("i1", "0"), ("nobody", "1"))

    read = labelled(root, signature)

    assert counts == LabelCounts(received=3, stored=3, duplicates=0, empty=0)
    assert read.table()["late"].to_pylist() == [1, 0, None]
    assert read.schema.names[-2:] == ["late", "unfit"]
    assert (read.row_count, read.labelled_count) == (3, 2)


@pytest.mark.usefixtures("three")
def test_without_labels_nothing_changes_for_the_reader(root: str, signature: Signature) -> None:
    plain = read_window(root, "flights", DAY, signature)
    nothing_known = labelled(root, signature)
    load(root, ("e0", "1"))

    after = read_window(root, "flights", DAY, signature)

    assert plain.digest == after.digest == nothing_known.digest
    assert plain.schema == after.schema
    assert "late" not in plain.schema.names
    assert nothing_known.table()["late"].to_pylist() == [None, None, None]
    assert plain.labelled_count == nothing_known.labelled_count == 0


@pytest.mark.usefixtures("three")
def test_a_label_stands_where_the_columns_name_it(root: str, signature: Signature) -> None:
    load(root, ("e2", "1"))

    read = read_window(
        root, "flights", DAY, signature, columns=["event_id", "late", "temp"], labels=LATE
    )

    assert read.schema.names == ["event_id", "late", "temp", "unfit"]
    assert read.table()["late"].to_pylist() == [None, None, 1]


@pytest.mark.usefixtures("three")
def test_the_label_received_last_wins_by_whatever_id(root: str, signature: Signature) -> None:
    first, second = NOON + timedelta(days=1), NOON + timedelta(days=2)
    load(root, ("e0", "0"), ("i1", "0"), at=second)
    load(root, ("e0", "1"), ("e1", "1"), at=first)
    assert values(root, signature) == [0, 0, None]

    load(root, ("e1", "1"), at=second)

    assert values(root, signature) == [0, 1, None]


@pytest.mark.usefixtures("three")
def test_late_labels_change_the_digest_and_equal_ones_do_not(
    root: str, signature: Signature
) -> None:
    digests = [labelled(root, signature).digest]
    for portion in ([("e0", "1")], [("e1", "0")], [("i1", "1")], [("e0", "1.0"), ("e1", "1")]):
        load(root, *portion)
        digests.append(labelled(root, signature).digest)

    assert len(set(digests[:4])) == 4
    assert digests[4] == digests[3]
    assert labelled(root, signature, "double").digest != digests[4]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("kind", "texts", "expected", "unfit"),
    [
        ("int64", ["1", "1.0", " 1 "], [1, 1, 1], 0),
        ("int64", ["True", "false", "1.5"], [1, 0, None], 1),
        ("double", ["1", "1e-3", "many"], [1.0, 0.001, None], 1),
        ("bool", ["1.0", "FALSE", "2"], [True, False, None], 1),
        ("string", ["1", "1.0", "EWR"], ["1", "1.0", "EWR"], 0),
        ("timestamp", ["2013-01-15", "2013-02-30", "soon"], [DAY.start, None, None], 2),
    ],
)
def test_labels_have_the_type_of_the_reference_and_are_never_guessed(
    root: str,
    signature: Signature,
    kind: ColumnType,
    texts: list[str],
    expected: list[Any],
    unfit: int,
) -> None:
    load(root, *((f"e{row}", text) for row, text in enumerate(texts)))

    read = labelled(root, signature, kind)

    assert read.table()["late"].to_pylist() == expected
    assert (read.labelled_count, read.unfit_label_count) == (3 - unfit, unfit)


def test_rows_of_one_request_have_labels_of_their_own(
    root: str, spool_dir: Path, write: Write, drain: Drain, signature: Signature
) -> None:
    write(SpoolWriter(spool_dir), b"1,1,a\n2,2,b\n3,3,c", b"1,1\n1,1\n1,1", event_id="e0")
    drain()
    load(root, ("e0", "1", 2), ("e0", "0", 0), ("e0", "1", 7))

    read = labelled(root, signature)

    assert read.table()["late"].to_pylist() == [0, None, 1]
    assert (read.labelled_count, read.stray_label_count) == (2, 1)
    assert read.stray_label_ids == ("e0",)


def test_all_requests_with_one_inference_id_get_its_label(
    root: str, spool_dir: Path, write: Write, drain: Drain, signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(3):
        write(writer, inference_id="again")
    drain()

    load(root, ("again", "1"))

    assert values(root, signature) == [1, 1, 1]


@pytest.mark.parametrize(("kind", "value"), [("int64", 1), ("double", 1.0), ("string", None)])
def test_a_number_written_in_two_ways_is_no_contradiction(
    root: str, spool_dir: Path, write: Write, drain: Drain, signature: Signature,
    kind: ColumnType, value: object,
) -> None:  # fmt: skip
    writer = SpoolWriter(spool_dir)
    for name in ("again", "again", "words", "words"):
        write(writer, inference_id=name)
    drain()

    load(root, ("again", "1"), ("again", "1.0"), ("words", "1"), ("words", "one"))

    assert values(root, signature, kind) == [value, value, None, None]


def test_labels_that_one_load_contradicts_for_an_id_of_several_requests_are_of_none(
    root: str, spool_dir: Path, write: Write, drain: Drain, signature: Signature
) -> None:
    """Which of them is whose, nobody knows; a later load of one label says what all have."""
    writer = SpoolWriter(spool_dir)
    for name in ("again", "again", "once", "agreed", "agreed"):
        write(writer, inference_id=name)
    drain()
    load(root, ("again", "0"), ("again", "1"), ("once", "0"), ("once", "1"))
    load(root, ("agreed", "1"), ("agreed", "1"))

    read = labelled(root, signature)
    load(root, ("again", "0"))
    corrected = labelled(root, signature)

    assert read.table()["late"].to_pylist() == [None, None, 1, 1, 1]
    assert (read.labelled_count, read.disputed_label_count, read.unfit_label_count) == (3, 2, 0)
    assert corrected.table()["late"].to_pylist() == [0, 0, 1, 1, 1]
    assert corrected.disputed_label_count == 0
    assert corrected.digest != read.digest


def test_the_digest_does_not_depend_on_files_and_loads(
    tmp_path: Path, root: str, spool_dir: Path, write: Write, drain: Drain, signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(40):
        write(writer, event_id=f"e{number}", at=NOON + timedelta(minutes=number))
    drain()
    (tmp_path / "other" / "capture").mkdir(parents=True)
    (tmp_path / "other" / "capture" / "flights").symlink_to(f"{root}/capture/flights")
    labels = [(f"e{number}", str(number % 2)) for number in range(0, 40, 3)]

    load(root, *labels)
    for label in reversed(labels):
        load(str(tmp_path / "other"), label)

    one, many = labelled(root, signature), labelled(str(tmp_path / "other"), signature)
    assert one.digest == many.digest
    assert one.table() == many.table()


def test_loads_at_the_same_time_all_arrive_in_some_order(root: str) -> None:
    def many(first: int) -> None:
        for number in range(first, first + 5):
            load(root, (f"e{number}", "1"))

    together(*(partial(many, 5 * one) for one in range(4)))

    data = label_folder(root, "flights").open()
    assert data is not None
    rows = data.to_table()
    assert sorted(rows["load_number"].to_pylist()) == list(range(1, 21))
    assert len(set(rows["key"].to_pylist())) == 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("", "1"), "no id; expected an event id or inference id"),
        ((None, "1"), "no id"),
        (("e0", "1", -1), "row_index -1; expected the row in the request, from 0"),
    ],
)
def test_a_load_with_a_label_of_nothing_is_refused_whole(
    root: str, row: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(root, ("e1", "1"), row)

    assert label_folder(root, "flights").table is None
