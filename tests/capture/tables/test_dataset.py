"""The table: rows and watermarks in one commit, columns only added, files either whole or gone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.records import Records
from driftline.capture.tables.dataset import (
    Dataset,
    Gap,
    gap_folder,
    read_gaps,
    record_gaps,
    table_schema,
)
from driftline.capture.tables.delta_log import read_watermarks
from driftline.capture.tables.rows import build_rows
from driftline.capture.tables.table import WatermarkMovedError
from driftline.errors import InputError
from driftline.signature import Column, Signature
from tests.capture.counts import counted

DAY_NS = 86_400 * 10**9
SPOOL = "01890000-0000-7000-8000-000000000001"


def rows(signature: Signature, *seqs: int, spool: str = SPOOL) -> pa.Table:
    meta = {"request_content_type": "text/csv", "response_content_type": "text/csv"}
    records = [
        (
            spool,
            Frame(
                Kind.RECORD, 0, seq, seq * DAY_NS, 0, 0, 5, 8, 6, 200, meta, b"1.5,3,UA", b"1,0.25"
            ),
        )
        for seq in seqs
    ]  # fmt: skip
    return build_rows(Records.of(records), signature).rows


def test_the_columns_are_those_of_the_contract(signature: Signature) -> None:
    assert table_schema(signature).names == [
        "event_id", "row_index", "inference_id", "variant", "model", "event_time", "arrival_time",
        "status", "latency_us", "flags", "request_content_type", "response_content_type",
        "request_bytes", "response_bytes", "request_body", "response_body", "custom_attributes",
        "headers", "parse_error", "spool_id", "spool_seq", "sampling_rate", "signature_digest",
        "feature_temp", "feature_dep_delay", "feature_carrier", "prediction", "probability",
        "unfit", "event_date",
    ]  # fmt: skip


def test_rows_and_marks_come_together(root: str, signature: Signature) -> None:
    dataset = Dataset(root, "flights")

    assert dataset.table is None
    assert dataset.append(rows(signature, 1, 2, 3), {SPOOL: 3}) == 3

    assert read_watermarks(Dataset(root, "flights")).stored == {SPOOL: 3}
    assert counted(root, "flights").rows == 3


def test_a_mark_that_is_there_already_is_refused(root: str, signature: Signature) -> None:
    Dataset(root, "flights").append(rows(signature, 1, 2), {SPOOL: 2})

    with pytest.raises(WatermarkMovedError):
        Dataset(root, "flights").append(rows(signature, 1, 2), {SPOOL: 2})

    assert counted(root, "flights").rows == 2


def test_a_second_sink_that_looked_earlier_is_fenced_off(root: str, signature: Signature) -> None:
    Dataset(root, "flights").append(rows(signature, 1), {SPOOL: 1})
    slow, quick = Dataset(root, "flights"), Dataset(root, "flights")
    assert slow.watermark(SPOOL) == quick.watermark(SPOOL) == 1

    quick.append(rows(signature, 2), {SPOOL: 2})
    with pytest.raises(WatermarkMovedError):
        slow.append(rows(signature, 2), {SPOOL: 2})

    files = list(Path(root, "capture/flights").rglob("*.parquet"))
    assert len(files) == 2
    assert slow.watermark(SPOOL) == 2


def test_sinks_of_different_spools_do_not_disturb_each_other(
    root: str, signature: Signature
) -> None:
    Dataset(root, "flights").append(rows(signature, 1), {SPOOL: 1})
    other = SPOOL.replace("1890", "1891")
    first, second = Dataset(root, "flights"), Dataset(root, "flights")
    assert first.watermark(SPOOL) + second.watermark(SPOOL) == 2

    first.append(rows(signature, 2), {SPOOL: 2})
    second.append(rows(signature, 1, spool=other), {other: 1})

    assert read_watermarks(Dataset(root, "flights")).stored == {SPOOL: 2, other: 1}


@pytest.mark.parametrize("own", [["feature_new"], ["feature_new", "feature_own"]])
def test_writers_that_add_columns_at_the_same_moment_both_store_their_rows(
    root: str, signature: Signature, own: list[str]
) -> None:
    def widened(*names: str) -> Signature:
        more = tuple(Column(name, name, "double") for name in names)
        return replace(signature, features=(*signature.features, *more))

    first, second = Dataset(root, "flights", writer="a"), Dataset(root, "flights", writer="b")
    first.append(rows(signature, 1), {SPOOL: 1})
    other = SPOOL.replace("1", "2")
    assert second.watermark(other) == 0  # It has looked at the table.
    first.append(rows(widened("feature_new"), 2), {SPOOL: 2})

    second.append(rows(widened(*own), 1, spool=other), {other: 1})

    stored = DeltaTable(second.uri).to_pyarrow_table()
    assert stored.num_rows == 3
    assert set(own) <= set(stored.column_names)


def test_a_changed_type_keeps_the_old_column(root: str, signature: Signature) -> None:
    Dataset(root, "flights").append(rows(signature, 1), {SPOOL: 1})
    changed = replace(signature, features=(replace(signature.features[0], type="string"),))

    settled = Dataset(root, "flights").settle(changed)

    assert settled is not None
    assert settled.features[0].type == "double"


def test_sweeping_removes_only_own_files_that_no_commit_knows(
    root: str, signature: Signature
) -> None:
    dataset = Dataset(root, "flights", writer="mine")
    dataset.append(rows(signature, 1), {SPOOL: 1})
    folder = Path(root, "capture/flights/event_date=1970-01-02")
    (folder / "mine-orphan.parquet").write_bytes(b"x")
    (folder / ".mine-half.parquet").write_bytes(b"x")
    (folder / "other-orphan.parquet").write_bytes(b"x")

    assert dataset.sweep() == 2

    assert {path.name.split("-")[0] for path in folder.iterdir()} == {"mine", "other"}
    assert counted(root, "flights").rows == 1


def test_an_unknown_kind_of_root_is_an_input_error() -> None:
    with pytest.raises(InputError, match="expected a folder, or a URI"):
        Dataset("gopher://x", "flights")


def test_stats_count_requests_rows_failures_and_gaps(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., object]
) -> None:
    from driftline.capture.spool.writer import SpoolWriter

    writer = SpoolWriter(spool_dir)
    write(writer, b"1,1,a\n2,2,b", b"1,0.5\n0,0.5", at=datetime(2013, 1, 15, tzinfo=UTC))
    write(writer, b"bad", at=datetime(2013, 1, 16, tzinfo=UTC))
    write(writer, b"1,1,a", status=503, at=datetime(2013, 1, 17, tzinfo=UTC))
    writer.count_drop("full", "flights")
    writer.count_drop("full", "another")
    write(writer, b"3,3,c")
    drain()

    stats = counted(root, "flights")

    assert (stats.requests, stats.rows, stats.failed) == (4, 5, 1)
    assert sum(stats.unparsed.values()) == 1
    assert stats.dropped == {"full": 1}
    assert [gap.endpoint for gap in stats.gaps] == ["flights"]
    assert stats.oldest == datetime(2013, 1, 15, tzinfo=UTC)
    assert stats.newest == datetime(2013, 1, 17, tzinfo=UTC)
    assert list(stats.spools.values()) == [6]
    assert stats.size_bytes == sum(
        path.stat().st_size for path in Path(root, "capture/flights").rglob("*.parquet")
    )


def test_gaps_are_recorded_once(root: str) -> None:
    gaps = [
        Gap(SPOOL, 4, "flights", "full", 7, 70, datetime(2013, 1, 1, tzinfo=UTC), None),
        Gap(SPOOL, 9, "", "power_loss", None, 0, None, None),
    ]

    assert record_gaps(gap_folder(root), gaps[:1]) == 1
    assert record_gaps(gap_folder(root), gaps) == 1
    assert record_gaps(gap_folder(root), gaps) == 0

    assert read_gaps(root) == gaps


def test_writers_that_make_the_table_at_the_same_moment_share_it(
    root: str, signature: Signature
) -> None:
    def write(number: int) -> int:
        spool = f"01890000-0000-7000-8000-00000000000{number % 4}"
        dataset = Dataset(f"{root}/{number // 4}", "flights")
        return dataset.append(rows(signature, 1, spool=spool), {spool: 1})

    with ThreadPoolExecutor(4) as writers:
        assert list(writers.map(write, range(40))) == [1] * 40

    assert [counted(f"{root}/{place}", "flights").rows for place in range(10)] == [4] * 10
