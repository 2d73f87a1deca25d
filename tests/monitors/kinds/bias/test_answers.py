"""The kind "bias": answers on another scale than the reference's, and labels of another type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from tests.monitors.kinds.bias.cases import with_column


def test_scores_in_percent_are_named_where_they_make_the_answer() -> None:
    def scored(seed: int, factor: float) -> pa.Table:
        rng = np.random.default_rng(seed)
        score = factor * rng.uniform(size=4_000)
        return pa.table({"sex": rng.choice(["F", "M"], 4_000), "score": score})

    baseline = Baseline.fit(
        scored(1, 1.0), probability="score", positive=1, problem="binary", facet="sex=F"
    )
    report = dl.check(scored(2, 100.0), baseline, kind="bias")

    words = "on another scale (3,958 rows outside 0 to 1)"
    assert words in report.details["answers_note"] and words in report.cause


def skewed(seed: int, form: Callable[[np.ndarray], np.ndarray]) -> pa.Table:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], 4_000)
    score = 1 / (1 + np.exp(-rng.normal(np.where(sex == "F", -0.5, 0.5), 1.5)))
    return pa.table({"sex": sex, "score": form(score)})


@pytest.mark.parametrize("has_features", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        lambda chance: np.log(chance / (1 - chance)),
        lambda chance: 100 * chance,
        lambda chance: 30 * np.log(chance / (1 - chance)),
    ],
)
def test_of_scores_on_another_scale_none_is_judged(
    form: Callable[[np.ndarray], np.ndarray], has_features: bool
) -> None:
    roles = {"probability": "score", "positive": 1, "problem": "binary", "facet": "sex=F"}
    reference, window = skewed(1, lambda one: one), skewed(2, form)
    if has_features:
        x = pa.array(np.random.default_rng(3).normal(size=4_000))
        reference, window = (one.append_column("x", x) for one in (reference, window))
    scores = window["score"].to_numpy()

    report = dl.check(window, Baseline.fit(reference, **roles), kind="bias")

    outside = ((scores < 0) | (scores > 1)).sum()
    assert outside < 4_000
    assert f"another scale ({outside:,} rows outside" in report.details["answers_note"]
    assert [one.feature_name for one in report.violations] == ["impossible_predictions"]
    known = [one.name for one in report.metrics if one.value is not None]
    assert known == ["CI", "impossible_predictions"]  # The former counts rows alone.


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (pa.array([True, False] * 200), "true and false"),
        (pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 400), "2024-01-01 00:00:00"),
    ],
)
def test_labels_of_another_type_are_no_amounts(label: pa.Array, words: str) -> None:
    amount = pa.array(np.random.default_rng(6).normal(5.0, 1.0, 400))
    reference = pa.table({"sex": ["F", "M"] * 200, "y": amount, "said": amount})
    baseline = Baseline.fit(
        reference, label="y", prediction="said", positive=5, problem="regression", facet="sex=F"
    )

    with pytest.raises(InputError, match=f'label "y" holds {words}.* a regression needs numbers'):
        dl.check(with_column(reference, "y", label), baseline, kind="bias")


@pytest.mark.parametrize("compat", [False, True])
def test_a_reference_without_a_usable_prediction_lets_no_model_pass(compat: bool) -> None:
    rng = np.random.default_rng(5)
    groups, labels = rng.choice(["F", "M"], 400), rng.integers(0, 2, 400)
    window = pa.table({"sex": groups, "y": labels, "said": labels.astype(float)})
    lacking = with_column(window, "said", [float("nan")] * 400)
    baseline = Baseline.fit(
        lacking, label="y", prediction="said", positive=1, problem="binary", facet="sex=F",
        compat=compat,
    )  # fmt: skip

    report = dl.check(window, baseline, kind="bias", compat=compat)

    assert (report.decided, report.passed, report.violations) == (False, False, ())
    assert report.summary == (
        "400 rows; bias of predictions was not judged: none of 400 rows of the reference has a "
        'usable prediction ("said"); make the baseline again of rows that have one'
    )
    if not compat:
        notes = {one.name: one.note for one in report.metrics}
        assert notes["DPPL"] == "undefined: the reference has no usable prediction"


def scored(seed: int, **columns: object) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=3_000)
    found = {"sex": rng.choice(["F", "M"], 3_000), "score": score}
    labels = (rng.uniform(size=3_000) < score).astype(np.int64)
    return pa.table({**found, "y": labels, **columns})
