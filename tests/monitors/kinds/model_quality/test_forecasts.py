"""Forecasts: lists of numbers as label and prediction, judged value by value, forecast by forecast.

Oracles: scikit-learn on the values laid flat; Hyndman and Koehler (2006) for MASE, spelled out.
"""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics

import driftline as dl
from driftline.baseline.forecasts import read_forecasts
from driftline.errors import InputError
from driftline.monitors.kind import find_kind

HORIZON = 6


def rows(count: int, *, seed: int, late: float = 0.0, timed: bool = False) -> pd.DataFrame:
    """Draw forecasts that err together: most of an error is shared by all steps."""
    rng = np.random.default_rng(seed)
    base = 50 + 20 * np.sin(np.arange(count) / 24 * 2 * np.pi)[:, None] + np.arange(HORIZON)
    label = base + rng.normal(0, 2, (count, 1)) + rng.normal(0, 1, (count, HORIZON))
    answer = base + late * np.linspace(0, 1, HORIZON)
    table = {"y": list(label), "f": list(answer), "x": rng.normal(size=count)}
    if timed:
        table["at"] = pd.date_range("2026-01-01", periods=count, freq="1h", tz="UTC")
    return pd.DataFrame(table)


def flat(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(frame.y.to_numpy()), np.concatenate(frame.f.to_numpy())


def fitted(frame: pd.DataFrame) -> dl.Baseline:
    timestamp = "at" if "at" in frame else None
    return dl.Baseline.fit(frame, label="y", prediction="f", timestamp=timestamp)


def test_errors_are_those_of_the_values_laid_flat() -> None:
    reference, window = rows(1500, seed=1), rows(700, seed=2, late=3.0)

    report = dl.check(window, fitted(reference), kind="model-quality")

    found = {one.name: one.value for one in report.metrics if not one.label}
    label, answer = flat(window)
    naive = np.mean([np.abs(np.diff(one)).mean() for one in reference.y])
    mae = metrics.mean_absolute_error(label, answer)
    smape = np.mean(2 * np.abs(answer - label) / (np.abs(answer) + np.abs(label)))
    assert found["smape"] == pytest.approx(smape, rel=1e-12)
    assert found["mae"] == pytest.approx(mae, rel=1e-12)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(label, answer), rel=1e-12)
    assert found["r2"] == pytest.approx(metrics.r2_score(label, answer), rel=1e-12)
    assert found["mape"] == pytest.approx(
        metrics.mean_absolute_percentage_error(label, answer), rel=1e-12
    )
    assert found["mase"] == pytest.approx(mae / naive, rel=1e-12)


def test_outputs_of_other_units_are_said_to_hide_behind_the_largest() -> None:
    rng = np.random.default_rng(7)
    label = np.column_stack([rng.normal(250_000, 10_000, 800), rng.normal(0.05, 0.01, 800)])
    answer = label + rng.normal(0, 1, label.shape) * np.array([5_000.0, 0.005])
    baseline = fitted(pd.DataFrame({"y": list(label), "f": list(answer)}))

    report = dl.check(rows(700, seed=2), fitted(rows(1500, seed=1)), kind="model-quality")

    assert "outputs_note" not in report.details
    [told, *_] = find_kind("model-quality").detectable(baseline)
    first, second = np.abs(label - answer).mean(axis=0)
    assert told.startswith(f"the error of step 1 is {first / second:,.0f} times that of step 2")


def test_each_step_ahead_is_shown_beside_the_references_own() -> None:
    window = rows(700, seed=2, late=3.0)

    report = dl.check(window, fitted(rows(1500, seed=1)), kind="model-quality")

    by_step = {one.label: one.value for one in report.metrics if one.name == "mae" and one.label}
    label, answer = np.stack(window.y.to_list()), np.stack(window.f.to_list())
    assert list(by_step) == [f"step {step}" for step in range(1, HORIZON + 1)]
    for step in range(HORIZON):
        wanted = metrics.mean_absolute_error(label[:, step], answer[:, step])
        assert by_step[f"step {step + 1}"] == pytest.approx(wanted, rel=1e-12)
    named = report.features.set_index("name").value
    assert named.index.is_unique
    assert named["step 2: mae"] == by_step["step 2"]
    assert named["mae"] == pytest.approx(metrics.mean_absolute_error(label, answer))
    published = [one.dimensions.get("Label") for one in report.points if one.name == "mae"]
    assert published == [None, *by_step]


@pytest.mark.parametrize("timed", [False, True])
def test_worse_forecasts_are_a_violation_and_equal_ones_are_none(timed: bool) -> None:
    baseline = fitted(rows(1500, seed=1, timed=timed))

    quiet = dl.check(rows(700, seed=2, timed=timed), baseline, kind="model-quality")
    worse = dl.check(rows(700, seed=3, late=6.0, timed=timed), baseline, kind="model-quality")

    assert quiet.passed
    assert not worse.passed
    assert worse.labelled_count == worse.row_count == 700


def test_values_that_err_together_are_no_independent_rows(pytestconfig: pytest.Config) -> None:
    """The mean error's 95% interval holds 0 as often as it says, not in 60% of windows."""
    baseline = fitted(rows(1500, seed=1))

    # Binomial of 300, or 80, with 0.95: below with a chance under 1e-3.
    windows, least = (300, 270) if pytestconfig.getoption("full") else (80, 69)

    held = 0
    for seed in range(100, 100 + windows):
        report = dl.check(rows(60, seed=seed), baseline, kind="model-quality")
        bias = next(one for one in report.metrics if one.name == "mean_error" and not one.label)
        held += bias.low <= 0.0 <= bias.high

    assert held >= least


def test_a_baseline_is_read_again_with_its_lists(tmp_path) -> None:
    baseline = fitted(rows(1500, seed=1))
    baseline.save(tmp_path / "b")

    again = dl.Baseline.load(tmp_path / "b")

    assert again.signature == baseline.signature
    assert [one.data_type for one in again.signature.outputs] == ["list<double>"]
    sent = json.loads(again.signature.as_sent().to_json())
    assert [one["type"] for one in sent["outputs"]] == ["list<double>"]
    window = rows(700, seed=2, late=6.0)
    assert [one.value for one in dl.check(window, again, kind="model-quality").metrics] == [
        one.value for one in dl.check(window, baseline, kind="model-quality").metrics
    ]


def test_what_is_still_to_come_or_was_not_forecast_is_left_out_and_counted() -> None:
    baseline = fitted(rows(1500, seed=1))
    window = rows(100, seed=2)
    window.loc[:, "y"] = pd.Series(
        [
            *(list(one[:3]) for one in window.y[:10]),  # Three steps are known so far,
            *([None] * HORIZON for _ in range(10)),  # none,
            *(None for _ in range(10)),  # none at all;
            *window.y[30:],
        ]
    )
    window.loc[:, "f"] = pd.Series([*window.f[:90], *(None for _ in range(10))])

    report = dl.check(window, baseline, kind="model-quality")

    pairs = [
        (value, said)
        for label, answer in zip(window.y, window.f, strict=True)
        if label is not None and answer is not None
        for value, said in zip(label, answer, strict=False)
        if value is not None
    ]
    found = {one.name: one.value for one in report.metrics if not one.label}
    wanted = metrics.mean_absolute_error(*zip(*pairs, strict=True))
    assert found["mae"] == pytest.approx(wanted, rel=1e-12)
    assert report.details["labelled_rows"] == 70
    assert report.details["rows_without_answer"] == 10
    assert report.details["rows_without_label"] == 20


def test_without_a_column_of_labels_nothing_is_decided_yet() -> None:
    reference = fitted(rows(400, seed=1))

    report = dl.check(rows(400, seed=2).drop(columns="y"), reference, kind="model-quality")

    assert report.passed is report.decided is False
    assert report.violations == ()
    assert 'none of them has a label yet; the data has no column "y"' in report.summary


def test_lists_beside_numbers_are_refused_in_a_sentence() -> None:
    baseline = fitted(rows(1500, seed=1))
    window = rows(100, seed=2).assign(f=1.0)

    with pytest.raises(InputError, match=r'"y" holds lists, .* "f" holds double'):
        dl.check(window, baseline, kind="model-quality")


def test_lists_are_outputs_or_labels_and_nothing_else() -> None:
    column = {"name": "x", "column": "feature_x", "type": "list<double>", "role": "feature"}

    with pytest.raises(
        InputError, match="expected lists only as prediction, probability, quantile"
    ):
        dl.signature.Column.from_dict(column)


def test_embeddings_stay_features_as_before() -> None:
    table = pa.table(
        {"x": [[1.0, 2.0], [3.0, 4.0]] * 50, "y": [0.0, 1.0] * 50, "f": [0.1, 0.9] * 50}
    )

    signature = dl.Baseline.fit(table, label="y", prediction="f").signature

    assert [one.sent_type for one in signature.columns] == ["string", "double", "double"]


def test_forecasts_are_the_same_from_every_form_of_file(tmp_path) -> None:
    baseline, window = fitted(rows(1500, seed=1)), rows(200, seed=2)
    window.to_parquet(tmp_path / "rows.parquet")
    window.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, double_precision=15)
    texts = {name: window[name].map(lambda one: json.dumps(list(one))) for name in ("y", "f")}
    window.assign(**texts).to_csv(tmp_path / "rows.csv", index=False)

    found = [
        dl.check(tmp_path / f"rows.{form}", baseline, kind="model-quality").metrics[0].value
        for form in ("parquet", "jsonl", "csv")
    ]

    assert found == pytest.approx([found[0]] * 3, rel=1e-9)


def test_one_bad_value_loses_its_row_alone_and_rows_are_counted_once() -> None:
    baseline, window = fitted(rows(1500, seed=1)), rows(200, seed=2)
    window.at[3, "y"] = ["soon", *window.y[3][1:]]
    window.at[4, "f"] = ["a", *window.f[4][1:]]
    window.at[5, "f"] = [float("inf"), *window.f[5][1:]]

    report = dl.check(window, baseline, kind="model-quality")

    found = {one.name: one for one in report.metrics if not one.label}
    assert report.details["rows_without_label"] == 1
    assert report.details["rows_without_answer"] == 1
    assert report.labelled_count == 199
    assert "0.5% of 200 rows have a prediction beyond" in str(report)
    assert found["mae"].value is not None


def test_one_long_list_takes_no_room_for_the_others() -> None:
    """A table as wide as the longest forecast would be 2,000 x 1,000,000."""
    frame = rows(2_000, seed=2)
    frame.at[7, "f"] = np.zeros(1_000_000)

    tracemalloc.start()
    found = read_forecasts(pa.Table.from_pandas(frame), "y", "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(found.label) == 2_000 * HORIZON
    assert peak < 100e6


def test_a_segment_whose_forecasts_became_worse_is_held_against_its_own_errors() -> None:
    """Baselines had no errors of forecasts by segment: each had none, and became worse from nan."""
    reference, window = rows(1500, seed=1), rows(700, seed=2)
    for frame in (reference, window):
        frame["page"] = np.resize(["a", "b", "c"], len(frame))
    window["f"] = [one + 8.0 * (at == "c") for one, at in zip(window.f, window.page, strict=True)]

    report = dl.check(window, fitted(reference), kind="model-quality")

    usual = [np.mean((y - f) ** 2) for y, f in zip(reference.y, reference.f, strict=True)]
    was = np.mean([one for one, at in zip(usual, reference.page, strict=True) if at == "c"])
    found = report.violations[0]
    assert found.segment is not None
    assert (found.segment.column, found.segment.level) == ("page", "c")
    assert f"from {was:.3g} to" in found.cause


def test_a_horizon_of_one_says_why_it_has_no_mase() -> None:
    frame = pd.DataFrame({"y": [[float(n % 7)] for n in range(800)], "f": [[3.0]] * 800})

    report = dl.check(frame, fitted(frame), kind="model-quality")

    mase = next(one for one in report.metrics if one.name == "mase")
    assert mase.value is None
    assert "no label of the reference holds two values" in mase.note


def test_lists_are_no_classes_and_have_no_bias() -> None:
    frame = rows(200, seed=1).assign(group=["a", "b"] * 100)
    roles = {"label": "y", "prediction": "f"}

    with pytest.raises(InputError, match="holds lists, and the problem is multiclass"):
        dl.Baseline.fit(frame, **roles, problem="multiclass")
    for positive in (None, 50):  # Named or not, nobody is asked for what would not help.
        baseline = dl.Baseline.fit(frame, **roles, facet="group=a", positive=positive)
        with pytest.raises(InputError, match="bias: the answers are lists of numbers"):
            dl.check(frame, baseline, kind="bias")


def test_labels_of_which_none_is_a_list_are_refused() -> None:
    frame = rows(200, seed=1)

    with pytest.raises(InputError, match="none of 200 values is a list"):
        dl.check(frame.assign(y="many"), fitted(frame), kind="model-quality")


def test_predictions_of_which_none_is_a_list_are_refused() -> None:
    frame = rows(200, seed=1)

    with pytest.raises(
        InputError, match=r'prediction "f": none of 200 values is a list; .*\[0.5, 2'
    ):
        dl.check(frame.assign(f="many"), fitted(frame), kind="model-quality")
    # Some of them are missing predictions, as others are.
    some = frame.assign(f=["many"] * 100 + [json.dumps(list(one)) for one in frame.f[100:]])
    assert "missing_predictions" in dl.check(some, fitted(frame), kind="model-quality").summary


def test_lists_that_pandas_writes_are_lists(tmp_path) -> None:
    frame, window = rows(600, seed=1), rows(200, seed=2)
    for name, data in (("reference", frame), ("window", window)):
        arrays = {column: data[column].map(np.asarray) for column in ("y", "f")}
        data.assign(**arrays).to_csv(tmp_path / f"{name}.csv", index=False)

    baseline = dl.Baseline.fit(tmp_path / "reference.csv", label="y", prediction="f")
    report = dl.check(tmp_path / "window.csv", baseline, kind="model-quality")

    wanted = dl.check(window, fitted(frame), kind="model-quality")
    assert report.passed
    assert [one.name for one in report.metrics] == [one.name for one in wanted.metrics]
    assert report.metrics[0].value == pytest.approx(wanted.metrics[0].value, rel=1e-6)


@pytest.mark.parametrize("problem", [None, "regression"])
def test_a_reference_of_texts_is_that_of_lists(tmp_path, problem: str | None) -> None:
    frame, window = rows(600, seed=1), rows(200, seed=2)
    texts = {name: frame[name].map(lambda one: json.dumps(list(one))) for name in ("y", "f")}
    frame.assign(**texts).to_csv(tmp_path / "reference.csv", index=False)

    baselines = [
        dl.Baseline.fit(data, label="y", prediction="f", problem=problem)
        for data in (frame, tmp_path / "reference.csv")
    ]

    bounds = [
        [(one.name, one.reference) for one in dl.check(window, one, kind="model-quality").metrics]
        for one in baselines
    ]
    assert bounds[0] == bounds[1]
    assert all(one.signature.get("f").sent_type == "list<double>" for one in baselines)


def test_other_texts_are_no_forecasts() -> None:
    frame = rows(60, seed=1).assign(f="[1.5, 2", y="a")

    assert fitted(frame).signature.get("f").sent_type == "string"


def walks(count: int, *, seed: int, labelled: int = 5, times: float = 1.0) -> pd.DataFrame:
    """Draw forecasts of random walks, of which some steps have a label yet; errors grow."""
    rng = np.random.default_rng(seed)
    label = rng.normal(size=(count, 5)).cumsum(1) + 10
    answer = label + rng.normal(size=(count, 5)) * 0.5 * times * np.arange(1, 6)
    return pd.DataFrame({"y": [list(one[:labelled]) for one in label], "f": list(answer)})


@pytest.mark.parametrize("labelled", [1, 2, 4])
def test_labels_still_to_come_are_left_out_of_the_reference_too(labelled: int) -> None:
    baseline = fitted(walks(2000, seed=0))
    usual = fitted(walks(2000, seed=0, labelled=labelled))

    same, double, alone = (
        dl.check(walks(500, seed=1, labelled=labelled, times=times), one, kind="model-quality")
        for one, times in ((baseline, 1.0), (baseline, 2.0), (usual, 1.0))
    )

    assert same.passed
    assert not double.passed
    assert "fewer labels with an answer than in the reference" in same.details["steps_note"]
    assert "steps_note" not in alone.details
    found, wanted = (
        {one.name: (one.reference, one.bound) for one in report.metrics if one.bound is not None}
        for report in (same, alone)
    )
    assert {"mae", "rmse"} <= {*found}
    assert found == wanted


def test_the_newest_forecasts_have_fewer_labels_than_the_others() -> None:
    """The means are those of the reference's steps, each by its share of the window's labels."""
    reference, window = walks(2000, seed=0), walks(500, seed=1)
    window["y"] = [one[: 5 - place % 5] for place, one in enumerate(window.y)]

    report = dl.check(window, fitted(reference), kind="model-quality")

    errors = np.abs(np.stack(reference.f.to_list()) - np.stack(reference.y.to_list()))
    wanted = np.average(errors.mean(axis=0), weights=[5, 4, 3, 2, 1])
    mae = next(one for one in report.metrics if one.name == "mae" and not one.label)
    assert report.passed
    assert mae.reference == pytest.approx(wanted, rel=0.02)
    assert mae.reference < 0.8 * errors.mean()


def test_compat_has_no_forecasts() -> None:
    with pytest.raises(InputError, match="SageMaker has no metrics of forecasts"):
        dl.check(walks(50, seed=1), fitted(walks(50, seed=0)), kind="model-quality", compat=True)


@pytest.mark.parametrize("whole", [0, 1, 150])
def test_steps_that_the_reference_hardly_has_are_not_judged(whole: int) -> None:
    reference = pd.concat([walks(2000 - whole, seed=0, labelled=2), walks(whole, seed=2)])
    baseline = fitted(reference)

    same, double = (
        dl.check(walks(500, seed=1, times=times), baseline, kind="model-quality")
        for times in (1.0, 2.0)
    )

    assert same.passed
    assert not double.passed
    assert "steps that it hardly has are left out" in same.details["steps_note"]
    mae = next(one for one in same.metrics if one.name == "mae" and not one.label)
    assert mae.value == pytest.approx(mae.reference, rel=0.05)


@pytest.mark.parametrize(("whole", "times"), [(0, 1.0), (100, 1.0), (0, 10.0)])
def test_labels_of_none_but_steps_that_the_reference_hardly_has_are_not_judged(
    whole: int, times: float
) -> None:
    usual = [walks(2000 - whole, seed=0, labelled=2), *([walks(whole, seed=2)] * (whole > 0))]
    window = walks(500, seed=1, times=times)
    window["y"] = [[None, None, *one[2:]] for one in window.y]

    report = dl.check(window, fitted(pd.concat(usual)), kind="model-quality")

    assert not report.violations
    assert not report.decided
    assert report.details["steps_note"].endswith("nothing can be judged")


def test_an_infinite_value_in_a_list_of_labels_is_named() -> None:
    window = rows(600, seed=2)
    window.at[3, "y"] = [np.inf, *window.y[3][1:]]

    report = dl.check(window, fitted(rows(1500, seed=1)), kind="model-quality")

    note = report.details["answers_note"]
    assert note.startswith("1 label left out: infinite")
    assert note.endswith('"y" = inf (1x)')


def test_forecasts_that_end_early_are_said_to_lack_steps_and_not_all() -> None:
    random = np.random.default_rng(0)
    start = random.normal(10, 3, size=(3_000, 1))
    label = start + np.cumsum(random.normal(size=(3_000, 6)), axis=1)
    whole = pa.table({"said": [[one] * 6 for one in start[:, 0]], "came": label.tolist()})
    short = pa.table({"said": [[one] * 2 for one in start[:800, 0]], "came": label[:800].tolist()})

    report = dl.check(
        short, dl.Baseline.fit(whole, label="came", prediction="said"), kind="model-quality"
    )

    assert "100% of 800 rows lack a prediction for some steps (reference 0%); " in report.cause
    assert "those steps are left out of all metrics" in report.cause
    assert "steps of 800 rows without a prediction, of 800 rows" in report.details["answers_note"]
    assert {one.name: one.value for one in report.metrics}["mae"] is not None
