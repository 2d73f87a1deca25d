"""The kind "bias": labels of another type than the reference's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from tests.monitors.kinds.bias.cases import with_column


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
