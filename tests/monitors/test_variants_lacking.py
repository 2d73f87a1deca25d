"""Variants of which one has no value in some of its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.errors import InputError
from tests.monitors.conftest import DAY, START

ROWS = 4_000


def measured(seed: int, *, blue: float = 0.0, green: float = 0.0, rows: int = ROWS) -> pd.DataFrame:
    """Values of two variants on ten days, each missing in a share of the rows."""
    random = np.random.default_rng(seed)
    variant = random.choice(["blue", "green"], rows)
    value = random.normal(size=rows)
    lacks = random.random(rows) < np.where(variant == "blue", blue, green)
    days = [START + int(one) * DAY for one in random.integers(0, 10, rows)]
    return pd.DataFrame({"variant": variant, "m": np.where(lacks, np.nan, value), "t": days})


def test_a_variant_that_has_no_value_in_its_worst_rows_does_not_win() -> None:
    frame = measured(1)
    hidden = (frame["variant"] == "green") & (frame["m"] < -0.5)
    frame.loc[hidden, "m"] = np.nan

    found = dl.compare(frame, metric="m", timestamp="t")

    count = int((frame["variant"] == "green").sum())
    assert [(one.variant, one.lacking) for one in found.variants] == [
        ("blue", 0), ("green", int(hidden.sum()))
    ]  # fmt: skip
    assert found.variants[1].rows + found.variants[1].lacking == count
    assert found.decision == "undecided"
    assert found.differences[0].low > 0  # It would have won.
    assert "rows): blue lacks it in 0% of its rows, green lacks it in" in found.summary


def test_answers_that_are_missing_are_told_from_labels_that_have_not_come() -> None:
    random = np.random.default_rng(2)
    variant = random.choice(["a", "b"], ROWS)
    y = random.normal(size=ROWS)
    frame = pd.DataFrame({"y": y, "said": y + random.normal(size=ROWS), "variant": variant})
    base = dl.Baseline.fit(frame[["y", "said"]], label="y", prediction="said")
    unlabelled = random.random(ROWS) < 0.5
    frame.loc[unlabelled, "y"] = np.nan
    calm = dl.compare(frame, base, metric="mae")
    frame.loc[(variant == "b") & (random.random(ROWS) < 0.3), "said"] = np.nan

    found = dl.compare(frame, base, metric="mae")

    assert not any(one.lacking for one in calm.variants)
    assert calm.left_out == unlabelled.sum()
    assert sum(one.rows + one.lacking for one in found.variants) == ROWS - unlabelled.sum()
    assert found.variants[0].lacking == 0
    assert "b lacks it in 29.4%" in found.differences[0].why_not


@pytest.mark.parametrize(
    "share",
    [pytest.param(0.002, marks=pytest.mark.full), 0.1, pytest.param(0.5, marks=pytest.mark.full)],
)
def test_values_that_lack_at_random_are_no_finding(share: float) -> None:
    frames = (measured(seed, blue=share, green=share, rows=1_000) for seed in range(10))
    found = [dl.compare(frame, metric="m", timestamp="t") for frame in frames]

    assert sum(bool(one.differences[0].why_not) for one in found) <= 2


def test_what_no_row_answers_is_one_sentence() -> None:
    frame = measured(7, blue=1.0, green=1.0)
    count = int((frame["variant"] == "blue").sum())

    with pytest.raises(InputError, match="0 variants with rows that have a value") as told:
        dl.compare(frame, metric="m")
    assert f'; none of {count:,} rows of "blue" has one; none of ' in str(told.value)

    frame = measured(8, green=1.0)
    with pytest.raises(InputError, match=r'1 variant .*"blue".*rows of "green" has one'):
        dl.compare(frame, metric="m")

    base = dl.Baseline.fit(pd.DataFrame({"y": [0, 1] * 500, "p": [0.2, 0.8] * 500}), label="y",
                           probability="p", positive="1")  # fmt: skip
    early = pd.DataFrame({"y": [None] * 100, "p": [0.3] * 100, "variant": ["a", "b"] * 50})
    with pytest.raises(InputError, match="no row has a label yet"):
        dl.compare(early, base, metric="accuracy")
