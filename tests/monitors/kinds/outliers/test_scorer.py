"""The score of a row, by what it promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

import driftline as dl
from driftline.baseline.store import Baseline


def mixed(rows: int, seed: int) -> pd.DataFrame:
    """Numbers that hang together, a repeated number, gaps, and texts of all kinds."""
    random = np.random.default_rng(seed)
    both = random.multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]], rows)
    gaps = random.normal(size=rows)
    gaps[random.random(rows) < 0.1] = np.nan
    names = np.array([f"level {at}" for at in range(60)])
    return pd.DataFrame(
        {
            "one": both[:, 0],
            "two": both[:, 1],
            "heavy": random.standard_t(2, rows),
            "zeros": np.where(random.random(rows) < 0.6, 0.0, random.exponential(size=rows)),
            "count": random.poisson(2, rows),
            "gaps": gaps,
            "text": names[np.minimum(random.geometric(0.15, rows), 60) - 1],
            "flag": random.random(rows) < 0.2,
        }
    )


@pytest.fixture(scope="module")
def known() -> Baseline:
    return Baseline.fit(mixed(40_000, seed=4))


def test_rows_of_another_class_score_higher() -> None:
    data = load_breast_cancer(as_frame=True)
    benign, malignant = (data.data[data.target == one] for one in (1, 0))
    rows = pd.concat([benign[230:], malignant[:30]], ignore_index=True)

    found = dl.outlier_scores(rows, Baseline.fit(benign[:230]))

    # scikit-learn's LocalOutlierFactor on scaled columns has 0.94 here.
    is_malignant = np.arange(len(rows)) >= len(benign) - 230
    assert roc_auc_score(is_malignant, found.column("outlier_score").to_numpy()) > 0.9


def test_a_small_reference_is_not_mute() -> None:
    random = np.random.default_rng(3)
    mixing = random.normal(size=(5, 5))
    reference = Baseline.fit(pd.DataFrame(random.normal(size=(1_000, 5)) @ mixing))
    values = random.normal(size=(1_000, 5)) @ mixing
    values[:40] = random.uniform(values.min(axis=0), values.max(axis=0), (40, 5))

    frame = pd.DataFrame(values)
    is_odd = dl.outlier_scores(frame, reference).to_pandas()["is_outlier"]
    report = dl.check(frame, reference, kind="outliers")

    assert is_odd[:40].sum() >= 20
    assert is_odd[40:].sum() <= 40
    assert [one.constraint_check_type for one in report.violations] == ["outlier_share_check"]
    assert dl.check(frame[40:], reference, kind="outliers").passed


PLANTED = {
    "a number far out": {"heavy": 1e6},
    "a number below all": {"one": -40.0, "two": -40.0},
    "a pair that breaks its correlation": {"one": 2.5, "two": -2.5},
    "infinite": {"heavy": np.inf},
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_row_is_an_outlier_and_worse_than_all_others(
    known: Baseline, change: dict[str, float]
) -> None:
    frame = mixed(2_000, seed=6)
    for name, value in change.items():
        frame.loc[1_234, name] = value

    found = dl.outlier_scores(frame, known).to_pandas()

    assert found["outlier_score"].idxmax() == 1_234
    assert found["is_outlier"][1_234]


def test_missing_and_unfit_values_are_as_odd_as_they_are_rare() -> None:
    values: list[object] = [*np.random.default_rng(12).normal(size=990).tolist(), *[None] * 10]
    baseline = Baseline.fit(pd.DataFrame({"x": values}))

    found = dl.outlier_scores(pd.DataFrame({"x": ["1.5", None, "many"]}), baseline)

    # One row in a hundred; never, which is half a row of all; the cost is four looks, of a tenth of
    # all chance.
    expected = [np.log10(share * 0.1 / 4) for share in (100, 2_000)]
    assert found.column("outlier_score").to_pylist()[1:] == pytest.approx(expected, abs=1e-3)


def with_text(rows: int, seed: int) -> pd.DataFrame:
    """Two numbers that nearly sum to zero, a text and a number of two groups; no gaps."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    group = np.where(random.random(rows) < 0.5, -3.0, 3.0)
    return pd.DataFrame(
        {
            "x": x,
            "y": 0.1 * random.normal(size=rows) - x,
            "c": random.choice(list("abcd"), rows),
            "h": group + random.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def full() -> Baseline:
    return Baseline.fit(with_text(4_000, seed=20))


@pytest.mark.first(1)
@pytest.mark.parametrize("gone", ["x", "c", "h"])
def test_what_is_missing_says_nothing_of_the_other_columns(full: Baseline, gone: str) -> None:
    frame = with_text(2_000, seed=21)
    lacking = dl.check(frame.drop(columns=gone), full, kind="outliers")
    empty = dl.check(frame.assign(**{gone: None}), full, kind="outliers")

    assert lacking.passed
    assert not lacking.details["worst"]
    assert "1 could not be judged (not in the data)" in lacking.headline
    assert "each other one is looked at alone" in str(lacking.details["alone_note"])
    assert not empty.violations
    assert not empty.details["worst"]


@pytest.mark.first(1)
@pytest.mark.parametrize("value", ["new", None])
def test_a_text_never_seen_or_a_first_gap_is_as_odd_as_half_a_row(
    full: Baseline, value: str | None
) -> None:
    frame = with_text(2_000, seed=22)
    frame.loc[::50, "c"] = value

    scores = dl.outlier_scores(frame, full).to_pandas()["outlier_score"]

    assert scores[::50].max() <= np.log10(2 * 4_000)
    assert dl.check(frame, full, kind="outliers").passed
