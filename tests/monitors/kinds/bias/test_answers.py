"""The kind "bias": labels of another type than the reference's."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from tests.monitors.kinds.bias.cases import with_column


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
        "400 rows; nothing could be judged: none of 400 rows of the reference has a "
        'usable prediction ("said"); make the baseline again of rows that have one'
    )
