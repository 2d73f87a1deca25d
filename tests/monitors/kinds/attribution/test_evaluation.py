"""Windows against a reference of attributions: what is judged, told, refused and stored."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from sqlalchemy import select

import driftline as dl
from driftline.alerts.tables import metrics
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.formats.arrow_types import missing_of
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.attribution import evaluation
from driftline.monitors.kinds.attribution.blocks import block_tail
from driftline.monitors.kinds.attribution.drift import compare, settle
from driftline.monitors.kinds.attribution.evaluation import evaluate
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions, Importance
from driftline.monitors.kinds.attribution.ranking import Tail
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.report.report import Report
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.rows import Rows
from driftline.monitors.run.execution import Job, run
from tests.monitors.kinds.attribution.leaning import START, judged, model, weather


def test_a_reference_without_a_change_passes_and_is_told_in_numbers(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 2_000), predict=model)

    assert report.passed
    assert report.decided
    assert report.row_count == 2_000
    by_name = {one.name: one for one in report.metrics}
    assert list(by_name) == [
        "ndcg",
        *(f"share_{name}" for name in "abcd"),
        "share_carrier",
        "level",
        "direction",
    ]
    assert by_name["ndcg"].value > 0.98
    # Rows that rank the features alike in every draw give an interval of no width: none.
    assert (by_name["ndcg"].low, by_name["ndcg"].high) == (None, None)
    assert by_name["ndcg"].unbounded.startswith("however these rows are drawn")
    assert by_name["ndcg"].bound <= 0.90
    shares = [by_name[f"share_{name}"] for name in (*"abcd", "carrier")]
    assert sum(one.value for one in shares) == pytest.approx(1)
    assert all(
        one.low < one.value < one.high and one.reference_low < one.reference for one in shares
    )
    assert by_name["level"].value == pytest.approx(by_name["level"].reference, rel=0.1)
    details = report.details
    assert (details["method"], details["explained_rows"]) == ("permutation", 1_000)
    assert [one["feature"] for one in details["ranking"]["label0"]["reference"]][:2] == ["a", "b"]


@pytest.mark.parametrize("count", [1, 29])
def test_a_reference_of_too_few_rows_judges_nothing(rng: np.random.Generator, count: int) -> None:
    rows = weather(rng, count)
    few = explain_reference(open_source(rows), Baseline.fit(rows), model, background=5)

    report = judged(few, weather(rng, 1_000, a=4.0), predict=model)

    assert not report.decided
    assert not any(one.judged for one in report.metrics)
    assert {one.note for one in report.metrics} == {"insufficient_data"}
    assert "too few to judge" in report.summary


def test_a_reference_keeps_the_background_rows_that_have_a_number(rng: np.random.Generator) -> None:
    rows = weather(rng, 1_200)
    whole = explain_reference(open_source(rows), Baseline.fit(rows), model)
    first = Attributions.from_arrow(whole.attributions).background.column("a")[0].as_py()

    def predict(asked: pa.Table) -> np.ndarray:
        return np.where(np.asarray(asked["a"]) == first, np.nan, model(asked))

    told: list[str] = []
    known = explain_reference(open_source(rows), Baseline.fit(rows), predict, told=told.append)

    assert told == ["1 of 10 background rows left out: the model answered no number to them"]
    kept = Attributions.from_arrow(known.attributions)
    assert len(kept.background) == 9
    assert first not in kept.background.column("a").to_pylist()
    assert len(kept.rows["label0"]) == 1_190
    assert judged(known, weather(rng, 1_000), predict=predict).passed


def test_a_background_of_which_most_has_no_number_is_refused(rng: np.random.Generator) -> None:
    rows = weather(rng, 300)

    def predict(asked: pa.Table) -> np.ndarray:
        return np.where(np.arange(len(asked)) % 5 < 3, np.nan, model(asked))

    with pytest.raises(InputError, match="no number to 6 of 10 background rows, which all others"):
        explain_reference(open_source(rows), Baseline.fit(rows), predict)


def test_rows_without_a_number_are_left_out_and_counted(
    reference: Baseline, rng: np.random.Generator
) -> None:
    def lacking(rows: pa.Table) -> np.ndarray:
        return np.where(rows["a"].to_numpy() == 9.0, np.nan, model(rows))

    rows = weather(rng, 900)
    broken = pa.concat_tables([rows, rows.slice(0, 3).set_column(0, "a", pa.array([9.0] * 3))])
    report = judged(reference, broken, predict=lacking)

    assert report.passed
    assert report.details["explained_rows"] == 900
    note = report.details["answers_note"]
    assert note.startswith("3 of 903 explained rows left out: the model answered no number")
    assert "answers_note" not in judged(reference, rows, predict=lacking).details
    # The rows that are shown are those that were explained.
    assert {one["row"] for one in report.details["rows"]["label0"]} <= set(range(900))

    with pytest.raises(InputError, match="no number to any row"):
        judged(reference, broken.slice(900), predict=lacking)


@pytest.mark.parametrize("size", [1e35, 1e39, 1e200])
def test_a_number_that_single_precision_cannot_hold_is_left_out(
    reference: Baseline, rng: np.random.Generator, size: float
) -> None:
    def huge(rows: pa.Table) -> np.ndarray:
        return np.where(rows["a"].to_numpy() == 9.0, size, model(rows))

    rows = weather(rng, 900)
    broken = pa.concat_tables([rows, rows.slice(0, 1).set_column(0, "a", pa.array([9.0]))])
    report = judged(reference, broken, predict=huge)

    assert report.passed
    assert report.documents()
    assert report.details["answers_note"].startswith("1 of 901 explained rows left out")
    assert explain_reference(open_source(broken), Baseline.fit(broken), huge).attributions
    with pytest.raises(InputError, match=r"to any of 10 background rows .* above 1e\+30"):
        explain_reference(open_source(rows), Baseline.fit(rows), lambda one: model(one) * size)


def test_a_function_that_answers_only_nan_is_told_so_and_not_the_baseline(
    reference: Baseline, rng: np.random.Generator
) -> None:
    def nothing(rows: pa.Table) -> np.ndarray:
        return np.full(len(rows), np.nan)

    rows = weather(rng, 300)
    with pytest.raises(InputError, match=r"no number to any row .*see what the function returns$"):
        judged(reference, rows, predict=nothing)
    with pytest.raises(InputError, match=r"to any of 10 background rows .*returns$"):
        explain_reference(open_source(rows), Baseline.fit(rows), nothing)


def test_a_reference_leaves_rows_without_a_number_out_and_says_so() -> None:
    rows, told = weather(np.random.default_rng(1), 400), []
    infinite = rows["a"].to_numpy().max()

    def lacking(asked: pa.Table) -> np.ndarray:
        return np.where(asked["a"].to_numpy() == infinite, np.inf, model(asked))

    found = explain_reference(
        open_source(rows), Baseline.fit(rows), lacking, background=5, told=told.append
    )

    assert Attributions.from_arrow(found.attributions).rows["label0"].shape == (394, 5)
    assert told[0].startswith("1 of 395 explained rows left out: ")


def test_times_are_asked_about_in_the_unit_of_the_reference() -> None:
    rows, units = weather(np.random.default_rng(1), 300), set()
    seconds = pa.array(range(300), pa.timestamp("s"))
    rows = rows.append_column("at", seconds.cast(pa.timestamp("ns")))

    def of_nanoseconds(asked: pa.Table) -> np.ndarray:
        units.add(asked.schema.field("at").type.unit)
        return model(asked)

    reference = explain_reference(open_source(rows), Baseline.fit(rows), of_nanoseconds)
    judged(reference, rows.set_column(5, "at", seconds), predict=of_nanoseconds)

    assert units == {"ns"}


def test_missing_truth_values_are_asked_about_as_the_reference_has_them(tmp_path: Path) -> None:
    rows, gaps = weather(np.random.default_rng(1), 300), set()
    truth = pa.array([True, None, False] * 100)
    rows = rows.append_column("ok", truth)
    csv.write_csv(rows, tmp_path / "rows.csv")

    def of_nan(asked: pa.Table) -> np.ndarray:
        gaps.add(missing_of(asked.schema.field("ok")))
        return model(asked)

    source = open_source(tmp_path / "rows.csv")
    reference = explain_reference(source, Baseline.fit(tmp_path / "rows.csv"), of_nan)
    reference.save(tmp_path / "baseline")
    judged(Baseline.load(tmp_path / "baseline"), rows, predict=of_nan)

    assert gaps == {"nan"}


def test_the_same_question_gives_the_same_bytes(
    reference: Baseline, rng: np.random.Generator, tmp_path: Path
) -> None:
    rows = weather(rng, 2_500)
    question = CheckContext(
        reference, Rows(lambda: iter(rows.to_batches(max_chunksize=700))), predict=model
    )
    reference.save(tmp_path)

    first = evaluate(question).documents()

    again = replace(
        question, baseline=Baseline.load(tmp_path), rows=Rows(lambda: iter(rows.to_batches()))
    )
    assert evaluate(again).documents() == first
    assert evaluate(replace(question, seed=1)).documents() != first


def test_a_feature_that_takes_over_is_named_with_its_ranks(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 2_000, d=12), predict=model)

    shares = next(one for one in report.violations if one.feature_name == "shares")
    assert shares.severity == "ticket"
    assert shares.cause.startswith("the model leans on other features: d ")
    assert "rank 5 to " in shares.cause
    assert shares.document == {
        "label": "label0",
        "metric_name": "shap",
        "constraint_check_type": "feature_attribution_drift_check",
        "description": shares.description,
    }
    moved = next(one for one in report.metrics if one.name == "share_d")
    assert moved.violated
    assert moved.value > moved.bound > moved.reference
    document = json.loads(report.documents()["constraint_violations.json"])
    assert document["version"] == "1.0"


def test_a_turned_ranking_is_told_in_clarifys_words(
    reference: Baseline, rng: np.random.Generator
) -> None:
    def turned(rows: pa.Table) -> np.ndarray:
        names = ["d", "carrier", "c", "b", "a"]
        return (
            0.02 * rows["a"].to_numpy()
            + 0.04 * rows["b"].to_numpy()
            + 0.3 * rows["d"].to_numpy() * len(names)
        )

    report = judged(reference, weather(rng, 1_000), predict=turned)

    order = next(one for one in report.violations if one.feature_name == "ndcg")
    value = next(one.value for one in report.metrics if one.name == "ndcg")
    assert order.description == f"Feature attribution drift {value!r} exceeds threshold 0.9"
    assert {one.feature_name for one in report.violations} == {"ndcg", "shares", "level"}


def test_a_model_that_is_given_is_asked_or_refused(
    reference: Baseline, rng: np.random.Generator
) -> None:
    rows = weather(rng, 1_000)

    report = check(rows, reference, predict=lambda rows: np.full(rows.num_rows, 0.2))

    assert not report.passed
    with pytest.raises(InputError, match='kind "data-quality" asks no model; leave the model out'):
        check(rows, reference, kind="data-quality", predict=model)
    with pytest.raises(InputError, match="asks no model"):
        check(rows, replace(reference, attributions=None), predict=model)


def test_a_model_that_answers_the_same_to_everything_is_a_condition_of_its_own(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 500), predict=lambda rows: np.full(rows.num_rows, 0.2))

    assert [one.description for one in report.violations] == ["Feature attributions are all zero"]
    assert "whatever it is asked" in report.cause
    ndcg = report.metrics[0]
    assert (ndcg.value, ndcg.note) == (None, "undefined: all attributions are zero")
    json.loads(report.documents()["report.json"])


def test_answers_that_depend_twice_as_much_on_everything_are_a_change_of_level(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 1_000), predict=lambda rows: 2 * model(rows))

    assert [one.feature_name for one in report.violations] == ["level"]
    assert "2.0 times more" in report.cause


@pytest.mark.parametrize("is_same", [True, False])
def test_a_constant_reference_is_one_of_no_contributions(
    rng: np.random.Generator, is_same: bool
) -> None:
    rows = weather(rng, 1_000)

    def same(asked: pa.Table) -> np.ndarray:
        return np.full(asked.num_rows, 0.5)

    told: list[str] = []
    constant = explain_reference(
        open_source(rows), Baseline.fit(rows), same, background=5, told=told.append
    )

    report = judged(constant, weather(rng, 500), predict=same if is_same else model)

    by_name = {one.name: one for one in report.metrics}
    assert [line.split(" (")[0] for line in told] == ["all attributions of the reference are zero"]
    assert not report.passed
    assert report.decided is not is_same
    assert by_name["share_a"].bound is None
    assert by_name["share_a"].note == "undefined: the reference is all zero"
    if is_same:
        assert "nothing could be judged: " in report.summary
        assert "the model answers the same for all rows" in report.summary
        assert [one.name for one in report.unjudged] == ["label0: level"]
    else:
        assert (by_name["level"].bound, by_name["level"].note) == (0.0, "")
        assert [one.feature_name for one in report.violations] == ["level"]
        assert "depends on features, and the reference's on none: a 0%" in report.cause


def test_one_row_with_contributions_beside_a_constant_reference_is_unjudged(
    rng: np.random.Generator,
) -> None:
    rows, window = weather(rng, 1_000), weather(rng, 500)
    rare = window["a"].to_numpy().max()
    constant = explain_reference(
        open_source(rows), Baseline.fit(rows), lambda asked: np.zeros(asked.num_rows), background=5
    )

    report = judged(constant, window, predict=lambda asked: asked["a"].to_numpy() >= rare)

    assert not report.violations
    assert not report.decided
    assert [one.name for one in report.unjudged] == ["label0: level"]


def test_a_window_without_a_number_for_a_background_row_is_told_the_mend(
    reference: Baseline, rng: np.random.Generator
) -> None:
    kept = Attributions.from_arrow(reference.attributions).background
    first = kept.column("a")[0].as_py()

    def lacking(asked: pa.Table) -> np.ndarray:
        return np.where(asked["a"].to_numpy() == first, np.nan, model(asked))

    with pytest.raises(InputError, match=r"to 1 of 5 background rows, .* baseline again with it"):
        judged(reference, weather(rng, 300), predict=lacking)


def test_few_rows_are_not_judged(reference: Baseline, rng: np.random.Generator) -> None:
    report = judged(reference, weather(rng, 29), predict=model)

    assert not report.decided
    assert set(report.insufficient_data) == {one.shown for one in report.metrics}
    assert not judged(reference, weather(rng, 3).slice(0, 0), predict=model).decided


def test_windows_without_a_change_stay_within_the_years_budget(reference: Baseline) -> None:
    budget = Budget(false_alarms_per_year=365 / 20)
    flags = [
        not judged(
            reference, weather(np.random.default_rng(seed), 60), predict=model, budget=budget
        ).passed
        for seed in range(100, 160)
    ]

    assert sum(flags) <= 6  # Three are allowed; more than six would be one chance in 30.


def test_rows_without_a_model_are_refused_with_the_mend(
    reference: Baseline, rng: np.random.Generator
) -> None:
    with pytest.raises(InputError, match=r"made by asking a model.*name the model"):
        judged(reference, weather(rng, 100))
    with pytest.raises(InputError, match=r'"d" is not in the data'):
        judged(reference, weather(rng, 100).drop_columns("d"), predict=model)
    with pytest.raises(InputError, match="no attributions; make it again with"):
        judged(replace(reference, attributions=None), weather(rng, 100), predict=model)


def test_a_document_changed_by_hand_wins_over_what_was_measured(
    reference: Baseline, rng: np.random.Generator
) -> None:
    whole = complete(reference)
    document = json.loads(whole.documents["analysis.json"])
    values = document["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert list(values) == [*"abcd", "carrier"]
    values["d"] = 3 * values["a"]

    changed = replace(whole, documents={"analysis.json": json.dumps(document)})

    assert judged(whole, weather(rng, 400), predict=model).passed
    assert not judged(changed, weather(rng, 400), predict=model).passed


def test_points_carry_sagemakers_names_and_our_own_the_true_method(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 300), predict=model)

    points = {(one.namespace, one.name): one for one in report.points}
    namespace = "aws/sagemaker/Endpoints/explainability-metrics"
    feature = points[namespace, "feature_carrier"]
    assert feature.dimensions == {
        "ExplainabilityMethod": "KernelShap",
        "Label": "label0",
        "ValueType": "GlobalShapValues",
    }
    assert points[namespace, "ExpectedValue"].dimensions["ValueType"] == "ExpectedValue"
    own = points["Driftline", "attribution_ndcg"]
    assert own.dimensions["ExplainabilityMethod"] == "permutation"
    analysis = json.loads(report.files["analysis.json"])
    values = analysis["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert values["carrier"] == feature.value


def test_a_captured_window_is_judged_and_its_numbers_are_stored(
    engine, root: str, append, reference: Baseline, rng: np.random.Generator
) -> None:
    store.put(root, "base", complete(reference), lambda: START)
    rows = weather(rng, 500, d=12)
    append(0, {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names})
    definition = MonitorDefinition("leaning", "flights", "base", kind="attribution")

    execution = run(
        Job(
            engine,
            root,
            definition,
            Window(START, START + timedelta(days=1)),
            now=lambda: START + timedelta(days=2),
            signature=reference.signature,
            predict=model,
        )
    )

    assert (execution.status, execution.row_count) == ("CompletedWithViolations", 500)
    assert "the model leans on other features: d " in execution.cause
    with engine.connect() as connection:
        names = {row.name for row in connection.execute(select(metrics.c.name))}
    assert {"feature_d", "ExpectedValue", "attribution_ndcg", "tickets"} <= names
    written = {file.name for file in Path(root, execution.folder).iterdir()}
    assert written == {"analysis.json", "constraint_violations.json", "report.json"}


def test_share_errors_are_those_of_repeated_samples() -> None:
    random = np.random.default_rng(2)

    def draw() -> Importance:
        common = random.exponential(size=(500, 1))
        rows = (common * random.exponential(size=(500, 4)) * [4, 2, 1, 1]).astype(np.float32)
        return Importance.of_rows(tuple("abcd"), rows)

    drawn = [draw() for _ in range(400)]

    spread = np.std([one.shares for one in drawn], axis=0)
    np.testing.assert_allclose(
        np.mean([one.share_errors for one in drawn], axis=0), spread, rtol=0.12
    )
    level = np.std([np.log(one.total) for one in drawn])
    assert np.mean([one.total_error for one in drawn]) == pytest.approx(level, rel=0.12)


def test_one_feature_alone_has_no_ranking() -> None:
    rows = np.abs(np.random.default_rng(0).normal(size=(100, 1))).astype(np.float32)
    one = Importance.of_rows(("a",), rows)

    (finding,) = settle([compare(one, one, None)], 0.01)

    assert np.isnan(finding.comparison.ndcg)
    assert not finding.order
    assert not finding.moved.any()


def test_a_baseline_of_a_function_is_made_in_python_alone(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    Baseline.fit(weather(np.random.default_rng(1), 3_000), predict=model).save(tmp_path)

    assert (tmp_path / "analysis.json").exists()
    assert judged(Baseline.load(tmp_path), weather(rng, 500), predict=model).passed
    assert not judged(Baseline.load(tmp_path), weather(rng, 500, d=30), predict=model).passed


def test_windows_of_one_length_share_what_is_drawn_from_the_reference(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*given: object, **named: object) -> Tail:
        made.append(1)
        return block_tail(*given, **named)  # type: ignore[arg-type]  # Handed on as they come.

    monkeypatch.setattr(evaluation, "block_tail", counted)
    rows = weather(np.random.default_rng(1), 3_000)
    times = [START + timedelta(hours=one % 720) for one in range(3_000)]
    known = Baseline.fit(rows.append_column("time", pa.array(times)), timestamp="time")
    known = explain_reference(
        open_source(rows.append_column("time", pa.array(times))), known, model, background=5
    )
    windows = [weather(rng, 300) for _ in range(2)]
    monitor = dl.Monitor(known, kind="attribution", predict=model)
    day = timedelta(days=1)

    found = [monitor.check(one, time=START + (40 + at) * day) for at, one in enumerate(windows)]

    assert made == [1]
    alone = dl.Monitor(known, kind="attribution", predict=model).check(
        windows[1], time=START + 41 * day
    )
    assert alone.to_dict() == found[1].to_dict()


def test_the_rows_behind_a_change_are_explained_one_by_one(
    reference: Baseline, rng: np.random.Generator
) -> None:
    rows = weather(rng, 900, d=40.0)

    report = judged(reference, rows, predict=model)

    shown = report.details["rows"]["label0"]
    assert "d " in report.cause
    assert len(shown) == 5
    answers = model(rows)
    for one in shown:
        assert one["answer"] == pytest.approx(answers[one["row"]], abs=1e-5)
        assert next(iter(one["contributions"])) == "d"
        assert len(one["contributions"]) == 5
    expected = shown[0]["answer"] - sum(shown[0]["contributions"].values())
    behind = Attributions.from_arrow(reference.attributions).background
    assert expected == pytest.approx(model(behind).mean(), abs=1e-5)
    assert "Rows explained" in report._repr_html_()
    assert "explained_note" not in report.details
    assert side_tables(report)[0].heads[1] == ("answer", True)  # A function's unit is not known.


@pytest.mark.parametrize(
    ("units", "positive", "head"),
    [
        ("log-odds", "late", "answer (log-odds)"),
        ("margin", "late", "answer (margin)"),
        ("margin", "", "answer (margin)"),
        ("probability", "late", "answer (probability)"),
        ("answer", "late", "answer (probability)"),
        ("value", "", "answer"),
    ],
)
def test_an_explained_answer_has_its_unit(units: str, positive: str, head: str) -> None:
    rows = {"label0": [{"row": 1, "answer": -7.0, "contributions": {"a": 1.0}}]}
    details = {"units": units, "positive": positive, "rows": rows}
    report = Report("attribution", (), 9, details=details)

    assert (head, True) in side_tables(report)[0].heads


def test_a_report_says_how_many_rows_were_explained_where_not_all_were(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 3_000), predict=model)

    told = "1,000 of 3,000 rows explained, drawn by lot"
    assert report.details["explained_note"] == told
    assert told in report.html()


def test_captured_rows_are_named_by_their_ids(
    reference: Baseline, rng: np.random.Generator
) -> None:
    rows = weather(rng, 300, d=40.0)
    ids = pa.array([f"e{at}" for at in range(300)])
    named = rows.append_column("event_id", ids).append_column("row_index", pa.array([0] * 300))

    plain, told = (judged(reference, one, predict=model) for one in (rows, named))

    numbers = [one["row"] for one in plain.details["rows"]["label0"]]
    assert [one["event_id"] for one in told.details["rows"]["label0"]] == [
        f"e{at}" for at in numbers
    ]
