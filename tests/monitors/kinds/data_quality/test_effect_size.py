"""How far a column that drifted has moved, in numbers and in words."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import driftline as dl
from driftline.baseline.column import ColumnProfile
from driftline.monitors.kinds.data_quality.effect_size import with_extent
from driftline.monitors.results.violation import FeatureResult

RNG = np.random.default_rng(4)
NORMAL = RNG.normal(50.0, 8.0, 4_000)


def profile(values: object, kind: str = "double") -> ColumnProfile:
    found = ColumnProfile("x", kind)
    found.update(pa.array(values, from_pandas=True))
    return found


def result(distance: float | None = 0.9) -> FeatureResult:
    return FeatureResult("x", "double", "feature", 10, 0, 0, distance=distance, bound=0.5)


def extent(first: object, second: object, kind: str = "double") -> FeatureResult:
    return with_extent(result(), profile(first, kind), profile(second, kind))


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (NORMAL[:2_000] + 4.0, "about 0.5 sd higher"),
        (NORMAL[:2_000] - 8.0, "about 1 sd lower"),
        ((NORMAL[:2_000] - 50) * 1.4 + 50, "values moved by about 0.3"),
        (NORMAL[:2_000] * 1_000, "at least 2."),
    ],
    ids=["up", "down", "wide", "far"],
)
def test_numbers_are_said_in_sd_of_the_reference(window: np.ndarray, words: str) -> None:
    found = extent(NORMAL, window)

    assert found.change.startswith(words)
    expected = stats.ks_2samp(NORMAL, window).statistic
    assert found.kolmogorov_smirnov == pytest.approx(expected, abs=0.003)  # A sketch.
    assert found.total_variation is None


def test_of_texts_the_share_that_is_otherwise_is_measured() -> None:
    found = extent(["a"] * 600 + ["b"] * 400, ["a"] * 450 + ["b"] * 550, "string")

    assert found.change == ""
    assert found.total_variation == pytest.approx(0.15)
    assert found.wasserstein is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NORMAL, [None] * 40),
        ([5.0] * 50, [6.0] * 50),
        ([None] * 50, NORMAL),
        (NORMAL, [np.inf] * 40),
    ],
    ids=["gaps", "constant", "nothing", "infinite"],
)
def test_where_there_is_no_scale_or_no_value_nothing_is_said(first, second) -> None:
    assert extent(first, second).change == ""


def test_what_did_not_drift_is_not_measured() -> None:
    kept = result(0.4)

    assert with_extent(kept, profile(NORMAL), profile(NORMAL + 9)) is kept
    assert with_extent(result(None), profile(NORMAL), profile(NORMAL + 9)).wasserstein is None
    assert with_extent(result(), None, profile(NORMAL)).wasserstein is None


def test_a_check_says_how_far_in_its_table_its_document_and_its_page(tmp_path) -> None:
    carriers = RNG.choice(["UA", "AA"], 4_000)
    reference = dl.Baseline.fit(pa.table({"temp": NORMAL, "carrier": carriers}))
    window = pa.table({"temp": NORMAL[:2_000] + 6.0, "carrier": carriers[:2_000]})

    report = dl.check(window, reference)

    table = report.features.set_index("feature")
    assert table.loc["temp", "change"].startswith("about 0.7")
    assert table.loc["carrier", "change"] == ""
    report.save(tmp_path)
    features = json.loads((tmp_path / "report.json").read_text())["features"]
    assert features[0]["wasserstein"] == pytest.approx(0.75, abs=0.05)
    page = tmp_path / "report.html"
    report.to_html(page)
    assert features[0]["change"] in page.read_text()
