"""Bias reads no more of the data than it counts, whatever form texts come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.kinds.bias.facet_counts import Tally, count_batches
from driftline.monitors.rows import Rows
from driftline.roles import Facet, Roles
from tests.monitors.kinds.bias.adult import people

FEMALE = Roles(label="income", prediction="predicted", positive="1", problem="binary")


def test_texts_that_a_file_holds_as_codes_stay_codes_and_other_columns_are_not_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(people(), path)
    source = open_source(path)

    batches = list(Rows(source.batches, source.parts).read(["sex", "predicted", "nowhere"]))

    assert {tuple(batch.schema.names) for batch in batches} == {("sex", "predicted")}
    assert all(pa.types.is_dictionary(batch.column("sex").type) for batch in batches)


def test_a_parquet_file_gives_the_report_of_its_rows_in_memory(
    reference: Baseline, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(people(), path, row_group_size=1_000)

    of_file, of_rows = (dl.check(one, reference, kind="bias") for one in (path, people()))

    assert of_file.documents() == of_rows.documents()


def test_values_of_a_dictionary_that_no_row_has_are_none() -> None:
    codes = pa.array([0, 2, None, 3], pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, ["f", "never", "", "m"])
    batch = pa.record_batch({"sex": column, "income": [1, 0, 1, 1], "predicted": [1, 1, 0, 1]})

    found, rows = count_batches([batch], FEMALE, [Facet("sex")])

    assert rows == 4
    assert found[Facet("sex")].values == ("f", "m")
    assert found[Facet("sex")].missing_count == 2


def counted(column: pa.Array) -> Tally:
    answers = np.arange(len(column)) % 2
    batch = pa.record_batch({"g": column, "income": answers, "predicted": answers})
    return count_batches([batch], FEMALE, [Facet("g")])[0][Facet("g")]


def test_whole_numbers_near_each_other_count_as_their_texts_do() -> None:
    numbers = [-3, 0, None, 7, 7, 4_000]

    near = counted(pa.array(numbers))
    far = counted(pa.array([*numbers, 1 << 40]).slice(0, 6))
    texts = counted(pa.array([None if one is None else str(one) for one in numbers]))

    assert near.values == far.values == texts.values == ("-3", "0", "4000", "7")
    assert (near.counts == texts.counts).all()
    assert (far.counts == texts.counts).all()


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64()])
def test_whole_numbers_at_the_ends_of_their_type_are_counted(kind: pa.DataType) -> None:
    least = {pa.int8(): -128, pa.int64(): (1 << 63) - 3, pa.uint64(): (1 << 64) - 5}[kind]
    most = {pa.int8(): 127, pa.int64(): (1 << 63) - 1, pa.uint64(): (1 << 64) - 1}[kind]

    found = counted(pa.array([most, least, None, most], kind))

    assert found.missing_count == 1
    assert found.counts.sum() == 4
    assert len(found.values) <= 2


def test_a_window_spans_the_times_that_its_rows_have() -> None:
    people_of_days = people().slice(0, 3_000)
    at = pa.array(np.arange(3_000) * 86_400_000_000 * 14 // 3_000, pa.timestamp("us", "UTC"))
    timed = people_of_days.append_column("at", at)
    baseline = dl.Baseline.fit(
        timed, label="income", prediction="predicted", positive="1", facet="sex", timestamp="at"
    )
    lacking = pa.array([None, *at[1:]], at.type)
    gaps = people_of_days.append_column("at", lacking)

    known, found = (dl.check(one, baseline, kind="bias") for one in (timed, gaps))

    assert "times_note" not in known.details
    assert found.details["times_note"].startswith('1 of 3,000 rows has no time ("at")')
    # Of a length that nobody knows days of the reference would be the yardstick.
    bounds = [[(m.shown, m.bound) for m in one.metrics] for one in (known, found)]
    assert bounds[0] == bounds[1]
    assert any(bound is not None for _, bound in bounds[0])


def test_few_times_tell_neither_a_windows_length_nor_days_of_the_reference() -> None:
    people_of_days = people().slice(0, 3_000)
    at = (np.arange(3_000) * 86_400_000_000 * 14 // 3_000).tolist()
    roles = {"label": "income", "prediction": "predicted", "positive": "1", "facet": "sex"}

    def of_times(known: set[int]) -> pa.Table:
        times = [one if row in known else None for row, one in enumerate(at)]
        return people_of_days.append_column("at", pa.array(times, pa.timestamp("us", "UTC")))

    timed, few, none = (of_times(one) for one in (set(range(3_000)), {7, 8, 9}, set()))
    whole, thin = (dl.Baseline.fit(one, timestamp="at", **roles) for one in (timed, few))

    found, never = (dl.check(one, whole, kind="bias") for one in (few, none))

    assert [(m.shown, m.bound) for m in found.metrics] == [
        (m.shown, m.bound) for m in never.metrics
    ]
    assert found.details["times_note"].endswith(
        "too few of the window have one to know its length: they are held beside days of the "
        "reference"
    )
    assert (
        dl.check(timed, thin, kind="bias")
        .details["times_note"]
        .endswith(
            "too few of the reference have one to know how days differ: no bound allows for it"
        )
    )
