"""Quality without labels: what is estimated, how surely, when not at all, and when labels deny it.

Golden numbers: NannyML 0.13.1, the functions ``estimate_…`` of its CBPE, of the same ten rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import driftline as dl
from driftline.baseline.answers import Answers
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.catalog import settle_roles
from driftline.monitors.kinds.model_quality import estimates
from driftline.monitors.kinds.model_quality.estimator import (
    learn_estimator,
    realised_on_scale,
    why_not,
)
from driftline.monitors.kinds.model_quality.evaluation import evaluate
from driftline.monitors.kinds.model_quality.expected_metrics import (
    drawn_variances,
    expected_metrics,
    realised_outcome,
)
from driftline.monitors.kinds.model_quality.outcome_models import learn_outcomes
from driftline.monitors.kinds.model_quality.score_forms import why_turned
from driftline.monitors.rows import Rows
from driftline.roles import Roles
from tests.monitors.kinds.model_quality.cases import BINARY, DAY_ROWS, ask, flights, of, times

CHANCES = np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.55, 0.6, 0.8, 0.9, 0.97])
KIND = "model-quality"


def answers(chance: np.ndarray, label: np.ndarray | None = None) -> Answers:
    rows = len(chance)
    several = chance.ndim == 2
    truth = np.zeros(rows, np.intp) if label is None else label.astype(np.intp)
    said = chance.argmax(axis=1) if several else (chance > 0.5).astype(np.intp)
    classes = tuple("abcdef"[: chance.shape[1]]) if several else ("0", "1")
    problem = "multiclass" if several else "binary"
    return Answers(problem, truth, said, classes, chance, None, 0, np.arange(rows))


def calibrated(rows: int, seed: int, *, error: float = 0.0) -> Answers:
    """Draw labels by the scores; with an error the scores say too much."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.0, 2.0, rows)
    return answers(chance ** (1.0 - error), rng.random(rows) < chance)


def nothing(rows: Answers) -> np.ndarray:
    return np.zeros((len(rows), 0))


def estimator_of(reference: Answers, rows: int):
    none = np.zeros(0, np.bool_)
    return learn_estimator(reference, nothing(reference), none, length=None, rows=rows)


def unlabelled(table: pa.Table) -> pa.Table:
    return table.drop_columns(["late"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auc", 0.8576915690416747),
        ("f1", 0.7701612903225805),
        ("precision", 0.764),
        ("recall", 0.7764227642276423),
        ("true_negative_rate", 0.767716535433071),
        ("accuracy", 0.772),
    ],
)
def test_expected_metrics_are_those_of_nannyml(name: str, expected: float) -> None:
    found = expected_metrics(answers(CHANCES), CHANCES[None])

    assert found[name][0] == pytest.approx(expected, abs=1e-9)


def test_what_is_expected_is_the_mean_of_what_is_drawn() -> None:
    rng = np.random.default_rng(1)
    chance = rng.beta(1.0, 2.0, 4_000)
    drawn = (rng.random((400, 4_000)) < chance).astype(float)

    expected = expected_metrics(answers(chance), chance[None])
    found = expected_metrics(answers(chance), drawn)

    for name, values_drawn in found.items():
        error = values_drawn.std() / 20.0
        # Six standard errors, and what a ratio's mean differs from the ratio of means.
        assert expected[name][0] == pytest.approx(values_drawn.mean(), abs=6 * error + 5e-4), name


def test_several_classes_with_sure_chances_are_measured_as_their_labels() -> None:
    label = np.random.default_rng(2).integers(0, 3, 500)
    rows = answers(np.random.default_rng(3).dirichlet(np.ones(3), 500), label)

    realised = expected_metrics(rows, realised_outcome(rows))

    measured = dl_metrics(rows)
    for name, found in realised.items():
        assert found[0] == pytest.approx(measured[name], abs=1e-12), name


def dl_metrics(rows: Answers) -> dict[str, float]:
    from driftline.monitors.kinds.model_quality.metrics import measure_answers

    return {name: one.value for name, one in measure_answers(rows).items()}


def test_realised_metrics_of_two_classes_are_those_that_labels_give() -> None:
    rows = calibrated(2_000, 4)

    realised = expected_metrics(rows, realised_outcome(rows))

    for name, found in realised.items():
        assert found[0] == pytest.approx(dl_metrics(rows)[name], abs=1e-12), name


def test_scores_that_are_calibrated_are_left_as_they_are_and_others_are_not() -> None:
    good, bad = calibrated(20_000, 5), calibrated(20_000, 5, error=0.5)

    kept = [learn_outcomes(one, nothing(one), np.zeros(0, np.bool_)) for one in (good, bad)]

    assert kept[1].is_kept
    assert kept[1].error < 0.02 < kept[1].error_without
    window = calibrated(20_000, 6, error=0.5)
    share = kept[1].outcome(window, nothing(window)).mean()
    assert share == pytest.approx(np.mean(window.label), abs=0.03)  # Six standard errors.
    assert kept[0].error_without < 0.02


@pytest.mark.parametrize("error", [0.0, 0.4])
def test_intervals_hold_what_labels_will_say(pytestconfig: pytest.Config, error: float) -> None:
    windows, too_few = (200, 168) if pytestconfig.getoption("full") else (60, 43)
    found = estimator_of(calibrated(6_000, 7, error=error), 600)
    inside = {"accuracy": 0, "auc": 0, "recall": 0}
    for seed in range(windows):
        window = calibrated(600, 1_000 + seed, error=error)
        estimates = found.estimate(window, nothing(window))
        realised = expected_metrics(window, realised_outcome(window))
        for name in inside:
            inside[name] += estimates[name].low <= realised[name][0] <= estimates[name].high

    # Of 200 at 95%, 168 and fewer have a chance below 1e-8; of 60, 43 and fewer.
    assert min(inside.values()) > too_few


def test_a_window_of_one_class_has_no_area_and_constant_scores_have_one_half() -> None:
    found = estimator_of(calibrated(3_000, 8), 300)
    flat = answers(np.full(300, 0.3))

    estimates = found.estimate(flat, nothing(flat))

    assert estimates["auc"].value == pytest.approx(0.5)
    assert estimates["accuracy"].value == pytest.approx(0.7, abs=0.1)
    one = answers(np.full(300, 0.3), np.ones(300))
    assert np.isnan(expected_metrics(one, realised_outcome(one))["auc"][0])
    assert "precision" not in estimates  # None is said to be positive.


def test_sure_scores_have_finite_variances() -> None:
    rows = answers(np.repeat([0.0, 1.0], 50))

    found = drawn_variances(rows, rows.probability)

    assert all(np.isfinite(list(found.values())))


def test_draws_without_a_positive_leave_the_variances_finite() -> None:
    # Of 20 rows of 5% each, one draw in three has none.
    rows = answers(np.linspace(0.04, 0.06, 20))

    found = drawn_variances(rows, rows.probability)

    assert {"brier_skill", "recall", "auc"} <= {*found}
    assert all(np.isfinite(value) for value in found.values()), found


def test_a_reference_of_few_rows_or_without_probabilities_estimates_nothing() -> None:
    assert "300 are needed" in why_not(calibrated(200, 9))
    assert "no probabilities" in why_not(replace(calibrated(500, 9), probability=None))
    rare = answers(np.full(500, 0.1), np.arange(500) < 5)
    assert "5 rows of the rarer class" in why_not(rare)


@pytest.mark.parametrize("several", [False, True])
def test_a_reference_whose_labels_deny_its_own_estimates_estimates_nothing(several: bool) -> None:
    rng = np.random.default_rng(10)
    if several:
        chance = rng.dirichlet(np.ones(3), 3_000)
        label = (rng.random((3_000, 1)) > chance.cumsum(axis=1)[:, :-1]).sum(axis=1)
        ordinary, turned = answers(chance, label), answers(chance[:, ::-1], label)
    else:
        ordinary = calibrated(3_000, 10)
        turned = answers(1.0 - ordinary.probability, ordinary.label)

    denied = [estimator_of(one, 300).denied for one in (ordinary, turned)]

    assert not denied[0]
    assert {"accuracy", "brier"} <= {*denied[1]}
    for name, (estimate, realised) in denied[1].items():
        assert realised == realised_on_scale(turned)[name][0]
        assert (estimate < realised) == (name == "brier")


def test_ordinary_references_deny_none_of_their_estimates() -> None:
    denied = [
        estimator_of(calibrated(rows, seed, error=error), 300).denied
        for rows in (400, 4_000)
        for error in (0.0, 0.4)
        for seed in range(10)
    ]

    assert not any(denied)


def test_scores_that_rank_the_positive_class_low_are_not_estimated_of() -> None:
    def table(seed: int) -> pa.Table:
        rows = calibrated(3_000, seed)
        return pa.table({"repaid": rows.label, "risk": 1.0 - rows.probability})

    baseline = Baseline.fit(table(11), label="repaid", probability="risk")

    told = dl.check(table(12), baseline, kind=KIND)
    untold = dl.check(table(12).drop_columns(["repaid"]), baseline, kind=KIND)

    # Their labels are what they were: nothing of them is a violation.
    assert not told.violations
    assert untold.violations == () and not untold.decided
    note = untold.details["estimate_note"]
    assert note.startswith(
        "cannot estimate: on the reference itself the estimate of AUC is 0.50 and its labels say "
    )
    assert ': "risk" may be a score of another class than "1"' in note
    assert 'its rows have the lower "risk"' in untold.details["positive_note"], "told once"


def test_a_window_without_labels_is_judged_by_its_estimates(reference: Baseline) -> None:
    report = ask(reference, unlabelled(flights(7, 20)))

    one = of(report)["estimated_auc"]
    assert report.passed
    assert one.low < 0.77 < one.high
    assert one.bound is not None
    assert one.low > one.bound
    assert report.summary.startswith("2,100 rows, no violations")
    assert "no row has a label yet, quality is estimated" in report.summary
    assert report.details["estimate_note"].startswith("estimated without labels: AUC 0.7")
    assert {one.name for one in report.points} >= {"estimated_auc", "estimated_recall"}
    assert "stimated without labels" in report.html()


def test_null_labels_are_estimated_as_a_column_that_is_not_there(reference: Baseline) -> None:
    table = flights(7, 20)
    nulls = table.set_column(2, "late", pa.nulls(len(table), pa.int64()))

    assert ask(reference, nulls).metrics == ask(reference, unlabelled(table)).metrics


def test_a_label_column_that_is_not_there_is_told(reference: Baseline) -> None:
    table = flights(7, 20)
    told = 'the data has no column "late"'

    misspelt = ask(reference, table.rename_columns(["time", "origin", "Late", "said", "chance"]))
    few = ask(reference, unlabelled(table.slice(0, 20)))

    assert misspelt.details["estimate_note"].startswith("estimated without labels: AUC 0.7")
    assert misspelt.details["estimate_note"].endswith(f"; {told}")
    assert few.details["estimate_note"] == told
    nulls = table.set_column(2, "late", pa.nulls(len(table)))
    for named in (table, nulls):
        assert told not in ask(reference, named).details["estimate_note"]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.bool_(), pa.float64()])
@pytest.mark.parametrize("is_first", [True, False])
def test_rows_with_and_without_a_label_column_are_one_window(
    reference: Baseline, kind: pa.DataType, is_first: bool
) -> None:
    table = flights(7, 20)
    labels = table["late"].cast(pa.bool_() if kind == pa.bool_() else kind)
    table = table.set_column(2, "late", labels)
    parts = [table.slice(0, 1_050), unlabelled(table.slice(1_050))]
    batches = [one for part in parts[:: 1 if is_first else -1] for one in part.to_batches()]
    known = settle_roles(Roles.of(), reference)

    report = evaluate(CheckContext(reference, Rows(lambda: iter(batches)), known, Budget()))

    assert (report.row_count, report.labelled_count) == (2_100, 1_050)
    assert "labels of 1,050 of 2,100 rows say 0.7" in report.details["estimate_note"]


def test_a_model_that_knows_less_is_a_ticket_before_its_labels_come(reference: Baseline) -> None:
    def vague(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["logit"] = columns["truth"] = rng.normal(-0.3, 0.2, len(columns["logit"]))

    report = ask(reference, unlabelled(flights(7, 21, change=vague)))

    broken = {one.feature_name: one.severity for one in report.violations}
    assert broken["estimated_auc"] == "ticket"
    assert set(broken.values()) == {"ticket"}


def test_labels_stand_beside_the_estimates(reference: Baseline) -> None:
    report = ask(reference, flights(7, 22))

    beside = report.details["estimates"]["auc"]
    assert beside["realised"] == pytest.approx(of(report)["auc"].value)
    assert beside["low"] < beside["realised"] < beside["high"]
    assert of(report)["estimated_auc"].bound is None  # Labels are judged.
    assert "2,100 labelled rows say 0.7" in report.details["estimate_note"]


def test_labels_that_deny_an_estimate_are_told_and_it_is_withheld(reference: Baseline) -> None:
    def other(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["truth"] = -columns["logit"]

    report = ask(reference, flights(7, 23, change=other))

    denied = [one for one in report.violations if one.constraint_check_type == "estimate_check"]
    assert len(denied) == 1
    assert denied[0].severity == "ticket"
    assert "concept drift" in denied[0].cause
    assert of(report)["estimated_auc"].value is None
    assert of(report)["estimated_auc"].note.startswith("cannot estimate: labels that came")


def test_an_estimate_that_lies_apart_from_what_some_labels_say_is_told(reference: Baseline) -> None:
    def other(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        columns["truth"] = -columns["logit"]

    told = []
    for table in (flights(7, 23, change=other), flights(7, 22)):
        has_none = pa.array(np.random.default_rng(1).random(len(table)) < 0.4)
        some = pc.if_else(has_none, pa.scalar(None, pa.int64()), table["late"])
        report = ask(reference, table.set_column(2, "late", some))
        assert report.details["estimate_note"].startswith("estimated without labels: AUC 0.7")
        told.append(report.details["estimate_note"])

    one = of(ask(reference, table))["auc"]
    assert one.low < one.value
    assert "; they disagree: by labels it is 0.2" in told[0]
    assert "disagree" not in told[1]


def test_labels_of_one_class_alone_are_told_as_such_and_are_no_concept_drift(
    reference: Baseline,
) -> None:
    table = flights(7, 23)
    usual = table["late"].to_numpy()
    column = table.column_names.index("late")
    one = table.set_column(column, "late", pa.array(np.zeros(len(usual), dtype=np.int64)))

    report = ask(reference, one)
    few = ask(reference, one.take(np.flatnonzero(usual == 0)[:3]))

    [denied] = [each for each in report.violations if each.feature_name.startswith("estimated_")]
    assert 'was estimated: all labels are "0"; in the reference 7' in denied.cause
    assert "concept drift" not in str(report.details) + denied.cause
    assert "baseline" not in denied.cause
    assert 'all labels are "0"; in the reference 7' in report.details["answers_note"]
    assert "all labels" not in few.details.get("answers_note", "")  # Three by chance.


def test_inputs_that_the_reference_never_had_are_not_estimated(reference: Baseline) -> None:
    table = unlabelled(flights(7, 24))
    strange = table.set_column(1, "origin", pa.array(["LAX"] * len(table)))

    report = ask(reference, strange)

    assert not report.decided
    assert report.summary == (
        "2,100 rows, none of them has a label yet; cannot estimate: 100% of the rows have values "
        'that the reference never had, most of them of origin; the data has no column "late"; '
        "nothing could be judged"
    )
    assert [one.name for one in report.unjudged] == ["estimated_auc"]


@pytest.mark.parametrize("is_told_by", ["predictions", "distribution"])
def test_scores_that_came_turned_are_not_estimated(is_told_by: str) -> None:
    def turned(table: pa.Table) -> pa.Table:
        chance = pa.array(1.0 - table["chance"].to_numpy())
        return table.set_column(table.column_names.index("chance"), "chance", chance)

    roles, names = dict(BINARY), ["late"]
    if is_told_by == "distribution":
        names.append(str(roles.pop("prediction")))
    baseline = Baseline.fit(flights(28, 1).drop_columns(names[1:]), **roles)
    window = flights(7, 24).drop_columns(names)

    report = ask(baseline, turned(window))

    said = "rank predictions" if is_told_by == "predictions" else "1 - score is distributed"
    assert said in of(report)["estimated_auc"].note
    assert not report.decided
    assert of(ask(baseline, window))["estimated_auc"].value is not None


def test_scores_that_only_moved_are_not_taken_for_turned() -> None:
    reference, rng = calibrated(20_000, 1), np.random.default_rng(2)
    even = answers(rng.beta(2.0, 2.0, 20_000))
    for power in (0.2, 0.5, 1.0, 2.0, 5.0):
        assert why_turned(reference, answers(rng.beta(1.0, 2.0, 500) ** power)) == ""
        assert why_turned(even, answers(1.0 - rng.beta(2.0, 2.0, 500) ** power)) == ""
    assert why_turned(reference, answers(1.0 - rng.beta(1.0, 2.0, 500))) != ""


def test_classes_are_not_estimated_without_their_inputs(reference: Baseline) -> None:
    report = ask(reference, unlabelled(flights(7, 24)).drop_columns(["origin"]))

    assert "100% of the rows lack values" in of(report)["estimated_auc"].note


def test_windows_of_one_length_share_what_is_learnt_of_the_reference(
    reference: Baseline, monkeypatch
) -> None:
    made: list[int] = []

    def counted(*given, **named):
        made.append(1)
        return learn_estimator(*given, **named)

    monkeypatch.setattr(estimates, "learn_estimator", counted)
    week, start = timedelta(days=7), datetime(2024, 6, 3, tzinfo=UTC)
    windows = [flights(7, seed) for seed in (30, 31)]
    monitor = dl.Monitor(reference, kind=KIND, period=week)

    found = [monitor.check(one, time=start + at * week) for at, one in enumerate(windows)]

    assert made == [1]
    alone = dl.Monitor(reference, kind=KIND, period=week).check(windows[1], time=start + week)
    assert alone.to_dict() == found[1].to_dict()


def test_a_few_labels_are_judged_beside_estimates_of_all_rows(reference: Baseline) -> None:
    table = flights(7, 25)
    late = table["late"].to_pylist()[:300] + [None] * (len(table) - 300)

    report = ask(reference, table.set_column(2, "late", pa.array(late)))

    assert of(report)["auc"].count <= 300
    assert of(report)["estimated_auc"].count == len(table)
    assert of(report)["estimated_auc"].bound is not None


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_labels_that_come_first_move_no_bound_of_the_estimates(
    reference: Baseline, share: float
) -> None:
    week = flights(7, 30)
    come = np.arange(len(week)) < share * len(week)
    some = week.set_column(2, "late", pa.array(week["late"].to_numpy(), mask=~come))

    before = of(dl.check(unlabelled(week), reference, kind=KIND))
    after = of(dl.check(some, reference, kind=KIND))

    judged = {name: one.bound for name, one in before.items() if one.bound is not None}
    assert "estimated_auc" in judged
    # They were those of spans as short as the labelled rows'.
    assert {name: after[name].bound for name in judged} == judged


def hourly(days: int, seed: int, *, first: int = 0) -> pa.Table:
    """Two classes, more often positive in the first half of a day, of which the model knows not."""
    rng = np.random.default_rng(seed)
    known = rng.normal(-0.5, 1.0, days * DAY_ROWS)
    truth = known + 2.0 * np.sin(2 * np.pi * np.arange(len(known)) / DAY_ROWS)
    return pa.table(
        {
            "time": times(days, first),
            "late": (rng.random(len(known)) < 1 / (1 + np.exp(-truth))).astype(np.int64),
            "chance": 1 / (1 + np.exp(-known)),
        }
    )


@pytest.fixture(scope="module")
def of_hours() -> Baseline:
    roles = {name: one for name, one in BINARY.items() if name != "prediction"}
    return Baseline.fit(hourly(60, 1), **roles)


def first_hours(late: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.arange(len(late)) % DAY_ROWS < DAY_ROWS // 3


def positives_first(late: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(late)) < np.where(late == 1, 0.8, 0.1)


@pytest.mark.parametrize("come", [first_hours, positives_first])
def test_labels_that_come_in_order_deny_no_estimate_until_nearly_all_are_there(
    of_hours: Baseline, come: Callable[[np.ndarray, np.random.Generator], np.ndarray]
) -> None:
    for seed in range(2):
        table = hourly(1, 50 + seed, first=100)
        has_label = come(table["late"].to_numpy(), np.random.default_rng(seed))
        late = pa.array(table["late"].to_numpy(), mask=~has_label)

        report = ask(of_hours, table.set_column(1, "late", late), days=1)

        kinds = [one.constraint_check_type for one in report.violations]
        assert "estimate_check" not in kinds
        assert of(report)["estimated_auc"].value is not None
        assert f"labels of {has_label.sum()} of 300 rows say" in report.details["estimate_note"]
        assert report.details["estimates"]["auc"]["p_value"] is None


@pytest.mark.parametrize(
    ("slope", "come", "is_denied"),
    [(1.0, (0.8, 1.0), False), (-3.0, (0.92, 0.92), True), (-3.0, (0.8, 1.0), True)],
)
def test_labels_to_come_could_never_mend_an_estimate_that_is_denied(
    slope: float, come: tuple[float, float], is_denied: bool
) -> None:
    def weak(rows: int, seed: int, slope: float = 1.0) -> Answers:
        rng = np.random.default_rng(seed)
        logit = rng.normal(-1.2, 0.4, rows)  # Scores that tell little of which labels lack.
        label = rng.random(rows) < 1 / (1 + np.exp(-slope * (logit + 1.2) + 1.2))
        return answers(1 / (1 + np.exp(-logit)), label)

    found, window = estimator_of(weak(20_000, 1), 20_000), weak(20_000, 2, slope)
    chance = np.where(window.label == 1, *come)
    came = window.take(np.random.default_rng(3).random(len(window)) < chance)
    assert len(came) >= 0.9 * len(window)

    least = min(found.p_values(came, window, nothing(window)).values())

    assert least < 1e-6 if is_denied else least > 0.1
    # Held against the labelled rows alone, the estimate of the unchanged window is denied, too.
    alone = found.estimate(came, nothing(came))
    realised = realised_on_scale(came)
    assert min(one.p_value(realised[name][1]) for name, one in alone.items()) < 1e-3


def test_an_older_baseline_waits_for_the_label(reference: Baseline) -> None:
    older = replace(reference, estimation=None)

    report = ask(older, unlabelled(flights(7, 26)))

    assert not report.decided
    assert 'the data has no column "late"' in report.summary
    assert not any(one.name.startswith("estimated") for one in ask(older, flights(7, 26)).metrics)


def test_a_year_of_windows_is_estimated_without_a_false_violation(reference: Baseline) -> None:
    broken = sum(
        not ask(reference, unlabelled(flights(7, 300 + week))).passed for week in range(20)
    )

    # A tenth of a false alarm a year: two of these have a chance of 7e-4, three of 1e-5.
    assert broken < 3


def test_a_reference_of_one_date_says_why_nothing_is_estimated() -> None:
    rows = calibrated(1_000, 3)
    table = pa.table({"score": rows.probability, "late": rows.label})
    at = pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 1_000)
    baseline = Baseline.fit(
        table.append_column("at", at), label="late", probability="score", timestamp="at"
    )

    report = dl.check(unlabelled(table), baseline, kind=KIND)

    assert str(report.details["estimate_note"]).startswith(
        "cannot estimate: all rows of the reference with a time are of 2024-01-01, and two "
        "stretches as long as a window are needed to know how far estimates miss"
    )
    assert not report.decided


def test_few_rows_of_a_long_time_are_compared_by_longer_stretches_than_a_window() -> None:
    rows = calibrated(300, 3)
    table = pa.table({"score": rows.probability, "late": rows.label})
    days = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=6 * row) for row in range(300)]
    baseline = Baseline.fit(
        table.append_column("at", pa.array(days)), label="late", probability="score", timestamp="at"
    )

    report = dl.check(unlabelled(table.slice(0, 50)), baseline, kind=KIND)

    assert str(report.details["estimate_note"]).startswith("estimated without labels: AUC ")
