"""Several columns of probabilities: each is of the class that it names, in whatever order."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

CLASSES = ("early", "late", "on time")


def chances(seed: int, names: dict[str, str], count: int = 600) -> pa.Table:
    """Rows whose columns of probabilities have these names, by class, in this order."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet([1.0, 2.0, 3.0], count)
    truth = [CLASSES[rng.choice(3, p=line)] for line in values]
    columns = {names[one]: values[:, CLASSES.index(one)] for one in names}
    return pa.table({"truth": truth, **columns})


def numbers(report: Report) -> dict[str, float | None]:
    return {one.name: one.value for one in report.metrics}


IN_ORDER = dict(zip(CLASSES, CLASSES, strict=True))


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "names",
    [
        {"on time": "p_on time", "late": "p_late", "early": "p_early"},
        {"late": "late", "on time": "on time", "early": "early"},
        {"early": "first", "late": "second", "on time": "third"},
    ],
    ids=["ends", "equal", "sorted"],
)
def test_each_probability_is_the_one_of_its_class(names: dict[str, str]) -> None:
    expected = check(
        chances(2, IN_ORDER),
        Baseline.fit(chances(1, IN_ORDER), label="truth", probability=CLASSES),
        kind="model-quality",
    )
    roles = {"label": "truth", "probability": list(names.values())}
    fitted = Baseline.fit(chances(1, names), **roles)

    found = check(chances(2, names), fitted, kind="model-quality")
    turned = {**roles, "probability": roles["probability"][::-1]}
    again = check(chances(2, names), fitted, kind="model-quality", **turned)

    of = {name: one for one, name in names.items()}
    assert [(one.name, one.classes) for one in fitted.signature.outputs] == [
        (name, (of[name],)) for name in roles["probability"]
    ]
    assert numbers(found) == pytest.approx(numbers(expected), nan_ok=True)
    assert numbers(again) == numbers(found)


def test_a_class_that_the_reference_never_holds_is_known_by_its_column() -> None:
    names = {one: f"p_{one}" for one in reversed(CLASSES)}
    table = chances(1, names)
    fitted = Baseline.fit(
        table.filter(pc.not_equal(table["truth"], "late")),
        label="truth", probability=list(names.values()),
    )  # fmt: skip

    report = check(chances(2, names), fitted, kind="model-quality")

    assert set(report.details["confusion_matrix"]) == set(CLASSES)
    assert numbers(report)["log_loss"] == pytest.approx(
        numbers(check(chances(2, names), Baseline.fit(table, label="truth",
                      probability=list(names.values())), kind="model-quality"))["log_loss"]
    )  # fmt: skip


def test_a_count_that_is_not_that_of_the_classes_is_one_sentence() -> None:
    table = chances(1, {"early": "first", "late": "second", "on time": "third"})

    with pytest.raises(
        InputError,
        match=r"2 columns of probabilities \(first, second\) for 3 classes "
        r"\(early, late, on time\); give one for each class, or end their names",
    ):
        Baseline.fit(table, label="truth", probability=["first", "second"])
    other = table.rename_columns(["truth", "p_a", "p_b", "p_c"])
    with pytest.raises(InputError, match=r"\(early, late, on time\); end their names"):
        Baseline.fit(other, label="truth", probability=["p_a", "p_b", "p_c"])


def in_lists(rows: pa.Table, *, as_text: bool) -> pa.Table:
    """The same rows with all classes' probabilities in one column, as predict_proba gives them."""
    lines = np.column_stack([rows[one].to_numpy() for one in CLASSES])
    column = pa.array([str(line) if as_text else list(line) for line in lines])
    return rows.select(["truth"]).append_column("chances", column)


@pytest.mark.parametrize("as_text", [False, True], ids=["lists", "texts"])
def test_a_list_of_probabilities_is_read_by_class(as_text: bool) -> None:
    with np.printoptions(precision=17):
        rows = [in_lists(chances(seed, IN_ORDER), as_text=as_text) for seed in (1, 2)]
    expected = check(
        chances(2, IN_ORDER),
        Baseline.fit(chances(1, IN_ORDER), label="truth", probability=CLASSES),
        kind="model-quality",
    )
    fitted = Baseline.fit(rows[0], label="truth", probability="chances")

    found = check(rows[1], fitted, kind="model-quality")
    named = check(rows[1], fitted, kind="model-quality", probability="chances")

    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-9)
    assert numbers(named) == numbers(found)


@pytest.mark.parametrize("place", [0, 2])
def test_a_column_named_as_a_number_of_lists_is_refused(place: int) -> None:
    rows = in_lists(chances(1, IN_ORDER), as_text=False)
    fitted = Baseline.fit(rows, label="truth", probability="chances")
    both = rows.append_column(f"chances[{place}]", chances(1, IN_ORDER)["early"])

    said = rf'column "chances\[{place}\]" stands twice in the data: as such, and as a number of'
    with pytest.raises(InputError, match=said):
        check(both, fitted, kind="model-quality")
    with pytest.raises(InputError, match=said):
        Baseline.fit(both, label="truth", probability="chances")


def test_lists_of_another_length_are_no_probabilities() -> None:
    rows = in_lists(chances(1, IN_ORDER), as_text=False)
    lists = rows["chances"].to_pylist()
    lists[:5] = [[0.5, 0.5], None, [], [0.1, 0.2, 0.3, 0.4], [None, 0.5, 0.5]]
    fitted = Baseline.fit(rows, label="truth", probability="chances")

    found = check(
        rows.set_column(1, "chances", pa.array(lists)), fitted, kind="model-quality"
    ).to_dict()

    assert found["details"]["rows_without_answer"] == 5

    short = pa.array([line[:2] for line in rows["chances"].to_pylist()])
    with pytest.raises(InputError, match=r"2 columns of probabilities .*for 3 classes"):
        Baseline.fit(rows.set_column(1, "chances", short), label="truth", probability="chances")


def test_rows_without_a_list_hide_none_of_those_that_have_one(tmp_path: Path) -> None:
    with np.printoptions(precision=17):
        rows, texts = (in_lists(chances(1, IN_ORDER), as_text=one) for one in (False, True))
    lists = [None] * 200 + rows["chances"].to_pylist()[200:]
    late = rows.set_column(1, "chances", pa.array(lists, pa.list_(pa.float64())))
    pq.write_table(late, tmp_path / "late.parquet", row_group_size=200)
    cells = ["error", "n/a", None, *texts["chances"].to_pylist()[3:]]
    csv.write_csv(texts.set_column(1, "chances", pa.array(cells)), tmp_path / "texts.csv")

    window = in_lists(chances(2, IN_ORDER), as_text=False)
    for data, lacking in (("late.parquet", 200), ("texts.csv", 3)):
        found, expected = (
            check(
                window,
                Baseline.fit(one, label="truth", probability="chances"),
                kind="model-quality",
            )
            for one in (tmp_path / data, rows.slice(lacking))
        )
        assert numbers(found)["auc"] is not None
        assert numbers(found) == pytest.approx(numbers(expected), abs=1e-9)


@pytest.mark.parametrize("problem", ["binary", None])
def test_two_probabilities_of_a_binary_answer_are_the_ones_of_no_and_yes(
    problem: str | None,
) -> None:
    rng = np.random.default_rng(3)
    chance = rng.random(600)
    late = np.where(rng.random(600) < chance, "1.0", "0.0")
    table = pa.table({"late": late, "p_1": chance, "p_0": 1 - chance})
    both = {"label": "late", "problem": problem}

    single = Baseline.fit(table, **both, probability="p_1")
    double = Baseline.fit(table, **both, probability=["p_1", "p_0"])

    assert double.outcomes.roles.probability == ("p_0", "p_1")
    expected = check(table, single, kind="model-quality")
    assert expected.details["positive_note"].startswith('positive class: "1')
    assert numbers(check(table, double, kind="model-quality")) == numbers(expected)
    turned = check(table, double, kind="model-quality", probability=["p_1", "p_0"])
    assert numbers(turned) == numbers(expected)


def test_of_two_classes_neither_of_which_is_known_as_positive_both_are_measured() -> None:
    rng = np.random.default_rng(3)
    chance = rng.random(600)
    pet = np.where(rng.random(600) < chance, "cat", "dog")
    table = pa.table({"pet": pet, "p_cat": chance, "p_dog": 1 - chance})

    plain = Baseline.fit(table, label="pet", probability=["p_cat", "p_dog"])
    named = Baseline.fit(table, label="pet", probability=["p_cat", "p_dog"], positive="cat")

    assert plain.outcomes.roles.problem == "multiclass"
    assert named.outcomes.roles.problem == "binary"


def rare(rows: int, seed: int, factor: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-rng.normal(-5.0, 1.5, rows)))
    late = (rng.random(rows) < chance).astype(np.int64)
    said = (chance > 0.5).astype(np.int64)
    return pa.table({"late": late, "said": said, "chance": chance * factor})


@pytest.mark.first(1)
@pytest.mark.parametrize("has_label", [True, False])
def test_scores_in_percent_are_impossible_ones(has_label: bool) -> None:
    roles = {"label": "late", "prediction": "said", "probability": "chance"}
    usual, percents = Baseline.fit(rare(40_000, 1, 1.0), **roles), rare(20_000, 2, 100.0)

    # Six in ten are below 1 as percents, too.
    found = check(percents if has_label else percents.drop(["late"]), usual, kind="model-quality")

    assert found.violations[0].feature_name == "impossible_predictions"
    assert found.violations[0].row_count == 7_969


@pytest.mark.parametrize("has_label", [True, False])
def test_log_odds_are_impossible_scores(has_label: bool) -> None:
    def even(rows: int, seed: int) -> tuple[np.ndarray, pa.Table]:
        rng = np.random.default_rng(seed)
        logit = rng.normal(0.0, 1.5, rows)
        chance = 1 / (1 + np.exp(-logit))
        late = (rng.random(rows) < chance).astype(np.int64)
        said = (chance > 0.5).astype(np.int64)
        return logit, pa.table({"late": late, "said": said, "chance": chance})

    usual = Baseline.fit(even(3_000, 1)[1], label="late", prediction="said", probability="chance")
    logit, window = even(2_000, 2)
    outside = int(np.count_nonzero((logit < 0) | (logit > 1)))
    window = window.set_column(2, "chance", pa.array(logit))

    found = check(window if has_label else window.drop(["late"]), usual, kind="model-quality")
    other = window.set_column(2, "chance", pa.array(logit * 20.0))
    other = check(other, usual, kind="model-quality")

    assert found.violations[0].feature_name == "impossible_predictions"
    assert found.violations[0].row_count == outside
    assert other.violations[0].feature_name == "impossible_predictions"


def scored(chance: np.ndarray, seed: int, scores: np.ndarray | None = None) -> pa.Table:
    late = (np.random.default_rng(seed).random(len(chance)) < chance).astype(np.int64)
    said = (chance > 0.5).astype(np.int64)
    return pa.table(
        {"late": late, "said": said, "chance": chance if scores is None else scores}
    )  # fmt: skip


@cache
def usual_scores() -> Baseline:
    return Baseline.fit(
        scored(np.random.default_rng(1).beta(2, 3, 4_000), 1),
        label="late", prediction="said", probability="chance",
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.01, 0.49, 0.51, 0.9])
def test_a_code_for_no_score_takes_no_sound_ones_with_it_whatever_its_share(share: float) -> None:
    rng = np.random.default_rng(2)
    chance = rng.beta(2, 3, 3_000)
    scores = np.where(rng.random(3_000) < share, -1.0, chance)
    outside = int(np.count_nonzero((scores < 0.0) | (scores > 1.0)))

    found = check(scored(chance, 2, scores), usual_scores(), kind="model-quality")

    assert found.details["impossible_predictions"] == outside
    assert f"{outside:,} predictions outside 0 to 1" in str(found.details["answers_note"])
    assert numbers(found)["auc"] is not None


@pytest.mark.parametrize(("count", "violated"), [(1, False), (40, True)])
def test_an_impossible_score_of_a_reference_excuses_no_more_than_chance_brings(
    count: int, violated: bool
) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.beta(2, 3, (2, 3_000))
    usual = Baseline.fit(
        scored(first, 1, np.where(np.arange(3_000) < 1, np.inf, first)),
        label="late", prediction="said", probability="chance",
    )  # fmt: skip
    window = scored(second, 2, np.where(np.arange(3_000) < count, np.inf, second))

    found = check(window, usual, kind="model-quality")

    assert [one.feature_name for one in found.violations] == ["impossible_predictions"] * violated
    assert found.details["impossible_predictions"] == count


def test_one_score_below_0_does_not_hide_a_loss() -> None:
    rng = np.random.default_rng(2)
    roles = {"label": "late", "prediction": "said", "probability": "chance"}
    usual = Baseline.fit(scored(rng.normal(0.62, 0.04, 4_000), 1), **roles)
    scores = rng.normal(0.49, 0.04, 3_000)  # Their sigmoid lies nearer to the reference's.
    scores[0] = -0.02

    found = check(scored(np.full(3_000, 0.2), 2, scores), usual, kind="model-quality")

    assert "impossible_predictions" in [one.feature_name for one in found.violations]
    assert len(found.violations) > 1
    assert found.details["impossible_predictions"] == 1
