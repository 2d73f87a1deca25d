"""Which class is positive where nobody says so: never by the order of the alphabet, and said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.classes import positive_word
from driftline.errors import InputError
from driftline.monitors.check import check

ROWS = 3_000


def rows(negative: str, positive: str, seed: int = 1, *, turned: bool = False) -> pa.Table:
    """Rows of a model whose AUC is 0.8; ``turned``: its score is one of the negative class."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-rng.normal(-1, 1.5, ROWS)))
    truth = rng.random(ROWS) < chance
    score = 1 - chance if turned else chance
    said = np.where(rng.random(ROWS) < 0.8, truth, ~truth)
    return pa.table(
        {
            "truth": np.where(truth, positive, negative),
            "said": np.where(said, positive, negative),
            "score": score,
            "sex": rng.choice(["F", "M"], ROWS),
        }
    )


def fitted(table: pa.Table, **roles: object) -> Baseline:
    return Baseline.fit(table, label="truth", facet="sex=F", **roles)


def quality(table: pa.Table, baseline: Baseline, **roles: object) -> dl.Report:
    return check(table, baseline, kind="model-quality", **roles)


def auc(report: dl.Report) -> float:
    [found] = [one.value for one in report.metrics if one.name == "auc"]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("not late", "late"), ("Not-Late", "Late"), ("not_fraud", "fraud"), ("non-fraud", "fraud"),
        ("no  churn", "churn"), ("notlate", "late"), ("on time", "late"), ("good", "bad"),
        ("pass", "fail"), ("passed", "failed"),
    ],
)  # fmt: skip
def test_a_word_and_its_negation_are_a_known_pair(negative: str, positive: str) -> None:
    for classes in ([negative, positive], [positive, negative]):
        assert positive_word(classes) == (positive, False)


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("legit", "fraud"), ("stay", "churn"), ("rejected", "approved"), ("not late", "late"),
        ("No", "Yes"), ("0", "1"), ("-1", "1"), ("b", "a"), ("a", "b"), ("2", "1"),
    ],
)  # fmt: skip
def test_a_score_is_never_read_as_one_of_the_other_class(negative: str, positive: str) -> None:
    report = quality(
        rows(negative, positive, 2), fitted(rows(negative, positive), probability="score")
    )

    assert auc(report) == pytest.approx(0.79, abs=0.03)
    assert report.details["positive"] == positive
    assert report.details["positive_note"].startswith(f'positive class: "{positive}" (')


@pytest.mark.parametrize(
    ("negative", "positive"),
    [("legit", "fraud"), ("stay", "churn"), ("rejected", "approved"), ("<=50K", ">50K")],
)
def test_words_decide_without_a_score(negative: str, positive: str) -> None:
    baseline = fitted(rows(negative, positive), prediction="said")

    for kind in ("model-quality", "bias"):
        report = check(rows(negative, positive, 2), baseline, kind=kind)
        assert report.details["positive"] == positive
        assert f'beside "{negative}"' in report.details["positive_note"]


def test_the_only_class_of_a_reference_is_not_beside_itself() -> None:
    alone = pa.table({"truth": [1] * 100, "said": [1] * 100, "sex": ["F", "M"] * 50})

    report = quality(alone, fitted(alone, prediction="said", problem="binary"))

    assert report.details["positive_note"] == 'positive class: "1" (the only class there is)'


def test_what_a_score_is_higher_for_is_positive_whatever_it_is_called() -> None:
    report = quality(
        rows("legit", "fraud", 2, turned=True),
        fitted(rows("legit", "fraud", turned=True), probability="score"),
    )

    assert auc(report) == pytest.approx(0.79, abs=0.03)
    assert report.details["positive_note"] == (
        'positive class: "legit" (its rows have the higher "score", AUC 0.81)'
    )


def test_a_score_of_the_class_0_is_told() -> None:
    report = quality(
        rows("0", "1", 2, turned=True), fitted(rows("0", "1", turned=True), probability="score")
    )

    assert report.details["positive"] == "1"
    assert report.details["positive_note"].endswith(
        'in the reference its rows have the lower "score" (AUC 0.19): if that is a score of the '
        "other class, name that one as positive"
    )


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_where_nothing_tells_it_is_asked(kind: str) -> None:
    baseline = fitted(rows("a", "b"), prediction="said")

    with pytest.raises(
        InputError,
        match=r'"truth": which of "a" or "b" is the positive class.*set "positive"',
    ):
        check(rows("a", "b", 2), baseline, kind=kind)
    for positive in ("a", "b"):
        report = check(rows("a", "b", 2), baseline, kind=kind, positive=positive)
        assert report.details["positive_note"] == f'positive class: "{positive}"'
    named = fitted(rows("a", "b"), prediction="said", positive="a")
    assert check(rows("a", "b", 2), named, kind=kind).details["positive"] == "a"


def test_a_score_that_ranks_nothing_decides_nothing() -> None:
    blind = rows("a", "b").set_column(2, "score", pa.array(np.random.default_rng(3).random(ROWS)))

    with pytest.raises(InputError, match=r"which of .* is the positive class"):
        quality(blind, fitted(blind, probability="score"))


def test_the_reason_is_kept_with_the_baseline(tmp_path) -> None:
    fitted(rows("stay", "churn"), probability="score").save(tmp_path)

    report = quality(rows("stay", "churn", 2), Baseline.load(tmp_path))

    assert 'the higher "score"' in report.details["positive_note"]
    assert "the higher &quot;score&quot;" in report.html()


def test_labelled_rows_of_files_are_counted() -> None:
    table = rows("No", "Yes", 2)
    truth = table["truth"].to_pylist()
    table = table.set_column(0, "truth", pa.array([None] * 400 + truth[400:]))
    baseline = fitted(rows("No", "Yes"), prediction="said")

    for kind in ("model-quality", "bias"):
        for compat in (None, dl.Compat()):
            report = check(table, baseline, kind=kind, compat=compat)
            assert report.to_dict()["labelled_count"] == ROWS - 400
