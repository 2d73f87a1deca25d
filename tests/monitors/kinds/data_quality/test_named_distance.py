"""A distance that a feature's constraints name decides, and every view of the result shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

import driftline as dl
from driftline.baseline import store
from driftline.baseline.constraints import Constraints
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.dashboard.pages.parts import bullet
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.results.violation import DRIFT_CHECK
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.report_document import read_report
from driftline.stats.distances import catalog
from driftline.stats.distances.sample import Sample
from tests.monitors.conftest import DAY, START, Append, weather

MEANS = EntryPoint("own_means", f"{__name__}:means", catalog.GROUP)


def means(reference: Sample, window: Sample) -> float:
    """Return the difference of means, as docs/distances.md writes it."""
    first, second = reference.numbers, window.numbers
    assert first is not None
    assert second is not None
    return float(
        abs(
            (first.values * first.weights).sum() / first.count
            - (second.values * second.weights).sum() / second.count
        )
    )


def broken(reference: Sample, window: Sample) -> float:
    """Fail, as a package's own defect."""
    raise KeyError(reference.row_count, window.row_count)


def named(baseline: Baseline, feature: str, method: str, threshold: float | None) -> Baseline:
    """The baseline with a distance for one feature, as somebody writes it into constraints.json."""
    document = json.loads(baseline.constraints.to_json())
    limits: dict[str, object] = {"comparison_method": method}
    if threshold is not None:
        limits["comparison_threshold"] = threshold
    (entry,) = (one for one in document["features"] if one["name"] == feature)
    entry["num_constraints"] = {"monitoring_config_overrides": {"distribution_constraints": limits}}
    return replace(baseline, constraints=Constraints.from_dict(document))


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(weather(rng, 2_000))


def line(report: dl.Report, feature: str) -> pd.Series:
    return report.features.set_index("feature").loc[feature]


def test_it_decides_in_place_of_the_drift_test_both_ways(
    reference: Baseline, rows: pd.DataFrame
) -> None:
    moved = rows.assign(temp=rows["temp"] + 4.0)
    distance = dl.distance("wasserstein", reference.profile.columns["temp"], moved["temp"])

    tested = dl.check(moved, reference)
    strict = dl.check(rows, named(reference, "temp", "wasserstein", 1e-4))
    lax = dl.check(moved, named(reference, "temp", "wasserstein", 2.0))

    assert [one.feature_name for one in tested.violations] == ["temp"]
    assert line(tested, "temp").method == ""
    assert lax.passed
    assert line(lax, "temp").distance == pytest.approx(distance.value, rel=0.02)
    assert line(lax, "temp").bound == 2.0
    (violation,) = strict.violations
    found = line(strict, "temp")
    assert violation.constraint_check_type == "baseline_drift_check"
    assert violation.description == (
        f"Baseline drift distance: {float(found.distance)!r} exceeds threshold: 0.0001"
    )
    assert violation.ratio == found.ratio == found.distance / 1e-4


def test_every_view_names_the_distance_that_decided(
    reference: Baseline, rows: pd.DataFrame, tmp_path: Path
) -> None:
    moved = rows.assign(temp=rows["temp"] + 4.0)

    report = dl.check(moved, named(reference, "temp", "energy", 0.01))

    found = line(report, "temp")
    words = f"energy {found.distance:.3g} (limit 0.01)"
    assert found.method == "energy"
    assert report.violations[0].cause.startswith(f"{words}: ")
    report.save(tmp_path)
    report.to_html(tmp_path / "report.html")
    assert words in (tmp_path / "report.html").read_text()
    assert words in report._repr_html_()
    document = json.loads((tmp_path / "report.json").read_text())
    (feature,) = (one for one in read_report(document).features if one.feature == "temp")
    assert (feature.method, feature.ratio) == ("energy", found.ratio)
    assert "energy" in str(bullet(feature.distance, feature.bound, feature.method))


def test_texts_have_distances_and_limits_too(reference: Baseline, rows: pd.DataFrame) -> None:
    swapped = rows.assign(origin=rows["origin"].replace({"EWR": "JFK", "JFK": "EWR"}))
    fewer = rows[(rows["origin"] != "EWR") | (np.arange(len(rows)) % 2 == 0)]
    baseline = named(reference, "origin", "total_variation", 0.1)

    assert dl.check(swapped, baseline).passed
    report = dl.check(fewer, baseline)

    assert [one.feature_name for one in report.violations] == ["origin"]
    assert line(report, "origin").method == "total_variation"


def test_too_few_rows_are_not_judged_and_no_values_have_no_distance(
    reference: Baseline, rows: pd.DataFrame
) -> None:
    baseline = named(reference, "temp", "wasserstein", 1e-4)

    few = dl.check(rows[:20], baseline)
    empty = dl.check(rows.assign(temp=np.full(len(rows), np.nan)), baseline)

    assert line(few, "temp").note == "insufficient_data"
    assert line(empty, "temp").note == "distance of no numbers; expected some on both sides"
    assert "baseline_drift_check" not in {one.constraint_check_type for one in empty.violations}


@pytest.mark.parametrize(
    ("method", "threshold", "sentence"),
    [
        ("wasserstein", None, "expected comparison_threshold beside it"),
        ("wasserstein", 0, "comparison_threshold is 0; expected a number above 0"),
        ("wasserstein", "1", "comparison_threshold is '1'; expected a number above 0"),
    ],
)
def test_a_wrong_limit_is_told_when_the_document_is_read(
    reference: Baseline, method: str, threshold: object, sentence: str
) -> None:
    with pytest.raises(InputError) as raised:
        named(reference, "temp", method, threshold)

    assert sentence in str(raised.value)


@pytest.mark.parametrize("is_default", [False, True])
def test_a_distance_that_nobody_provides_is_told_when_a_feature_is_judged_by_it(
    reference: Baseline, rows: pd.DataFrame, tmp_path: Path, *, is_default: bool
) -> None:
    baseline = named(reference, "temp", "wassertein", 1.0)
    if is_default:
        document = json.loads(reference.constraints.to_json())
        document["monitoring_config"]["distribution_constraints"] |= {
            "comparison_method": "wassertein",
            "comparison_threshold": 1.0,
        }
        baseline = replace(reference, constraints=Constraints.from_dict(document))
    baseline.save(tmp_path)

    loaded = Baseline.load(tmp_path)

    if not is_default:  # The other features are judged without it.
        assert line(dl.check(rows[["wind"]], loaded), "wind").note == ""
    with pytest.raises(InputError, match=r'feature "\w+": distance "wassertein": no such distance'):
        dl.check(rows, loaded)


def test_what_a_distance_does_not_measure_is_refused(
    reference: Baseline, rows: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match='"unseen" measures levels, and the columns hold numbers'):
        dl.check(rows, named(reference, "temp", "unseen", 0.1))
    with pytest.raises(InputError, match='"wasserstein" is no method of SageMaker'):
        dl.check(rows, named(reference, "temp", "wasserstein", 1.0), compat=True)


def test_a_monitor_judges_by_it_from_the_first_window_on(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    def now() -> datetime:
        return datetime(2024, 2, 1, tzinfo=UTC)

    values = weather(rng, 400)
    append(0, {**values, "temp": values["temp"] + 4.0, "wind": values["wind"] * 1.4})
    store.put(root, "flights", named(reference, "temp", "wasserstein", 0.1), now)
    monitor = MonitorDefinition("daily", endpoint="flights", baseline="flights")

    window = Window(START, START + DAY)
    execution = run(Job(engine, root, monitor, window, now=now, signature=reference.signature))

    # The reference has no times: drift of the others is one ticket in the first windows.
    report = json.loads((Path(root) / execution.folder / "report.json").read_text())
    drifted = [
        one["feature_name"]
        for one in report["violations"]
        if one["constraint_check_type"] == "baseline_drift_check"
    ]
    assert drifted == ["temp"]
    (feature,) = (one for one in report["features"] if one["feature"] == "temp")
    assert (feature["method"], feature["bound"]) == ("wasserstein", 0.1)


def test_its_limit_does_not_hide_missing_values(reference: Baseline, rows: pd.DataFrame) -> None:
    empty = rows.assign(temp=rows["temp"].where(np.arange(len(rows)) % 5 == 0))

    plain = dl.check(empty, reference)
    report = dl.check(empty, named(reference, "temp", "wasserstein", 50.0))

    checks = {one.constraint_check_type: one.severity for one in report.violations}
    assert checks == {"completeness_check": "page"}
    assert "completeness_check" in {one.constraint_check_type for one in plain.violations}


def test_in_segments_the_drift_test_decides_where_the_distance_needs_values(
    rng: np.random.Generator,
) -> None:
    table = pd.DataFrame({"a": rng.normal(size=6_000), "c": np.tile(["x", "y", "z"], 2_000)})
    baseline = named(Baseline.fit(table[:3_000], segments=["c"]), "a", "wasserstein", 5.0)
    moved = table[3_000:].assign(a=lambda rows: rows["a"] + 1.5 * (rows["c"] == "x"))

    report = dl.check(moved, baseline)

    assert [one.within for one in report.violations] == ['c = "x"']


@pytest.mark.parametrize(
    ("method", "feature"),
    [("unseen", "t"), ("energy", "n"), (MEANS.name, "n")],
)
def test_no_distance_of_values_is_taken_from_the_counts_of_a_segment(
    method: str, feature: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "entry_points", lambda **_: [MEANS])
    table = pd.DataFrame(
        {
            "n": rng.poisson(2, 6_000).astype(float),
            "t": rng.choice(["p", "q", "r"], 6_000),
            "c": np.tile(["x", "y"], 3_000),
        }
    )
    baseline = named(Baseline.fit(table[:3_000], segments=["c"]), feature, method, 5.0)
    changed = {"n": 9.0, "t": "new"}
    moved = table[3_000:].copy()
    moved.loc[moved["c"] == "x", feature] = changed[feature]

    report = dl.check(moved, baseline)

    assert line(report, feature).method == method
    drifted = [one for one in report.violations if one.constraint_check_type == DRIFT_CHECK]
    assert [one.within for one in drifted] == ['c = "x"']


def test_a_default_of_a_package_that_fails_is_told_and_not_passed_over(
    reference: Baseline, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EntryPoint("own_broken", f"{__name__}:broken", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda **_: [broken])
    document = json.loads(reference.constraints.to_json())
    document["monitoring_config"]["distribution_constraints"] |= {
        "comparison_method": broken.name,
        "comparison_threshold": 1.0,
    }

    with pytest.raises(InputError, match=r'feature "\w+": distance "own_broken" failed: KeyError'):
        dl.check(rows, replace(reference, constraints=Constraints.from_dict(document)))


def test_a_default_for_all_columns_leaves_those_it_does_not_measure_to_the_drift_test(
    rng: np.random.Generator,
) -> None:
    table = pd.DataFrame({"a": rng.normal(size=4_000), "c": rng.choice(["x", "y"], 4_000)})
    baseline = Baseline.fit(table[:2_000])
    document = json.loads(baseline.constraints.to_json())
    document["monitoring_config"]["distribution_constraints"] |= {
        "comparison_method": "wasserstein",
        "comparison_threshold": 5.0,
    }
    lax = replace(baseline, constraints=Constraints.from_dict(document))

    report = dl.check(table[2_000:].assign(a=lambda rows: rows["a"] + 2, c="x"), lax)

    assert {one.feature_name for one in report.violations} == {"c"}


def test_an_override_back_to_the_drift_test_does_not_inherit_the_limit() -> None:
    document = {
        "features": [
            {
                "name": "a",
                "monitoring_config_overrides": {
                    "distribution_constraints": {"comparison_method": "Robust"}
                },
            }
        ],
        "monitoring_config": {
            "distribution_constraints": {"comparison_method": "energy", "comparison_threshold": 3}
        },
    }

    config = Constraints.from_dict(document).config("a")

    assert (config.distance, config.written_threshold) == (None, None)


@pytest.mark.parametrize(
    "limit", [10**400, float("inf"), 0, True], ids=lambda limit: str(limit)[:4]
)
def test_a_limit_that_is_no_positive_number_is_one_sentence(limit: object) -> None:
    block = {"comparison_method": "energy", "comparison_threshold": limit}

    with pytest.raises(InputError, match="expected a number above 0"):
        Constraints.from_dict(
            {"features": [], "monitoring_config": {"distribution_constraints": block}}
        )
