"""Which model explains a window, which ones answered it, and what its outputs are called."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import driftline as dl
from driftline.app.commands.junit import junit
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.answering_models import Served
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.attribution.evaluation import evaluate, suggest
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions
from driftline.monitors.kinds.attribution.shapley import Contributions
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.rows import Rows, WindowFacts
from tests.monitors.kinds.attribution.leaning import START, judged, model, weather


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
    rows = weather(rng, 300)
    facts = WindowFacts(Window(START, START + timedelta(days=1)))
    given = Rows(lambda: iter(rows.to_batches()), facts=facts)
    spans = [
        Served(START + timedelta(hours=hour), frozenset(models.split())) for hour, models in served
    ]
    baseline = named_model(reference, "new")

    report = evaluate(CheckContext(baseline, given, predict=Named("new"), served=spans))

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


def test_a_model_that_answers_the_opposite_is_a_violation_however_alike_its_sizes(
    reference: Baseline, rng: np.random.Generator
) -> None:
    @dataclass(frozen=True)
    class Opposite(Named):
        def __call__(self, rows: pa.Table) -> np.ndarray:
            return 1.0 - model(rows)

    def turned(rows: pa.Table) -> np.ndarray:  # Of one feature alone, a text.
        swapped = [{"UA": "DL", "DL": "UA"}.get(one, one) for one in rows["carrier"].to_pylist()]
        return model(rows.set_column(4, "carrier", pa.array(swapped)))

    rows = weather(rng, 300)

    same = judged(named_model(reference, "old"), rows, predict=Named("new"))
    report = judged(named_model(reference, "old"), rows, predict=Opposite("new"))
    one = judged(reference, rows, predict=turned)
    few = judged(reference, weather(rng, 25), predict=turned)
    clarify = judged(reference, rows, predict=turned, compat=True)

    assert same.headline == "300 rows, no violations; the model changed"
    assert same.to_dict()["headline"] == same.headline
    assert f'name="headline" value="{same.headline}"' in junit([same])
    assert [found.feature_name for found in report.violations] == ["direction"]
    assert report.headline == "300 rows, 1 violation; the model changed"
    assert "the model changed, and features move the model's answers the opposite" in report.cause
    assert "all that count do, as if classes" in report.cause
    [direction] = [found for found in report.metrics if found.name == "direction"]
    assert direction.value < -0.9
    assert [found.feature_name for found in one.violations] == ["direction"]
    assert "way: carrier (agreement 0.99 to -0.99)" in one.cause
    assert not few.violations
    assert clarify.passed


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
