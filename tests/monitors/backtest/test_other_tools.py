"""The rules of others against numbers that the packages themselves gave, or worked out by hand.

The numbers of Evidently 0.7.23 (calculations/stattests) and NannyML 0.13.1
(UnivariateDriftCalculator, chunks of a day) were computed by these packages on the very data below.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.backtest.backtest import backtest
from driftline.monitors.backtest.fine_bins import FineBins, fine_bins_of
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.other_tools import (
    chi_squared_p,
    jensen_shannon,
    kolmogorov_p,
    largest_gap,
    two_shares_p,
    wasserstein,
)

REFERENCE = ((np.arange(2000) * 7919) % 2003) / 20.0
WINDOWS = [((np.arange(300) * 104729) % 2003) / 20.0 + shift for shift in (0.0, 5.0, 15.0)]
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EVIDENTLY_WASSERSTEIN = [0.06736452392018567, 0.10572230170456018, 0.4518751837811273]
EVIDENTLY_KS = [0.8008311590369365, 0.6082155906443986, 8.607058470036611e-05]


def fine_bins(values: np.ndarray) -> FineBins:
    profile = Baseline.fit(pa.table({"x": values})).profile
    assert profile is not None
    return fine_bins_of(profile, ["x"])["x"]


def laid(known: FineBins) -> tuple[np.ndarray, np.ndarray]:
    """Count the windows in the bins: rows and sums."""
    placed = [known.place(pa.array(window)) for window in WINDOWS]
    counts = [np.bincount(codes, minlength=known.size) for codes, _ in placed]
    sums = [np.bincount(codes, weights=values, minlength=known.size) for codes, values in placed]
    return np.array(counts, dtype=np.float64), np.array(sums)


def levels(*counts: int) -> np.ndarray:
    return np.array(counts, dtype=np.float64)


def days(rows: list[tuple[int, int, int]], first: int) -> pa.Table:
    """So many rows of "a", "b" and "c" on each day."""
    values = [name for row in rows for name, count in zip("abc", row, strict=True)
              for _ in range(count)]  # fmt: skip
    times = [START + (first + day) * DAY for day, row in enumerate(rows) for _ in range(sum(row))]
    return pa.table({"v": values, "at": pa.array(times, pa.timestamp("us", "UTC"))})


def test_wasserstein_over_the_deviation_is_evidentlys() -> None:
    known = fine_bins(REFERENCE)

    found = wasserstein(known, *laid(known)) / known.deviation

    # At a hundred points of the reference, where the two cross in between, it falls short.
    assert found == pytest.approx(EVIDENTLY_WASSERSTEIN, abs=1e-3)


def test_the_p_value_of_ks_is_evidentlys() -> None:
    known = fine_bins(REFERENCE[:800])

    found = kolmogorov_p(known, laid(known)[0])

    # scipy takes the exact law here; and the largest gap may lie between two of the points, which
    # matters least where it is large.
    assert found[:2] == pytest.approx(EVIDENTLY_KS[:2], abs=0.12)
    assert math.log10(found[2]) == pytest.approx(math.log10(EVIDENTLY_KS[2]), abs=0.3)


def test_the_distance_of_levels_is_evidentlys() -> None:
    windows = np.array([levels(150, 90, 60, 0), levels(120, 120, 60, 0), levels(145, 90, 60, 5)])

    found = jensen_shannon(levels(1000, 600, 400, 0), windows, base=math.e)

    assert found == pytest.approx([0.0, 0.07979472622921702, 0.07646470659895299], abs=1e-7)


def test_chi_squared_is_evidentlys() -> None:
    windows = np.array([levels(150, 90, 60), levels(120, 120, 60)])

    found = chi_squared_p(levels(400, 240, 160), windows)

    assert found == pytest.approx([1.0, 0.0003354626279025119], rel=1e-9)


def test_a_level_of_another_window_is_no_degree_of_freedom() -> None:
    windows = np.array([levels(120, 120, 60, 0), levels(145, 90, 60, 5)])

    found = chi_squared_p(levels(400, 240, 160, 0), windows)

    # The same window on its own, as above.
    assert found == pytest.approx([0.0003354626279025119, 0.0], rel=1e-9)


def test_an_unseen_level_is_impossible_by_chi_squared() -> None:
    found = chi_squared_p(levels(400, 240, 160, 0), np.array([levels(145, 90, 60, 5)]))

    assert found[0] == 0.0


def test_two_shares_are_tested_as_evidently_does() -> None:
    windows = np.array([levels(190, 110), levels(150, 150)])

    found = two_shares_p(levels(500, 300), windows)

    assert found == pytest.approx([0.799056581243843, 0.000173107646435966], rel=1e-9)


def test_the_alarms_of_nannyml_follow_from_its_own_distances() -> None:
    reference = [(50, 30, 20), (48, 32, 20), (52, 29, 19), (49, 30, 21), (51, 28, 21), (50, 31, 19)]
    analysed = [(50, 30, 20), (45, 35, 20), (40, 30, 30), (20, 30, 50)]
    rows = pa.concat_tables([days(reference, 0), days(analysed, 6)])
    options = BacktestOptions(against=("nannyml",), estimate=False)

    found = backtest(rows, timestamp="at", reference_until=START + 6 * DAY, options=options)

    # NannyML: 0, 0.048355, 0.106199, 0.309541 with the threshold at 0.033432.
    assert found.rules[1].alarms == ((), ("v",), ("v",), ("v",))
    totals = np.array(analysed, dtype=np.float64)
    distances = jensen_shannon(levels(300, 180, 120), totals, base=2.0)
    assert distances == pytest.approx([0.0, 0.048355, 0.106199, 0.309541], abs=1e-6)
    chunks = jensen_shannon(levels(300, 180, 120), np.array(reference, np.float64), base=2.0)
    assert chunks.mean() + 3 * chunks.std() == pytest.approx(0.033432, abs=1e-6)


def test_the_largest_gap_of_levels_and_numbers_by_hand() -> None:
    text = fine_bins_of(
        Baseline.fit(pa.table({"x": ["a"] * 50 + ["b"] * 50})).profile, ["x"]
    )["x"]  # fmt: skip
    codes, _ = text.place(pa.array(["a"] * 20 + ["b"] * 70 + ["c"] * 10))
    shares = np.bincount(codes, minlength=text.size)[None, :].astype(np.float64)
    number = fine_bins(np.repeat([1.0, 2.0, 3.0], [20, 30, 50]))
    moved, _ = number.place(pa.array(np.repeat([1.0, 2.0, 4.0], [10, 20, 70])))
    counts = np.bincount(moved, minlength=number.size)[None, :].astype(np.float64)

    # Shares: 0.5 to 0.2. Distributions: at 2 0.5 to 0.3, at 3 1 to 0.3.
    assert largest_gap(text, shares) == pytest.approx([0.3])
    assert largest_gap(number, counts) == pytest.approx([0.7])


def test_sagemakers_distance_begins_to_count_above_what_chance_adds() -> None:
    reference = days([(50, 50, 0)] * 10, 0)
    # 1.8 sqrt((1000 + 100) / 100000) = 0.189: a gap of 0.28 does not reach 0.1 beyond it, 0.3 does.
    rows = pa.concat_tables([reference, days([(22, 78, 0), (20, 80, 0)], 10)])
    options = BacktestOptions(against=("sagemaker",), estimate=False)

    found = backtest(rows, timestamp="at", reference_until=START + 10 * DAY, options=options)

    assert found.rules[1].alarms == ((), ("v",))
