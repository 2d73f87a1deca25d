"""A column that says where a row comes from is not judged, but has to stay one."""

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check

ROWS = 400
DAYS = [f"2026-11-{day:02}" for day in range(1, 11)]
BATCHES = [f"load_{day.replace('-', '')}.a" for day in DAYS]
NUMBERS = [int(day.replace("-", "")) for day in DAYS]


def night(values: list[object], name: str = "ds", *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=ROWS), name: [*values] * (ROWS // len(values))})


def origin_violations(reference: list[object], window: list[object], name: str) -> list[str]:
    baseline = Baseline.fit(night(reference, name, seed=1))
    assert baseline.signature.get(name).unjudged is not None
    report = check(night(window, name, seed=2), baseline)
    assert {one.feature_name for one in report.violations} <= {name}
    return [one.cause for one in report.violations]


@pytest.mark.parametrize(
    ("reference", "window", "name", "said"),
    [
        (DAYS, ["yesterday"], "ds", '100% of values no day or time ("yesterday")'),
        (DAYS, ["2026-11-11", "unknown"], "ds", '50% of values no day or time ("unknown")'),
        (NUMBERS, [20261111, 7], "ds", '50% of values no day or time ("7")'),
        (BATCHES, ["load_today.a"], "batch", '100% of values no name of a batch ("load_today.a")'),
        (["b17"], ["none", "b18"], "batch_id", '50% of values no name of a batch ("none")'),
        (["a.csv"], ["?", "b.csv"], "origin", '50% of values no name of a file ("?")'),
    ],
)
def test_an_unjudged_column_that_stops_holding_days_or_batches_is_a_violation(
    reference, window, name, said
) -> None:
    causes = origin_violations(reference, window, name)

    assert len(causes) == 1
    assert said in causes[0]


@pytest.mark.parametrize(
    ("reference", "window", "name"),
    [
        (DAYS, ["2026-11-11"], "ds"),
        (DAYS, ["2026-11-11T05:00:00Z"], "ds"),
        (NUMBERS, [20261111], "ds"),
        (BATCHES, ["load_20261111.a"], "batch"),
        (["b17"], ["b18"], "batch_id"),
        (["a.csv"], ["b.csv"], "origin"),
    ],
)
def test_a_clean_next_night_of_an_unjudged_column_is_quiet(reference, window, name) -> None:
    assert origin_violations(reference, window, name) == []


@pytest.mark.parametrize(
    ("reference", "name", "roles"),
    [
        (DAYS, "ds", {}),
        (["b17"], "batch_id", {}),
        (["a.csv"], "origin", {}),
        (range(ROWS), "order_no", {}),
        (range(ROWS), "key", {"id": "key"}),
    ],
)
def test_a_column_of_keys_or_origins_that_comes_empty_pages(reference, name, roles) -> None:
    baseline = Baseline.fit(night(reference, name, seed=1), **roles)

    (violation,) = check(night([None], name, seed=2), baseline).violations
    few = check(night([None], name, seed=2).head(1), baseline)

    assert (violation.constraint_check_type, violation.severity) == ("completeness_check", "page")
    assert few.page_count == 0


SHUFFLED = np.random.default_rng(3).permutation(ROWS)


def numbered(numbers: np.ndarray, seed: int) -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(seed).normal(size=ROWS), "order_no": numbers})


@pytest.mark.parametrize(
    "numbers",
    [
        10_000_000 + np.arange(ROWS),
        np.cumsum(np.random.default_rng(4).integers(1, 90, ROWS)),
        10_000_000 + SHUFFLED,
    ],
)
def test_whole_numbers_that_only_grow_are_not_judged(numbers) -> None:
    baseline = Baseline.fit(numbered(numbers, 1))

    report = check(numbered(numbers + numbers.max(), 2), baseline)

    assert report.violations == ()
    assert "order_no (its whole numbers only grow" in report.details["unjudged_note"]
