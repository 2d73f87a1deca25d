"""A table whose times are by a local clock: its rows lie in the hours that they happened in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from tests.kit.data import ORDERS, stream
from tests.kit.installation import Installation

ZONE = "Europe/Berlin"


def orders(first: str, last: str) -> pd.DataFrame:
    """Return an order every five minutes from one local day to another, by the local clock."""
    times = pd.date_range(first, last, freq="5min", inclusive="left", tz=ZONE)
    clock = times.tz_localize(None)
    return stream(ORDERS, rows=len(times)).assign(at=clock)


def as_text(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(at=rows["at"].dt.strftime("%Y-%m-%d %H:%M:%S"))


def write_arrow(rows: pd.DataFrame, path: Path) -> None:
    pyarrow.feather.write_feather(pa.Table.from_pandas(rows, preserve_index=False), path)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda rows, path: as_text(rows).to_csv(path, index=False),
    "jsonl": lambda rows, path: as_text(rows).to_json(path, orient="records", lines=True),
    "arrow": write_arrow,
    "parquet": lambda rows, path: rows.to_parquet(path, index=False),
}
FURTHER = "jsonl", "arrow", "parquet"


@pytest.fixture(scope="module")
def shop(installation: Installation) -> Installation:
    """Declare a monitor for each format of the same table."""
    folder = installation.folder
    as_text(orders("2026-01-01", "2026-01-08")).to_csv(folder / "train.csv", index=False)
    resources = [
        {
            "kind": "Baseline",
            "name": "shop",
            "spec": {"data": f"{folder}/train.csv", "timestamp": "at"},
        }
    ]
    for name, write in WRITERS.items():
        (folder / name).mkdir()
        write(orders("2026-03-28", "2026-03-31"), folder / name / f"spring.{name}")
        write(orders("2026-10-24", "2026-10-27"), folder / name / f"autumn.{name}")
        source = {"path": f"{folder}/{name}", "timestamp": "at", "time_zone": ZONE}
        spec = {"source": source, "baseline": "shop", "schedule": "external"}
        resources.append({"kind": "Monitor", "name": name, "spec": spec})
    installation.apply(*resources)
    return installation


@pytest.mark.parametrize(
    "name", ["csv", *(pytest.param(one, marks=pytest.mark.full) for one in FURTHER)]
)
def test_local_days_have_their_rows_also_where_clocks_are_changed(
    shop: Installation, name: str
) -> None:
    days = ("2026-03-29", "2026-10-25", "2026-10-26")

    found = {day: rows_of(shop, name, day, 24) for day in days}

    assert found == {"2026-03-29": 276, "2026-10-25": 300, "2026-10-26": 288}


@pytest.mark.parametrize("name", ["csv", pytest.param("parquet", marks=pytest.mark.full)])
def test_an_hour_has_the_rows_of_the_local_clock(shop: Installation, name: str) -> None:
    # From midnight on, local time, there are rows; before the first file there are none.
    assert rows_of(shop, name, "2026-03-28", 1) == 12
    assert rows_of(shop, name, "2026-03-27T23:00", 1) == 0


def rows_of(shop: Installation, monitor: str, first: str, hours: int) -> int:
    """Run a monitor on a local day, or on some hours of it; return how many rows it saw."""
    start = pd.Timestamp(first, tz=ZONE)
    end = start + pd.Timedelta(hours=hours) if hours < 24 else start + pd.DateOffset(days=1)
    window = ("--from", start.isoformat(), "--to", end.isoformat())
    found = shop.cli("monitor", "run", monitor, *window, "--json")
    return int(json.loads(found.stdout)["row_count"])
