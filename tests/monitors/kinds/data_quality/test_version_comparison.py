"""Two versions of a baseline compared: what changed, and that chance alone is no change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.kinds.data_quality.version_comparison import compare_versions


def frame(seed: int, rows: int = 4000) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "carrier": random.choice(["UA", "AA", "DL"], rows),
            "seats": random.integers(1, 9, rows),
            "temp": random.normal(55, 18, rows),
        }
    )


@pytest.fixture(scope="module")
def before():
    return Baseline.fit(frame(1))


def column(found, name):
    return next(one for one in found.columns if one.result.feature == name)


def test_versions_that_differ_by_chance_alone_have_not_changed(before):
    found = compare_versions(before, Baseline.fit(frame(2)))

    assert (found.changed, found.decided) == ((), True)
    assert found.summary == "no change in 3 columns beyond what chance explains"
    assert all(0 < one.result.bound < 1 for one in found.columns)


def test_a_change_is_told_with_its_distance_its_interval_and_the_levels(before):
    other = frame(2).assign(temp=lambda one: one["temp"] + 9)
    other["carrier"] = other["carrier"].replace("DL", "B6")

    found = compare_versions(before, Baseline.fit(other))
    temp, carrier = column(found, "temp"), column(found, "carrier")

    assert set(found.changed) == {"temp", "carrier"}
    assert {one.result.feature for one in found.columns[:2]} == {"temp", "carrier"}
    assert temp.result.distance > temp.result.bound > 0
    assert temp.result.share_low < temp.result.share_window < temp.result.share_high
    assert temp.result.wasserstein == pytest.approx(0.6, abs=0.15)
    assert (carrier.new_levels, carrier.gone_levels) == (("B6",), ("DL",))
    assert column(found, "seats").changes == ()


def test_columns_that_are_new_gone_or_of_another_type_have_changed(before):
    other = frame(2).assign(seats=lambda one: "s" + one["seats"].astype(str), gate="A")

    found = compare_versions(before, Baseline.fit(other.drop(columns="temp")))

    assert set(found.changed) == {"seats", "temp", "gate"}
    assert column(found, "seats").changes == ("int64 became string",)
    assert column(found, "seats").result.why == "another type"
    assert column(found, "temp").changes == ("the column is gone",)
    assert found.new_columns == ("gate",)
