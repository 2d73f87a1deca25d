import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sqlalchemy import select

import driftline as dl
from driftline.alerts.tables import metrics
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.attribution import evaluation
from driftline.monitors.kinds.attribution.blocks import block_tail
from driftline.monitors.kinds.attribution.drift import compare, settle
from driftline.monitors.kinds.attribution.evaluation import evaluate, suggest
from driftline.monitors.kinds.attribution.explaining import Served, explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions, Importance
from driftline.monitors.kinds.attribution.ranking import Tail
from driftline.monitors.kinds.attribution.shapley import Contributions
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.report.report import Report
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.rows import Rows, WindowFacts
from driftline.monitors.run.execution import Job, run

START = datetime(2024, 1, 1, tzinfo=UTC)


def weather(random: np.random.Generator, rows: int, **shift: float) -> pa.Table:
    """Rows whose features a model leans on unequally, one of them a text."""
    numbers = {name: random.normal(size=rows) * shift.get(name, 1) for name in ("a", "b", "c", "d")}
    return pa.table({**numbers, "carrier": random.choice(["UA", "B6", "DL"], rows)})


def model(rows: pa.Table) -> np.ndarray:
    a, b, c, d = (rows[name].to_numpy() for name in "abcd")
    carrier = np.array(
        [{"UA": 1.0, "B6": 0.0, "DL": -1.0}[one] for one in rows["carrier"].to_pylist()]
    )
    return 1 / (1 + np.exp(-(0.8 * a + 0.6 * b + 0.3 * c * b + 0.1 * d + 0.4 * carrier)))


@pytest.fixture(scope="module")
def reference() -> Baseline:
    rows = weather(np.random.default_rng(1), 3_000)
    return explain_reference(open_source(rows), Baseline.fit(rows), model, background=5)


def judged(reference: Baseline, rows: object, **options: object) -> Report:
    return check(rows, reference, kind="attribution", **options)


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
    with pytest.raises(InputError, match='kind "data-quality" asks no model; leave predict='):
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


@dataclass(frozen=True)
class Named:
    """The model as one that is known by a name."""

    model: str
    features = None
    labels = ()
    units = "answer"
    method = method_units = "permutation"

    def __call__(self, rows: pa.Table) -> np.ndarray:
        return model(rows)

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        raise NotImplementedError


AFTER = (
    "the model was changed on 2024-01-04 00:00 UTC, after this window: another one answered the "
    "rows that this one explains"
)
WITHIN = (
    "the model was changed on 2024-01-01 06:00 UTC{}, within this window: different models "
    "answered its rows, and the one that serves now explains all of them"
)


@pytest.mark.parametrize(
    ("served", "note"),
    [
        ([], None),
        ([(-24, "new")], None),
        ([(-24, "old"), (0, "new")], None),  # The window begins with it.
        ([(-24, "old"), (72, "new")], AFTER),
        ([(-24, "new"), (48, "old"), (72, "new")], None),  # Another one came and went.
        ([(-24, "old"), (6, "new")], WITHIN.format("")),
        ([(-24, "new"), (6, "old"), (7, "new")], WITHIN.format(" and 1 more time")),
        ([(6, "new")], None),  # The endpoint was made within the window.
        ([(48, "old"), (72, "new")], None),  # It is not known who answered before.
        ([(-24, "old other"), (72, "new other")], AFTER),
        ([(-24, "new old"), (72, "new other")], None),  # It answered, too, as it does now.
    ],
)
def test_a_window_that_other_models_answered_is_told(
    reference: Baseline, rng: np.random.Generator, served: list[tuple[int, str]], note: str | None
) -> None:
    @dataclass(frozen=True)
    class FromEndpoint(Named):
        served: Sequence[Served]

    rows = weather(rng, 300)
    facts = WindowFacts(Window(START, START + timedelta(days=1)))
    given = Rows(lambda: iter(rows.to_batches()), facts=facts)
    spans = [
        Served(START + timedelta(hours=hour), frozenset(models.split())) for hour, models in served
    ]
    predict = FromEndpoint("new", spans)

    report = evaluate(CheckContext(named_model(reference, "new"), given, predict=predict))

    assert report.details.get("swap_note") == note


def named_model(reference: Baseline, name: str, units: str = "answer") -> Baseline:
    """The reference as if explained for a model of a name, which answers in some units."""
    stored = Attributions.from_arrow(reference.attributions)
    making = replace(stored.making, model=name, units=units)
    return replace(reference, attributions=replace(stored, making=making).to_arrow())


def test_another_model_is_judged_by_its_features_and_told(
    reference: Baseline, rng: np.random.Generator
) -> None:
    baseline = named_model(reference, "old")
    alike, other = weather(rng, 500), weather(rng, 500, d=30)

    report = judged(baseline, alike, predict=Named("new"))
    changed = judged(baseline, other, predict=Named("new"))

    note = "the model changed: the reference was explained for model old, now it is new"
    assert report.passed
    assert report.details["model_note"] == note
    assert changed.details["model_note"] == note
    assert {one.fields["metric_name"] for one in changed.violations} == {"shap"}
    assert "level" not in {one.feature_name for one in changed.violations}
    assert changed.violations[0].cause.startswith("the model changed, and the ")
    assert "model_note" not in judged(baseline, alike, predict=Named("old")).details


def test_a_function_is_judged_with_a_baseline_of_a_model_file(
    reference: Baseline, rng: np.random.Generator
) -> None:
    baseline = named_model(reference, "digest", "probability")

    assert judged(baseline, weather(rng, 500), predict=model).passed
    report = judged(baseline, weather(rng, 500, d=30), predict=model)

    assert report.decided
    assert "shares" in {one.feature_name for one in report.violations}
    [level] = [one for one in report.metrics if one.name == "level"]
    assert level.note == "incomparable: the units of a function are not known"
    assert level.bound is None


def test_another_method_is_not_compared_at_all(
    reference: Baseline, rng: np.random.Generator
) -> None:
    stored = Attributions.from_arrow(reference.attributions)
    other = replace(stored, making=replace(stored.making, method="tree_path_dependent"))

    report = judged(
        replace(reference, attributions=other.to_arrow()), weather(rng, 99), predict=model
    )

    assert [one.value for one in report.metrics] == [None]
    assert 'explained by "tree_path_dependent"' in report.metrics[0].note
    assert report.row_count == 99


@dataclass(frozen=True)
class OwnWay(Named):
    """The model as one that explains itself by a way that no other has."""

    units = "probability"
    method, method_units = "tree_path_dependent", "margin"

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        values = np.column_stack([rows[name].to_numpy() for name in "abcd"] + [[0.1] * len(rows)])
        return Contributions(values[:, None, :], np.zeros(1))


def test_a_model_of_another_way_is_compared_by_permutations(rng: np.random.Generator) -> None:
    rows = weather(np.random.default_rng(1), 3_000)
    baseline = explain_reference(open_source(rows), Baseline.fit(rows), OwnWay("old"))

    own = judged(baseline, weather(rng, 500), predict=OwnWay("old"))
    alike = judged(baseline, weather(rng, 500), predict=Named("new"))
    other = judged(baseline, weather(rng, 500, d=30), predict=Named("new"))

    assert own.details["method"] == "tree_path_dependent"
    assert alike.passed
    assert alike.decided
    assert alike.details["method"] == "permutation"
    assert alike.details["model_note"].startswith("the model changed")
    assert "shares" in {one.feature_name for one in other.violations}
    stored = Attributions.from_arrow(baseline.attributions)
    assert stored.background.num_rows == 0
    # As many rows as a window's 60,000 model rows explain, against ten.
    assert len(stored.permuted.rows["label0"]) == 60_000 // (2 * 10 * 4)


def test_a_model_that_explains_itself_is_asked_for_more_rows_of_a_reference() -> None:
    rows = weather(np.random.default_rng(1), 6_000)
    fitted = Baseline.fit(rows)

    own = explain_reference(open_source(rows), fitted, OwnWay("own"))
    asked = explain_reference(open_source(rows), fitted, Named("asked"), background=1)

    counts = [Attributions.from_arrow(one.attributions).rows["label0"] for one in (own, asked)]
    assert [len(one) for one in counts] == [5_000, 2_000]


def test_rows_without_a_model_are_refused_with_the_mend(
    reference: Baseline, rng: np.random.Generator
) -> None:
    with pytest.raises(InputError, match=r"made by asking a model.*give --model"):
        judged(reference, weather(rng, 100))
    with pytest.raises(InputError, match=r'"d" is not in the data'):
        judged(reference, weather(rng, 100).drop_columns("d"), predict=model)
    with pytest.raises(InputError, match="no attributions; make them with"):
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


def test_every_class_of_several_is_judged_under_its_own_label(rng: np.random.Generator) -> None:
    def three(rows: pa.Table) -> np.ndarray:
        score = np.column_stack(
            [rows["a"].to_numpy(), rows["b"].to_numpy(), 0 * rows["a"].to_numpy()]
        )
        weights = np.exp(score)
        return weights / weights.sum(axis=1, keepdims=True)

    rows = weather(rng, 1_500)
    baseline = explain_reference(open_source(rows), Baseline.fit(rows), three, background=3)

    report = judged(baseline, weather(rng, 400), predict=lambda rows: three(rows)[:, [1, 0, 2]])

    labels = json.loads(suggest(baseline)["analysis.json"])["explanations"]["kernel_shap"]
    assert list(labels) == ["label0", "label1", "label2"]
    assert {one.document["label"] for one in report.violations} == {"label0", "label1"}
    assert {one.feature_name for one in report.violations} >= {"label0: shares", "label1: shares"}


def test_classes_have_the_names_that_a_fitted_estimator_gives_them(
    rng: np.random.Generator,
) -> None:
    rows = weather(rng, 400).drop_columns("carrier").to_pandas()
    sorts = np.select([rows["a"] > 0.5, rows["b"] > 0.5], ["late", "early"], "on time")
    fitted = LogisticRegression().fit(rows, sorts)
    named = dl.Baseline.fit(rows, predict=fitted.predict_proba)
    unnamed = dl.Baseline.fit(rows, predict=lambda table: fitted.predict_proba(table))

    report = dl.check(rows, named, predict=fitted.predict_proba)
    # Of a version before, or of the estimator behind a function.
    older = dl.check(rows, unnamed, predict=fitted.predict_proba)
    behind = dl.check(rows, named, predict=lambda table: fitted.predict_proba(table))

    levels = {"early: level", "late: level", "on time: level"}
    assert {one.shown for one in report.metrics if one.name == "level"} == levels
    assert {*report.details["rows"]} == {"early", "late", "on time"}
    assert older.passed
    assert behind.passed
    assert behind.decided


def test_the_class_of_an_only_output_is_told_where_people_read(
    reference: Baseline, rng: np.random.Generator
) -> None:
    @dataclass(frozen=True)
    class OfTwo(Named):
        positive: str = "late"

    rows = weather(rng, 300)

    two = judged(named_model(reference, "one"), rows, predict=OfTwo("one"))
    value = judged(reference, rows, predict=model)

    assert {one.label for one in two.shown_metrics} == {"late"}
    assert {row[0] for table in side_tables(two) for row in table.rows} == {"late"}
    # Whoever reads them by SageMaker's name goes on doing so.
    assert {one.label for one in two.metrics} == {"label0"}
    assert {one.label for one in value.shown_metrics} == {""}
    assert [head for table in side_tables(value) for head, _ in table.heads] == [
        "row", "answer", "contributions",
    ]  # fmt: skip


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
