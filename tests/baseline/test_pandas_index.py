"""The index of a pandas frame: a column where it has a name, at every door, and none elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

import driftline as dl
from tests.kit.data import ORDERS, stream

FEATURES = ["km", "rain_mm", "items", "city"]


def arrow(rows: pd.DataFrame, path: Path) -> None:
    pyarrow.feather.write_feather(pa.Table.from_pandas(rows), path)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda rows, path: rows.to_csv(path),
    "parquet": lambda rows, path: rows.to_parquet(path),
    "arrow": arrow,
}


def doors(rows: pd.DataFrame, folder: Path) -> dict[str, object]:
    """Return the same rows as each form of data that holds an index, or may."""
    files = {name: folder / f"rows.{name}" for name in WRITERS}
    for name, write in WRITERS.items():
        write(rows, files[name])
    table = pa.Table.from_pandas(rows)
    return {**files, "frame": rows, "table": table, "reader": table.to_reader()}


def orders(seed: int, names: list[str | None]) -> pd.DataFrame:
    """Return orders with an index of texts; of two levels where two names are given."""
    rows = stream(ORDERS, rows=1_500, seed=seed)
    shops = pd.Index([("north", "south")[number % 2] for number in range(len(rows))])
    parts = pd.Index([f"part {number % 7}" for number in range(len(rows))])
    rows.index = pd.MultiIndex.from_arrays([shops, parts][: len(names)]).set_names(names)
    return rows if len(names) > 1 else rows.set_index(shops.set_names(names))


@pytest.mark.parametrize(
    ("names", "columns"),
    [(["shop"], ["shop"]), (["shop", "part"], ["shop", "part"]), ([None], [])],
    ids=["a name", "two names", "no name"],
)
def test_an_index_is_a_column_at_every_door_where_it_has_a_name(
    tmp_path: Path, names: list[str | None], columns: list[str]
) -> None:
    baseline = dl.Baseline.fit(orders(1, names))

    found = {
        door: dl.check(data, baseline) for door, data in doors(orders(2, names), tmp_path).items()
    }

    assert sorted(one.name for one in baseline.signature.features) == sorted([*FEATURES, *columns])
    assert {door: result.passed for door, result in found.items()} == dict.fromkeys(found, True)
    assert not any(result.violations for result in found.values())


def test_a_column_of_the_same_name_counts_and_not_the_index(tmp_path: Path) -> None:
    rows = stream(ORDERS, rows=1_500)
    rows = rows.set_index("city", drop=False)
    rows.to_parquet(tmp_path / "rows.parquet")

    for data in (rows, tmp_path / "rows.parquet"):
        names = [one.name for one in dl.Baseline.fit(data).signature.features]
        assert names == FEATURES
