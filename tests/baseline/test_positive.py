"""Which class is positive: the named one, or 1 beside 0; of others it is asked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
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
        ("0", "1"), ("-1", "1"), ("false", "true"),
    ],
)  # fmt: skip
def test_one_beside_zero_is_positive(negative: str, positive: str) -> None:
    report = quality(
        rows(negative, positive, 2), fitted(rows(negative, positive), probability="score")
    )

    assert auc(report) == pytest.approx(0.79, abs=0.03)
    assert report.details["positive"] == positive
    assert report.details["positive_note"].startswith(f'positive class: "{positive}" (')


def test_the_only_class_of_a_reference_is_not_beside_itself() -> None:
    alone = pa.table({"truth": [1] * 100, "said": [1] * 100, "sex": ["F", "M"] * 50})

    report = quality(alone, fitted(alone, prediction="said", problem="binary"))

    assert report.details["positive_note"] == 'positive class: "1" (the only class there is)'


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
@pytest.mark.parametrize(("no", "yes"), [("legit", "fraud"), ("1", "2")])
def test_of_other_classes_it_is_asked(kind: str, no: str, yes: str) -> None:
    baseline = fitted(rows(no, yes), prediction="said", problem="binary", probability="score")

    with pytest.raises(InputError, match=r'"truth": which of .* is the positive class\?.*set "pos'):
        check(rows(no, yes, 2), baseline, kind=kind)
    report = check(rows(no, yes, 2), baseline, kind=kind, positive=yes)
    assert report.details["positive_note"] == f'positive class: "{yes}"'
    named = fitted(rows(no, yes), prediction="said", positive=no)
    assert check(rows(no, yes, 2), named, kind=kind).details["positive"] == no


def test_labelled_rows_of_files_are_counted() -> None:
    table = rows("0", "1", 2)
    truth = table["truth"].to_pylist()
    table = table.set_column(0, "truth", pa.array([None] * 400 + truth[400:]))
    baseline = fitted(rows("0", "1"), prediction="said")

    for kind in ("model-quality", "bias"):
        for compat in (False, True):
            report = check(table, baseline, kind=kind, compat=compat)
            assert report.to_dict()["labelled_count"] == ROWS - 400
