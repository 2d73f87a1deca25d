"""Missing predictions beside a reference that nobody knows, and ids that cannot be compared."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.monitors.results.unusable import Unusable, judge_unusable, repeated_rows

ALPHA = 1e-3


def test_missing_predictions_beside_an_unknown_reference_are_shown_and_not_judged() -> None:
    [found] = judge_unusable(Unusable(3_000, 600), Unusable(), ALPHA)

    assert found.violation is None
    assert (found.result.value, found.result.reference, found.result.bound) == (0.2, None, None)


@pytest.mark.parametrize("window", [Unusable(3_000, 2_900), Unusable(3_000, 0, 3)])
def test_what_no_reference_excuses_is_told_without_its_number(window: Unusable) -> None:
    [found] = judge_unusable(window, Unusable(), ALPHA)

    assert found.violation is not None
    assert "reference" not in found.violation.cause


def test_missing_predictions_that_a_known_reference_never_had_are_judged() -> None:
    [found] = judge_unusable(Unusable(3_000, 600), Unusable(3_000), ALPHA)

    assert found.violation is not None
    assert "(reference 0%)" in found.violation.cause


@pytest.mark.parametrize(("known", "rows"), [(300, 300), (2_000, 300), (20_000, 3_000)])
def test_missing_predictions_new_to_the_reference_are_judged_by_its_rows(
    known: int, rows: int
) -> None:
    [found] = judge_unusable(Unusable(rows, rows * 8 // 100), Unusable(known), ALPHA)
    [few] = judge_unusable(Unusable(rows, rows // 100), Unusable(known), ALPHA)

    assert found.violation is not None and found.violation.severity == "page"
    assert few.violation is None


@pytest.mark.parametrize("rate", [0.0003, 0.003, 0.01, 0.03])
@pytest.mark.parametrize("rows", [100, 300, 3_000, 100_000])
def test_a_rate_of_missing_predictions_that_stays_is_no_violation(rate: float, rows: int) -> None:
    rng, alpha = np.random.default_rng(3), 0.2
    found = 0
    for _ in range(200):
        reference = Unusable(2_000, int(rng.binomial(2_000, rate)))
        window = Unusable(rows, int(rng.binomial(rows, rate)))
        found += any(one.violation for one in judge_unusable(window, reference, alpha))

    assert found <= 8  # Of a level of 0.01 in 200 windows, three deviations above its mean.


def test_labels_of_no_row_are_judged_by_as_much_as_before() -> None:
    labels = Unusable(3_000, labels=2_900, lost={"of no row": 100})
    unfit = Unusable(3_000, labels=3_000, unfit=100)

    [lost] = judge_unusable(labels, Unusable(3_000, labels=3_000), ALPHA)
    [wrong] = judge_unusable(unfit, Unusable(3_000, labels=3_000), ALPHA)

    assert lost.violation is None
    assert wrong.violation is not None and wrong.violation.severity == "ticket"


@pytest.mark.parametrize(
    ("ids", "count"),
    [
        ([pa.array([[1], [1]])], 0),
        ([pa.array([1, 1]), pa.array(["1"])], 0),
        ([pa.nulls(2)], 0),
        ([], 0),
        ([pa.array(["a", "a", "b"])], 1),
        ([pa.array(["a", "a", "b"]).dictionary_encode()], 1),
    ],
    ids=["lists", "types", "nothing", "none", "texts", "categories"],
)
def test_ids_that_cannot_be_compared_repeat_none(ids: list[pa.Array], count: int) -> None:
    assert repeated_rows(ids) == count


def weekends(share: float, spread: float, days: int = 70, rows: int = 1_000) -> Unusable:
    """A reference of days, of which two in seven lack about a share of their predictions."""
    rng = np.random.default_rng(1)
    missing = np.where(np.arange(days) % 7 < 2, rng.normal(share, spread, days), 0.0) * rows
    blocks = [(rows, int(one)) for one in missing.clip(0, rows)]
    return Unusable(rows * days, sum(one for _, one in blocks), blocks=blocks)


def test_a_weekend_like_those_of_the_reference_is_none_and_an_outage_is() -> None:
    usual = weekends(0.6, 0.03)

    [weekend] = judge_unusable(Unusable(1_000, 630), usual, ALPHA)
    [outage] = judge_unusable(Unusable(1_000, 1_000), usual, ALPHA)
    [without] = judge_unusable(Unusable(1_000, 630), weekends(0.0, 0.0), ALPHA)

    assert weekend.violation is None
    assert outage.violation is not None and outage.violation.severity == "page"
    assert without.violation is not None and without.violation.severity == "page"


@pytest.mark.parametrize("kind", ["spells", "weekends"])
def test_missing_predictions_keep_next_to_nothing_of_the_budget(kind: str) -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(10):  # Years of days, each after a reference of its own.
        if kind == "spells":
            shares = np.minimum(0.02 * rng.gamma(1.0, 1.0, 435), 1.0)
        else:
            shares = (np.arange(435) % 7 < 2) * rng.beta(12, 8, 435)
        missing = rng.binomial(500, shares).tolist()
        blocks = [(500, one) for one in missing[:70]]
        reference = Unusable(35_000, sum(missing[:70]), blocks=blocks)
        for one in missing[70:]:
            judged = judge_unusable(Unusable(500, one), reference, 1 / 365)
            found += sum(each.violation is not None for each in judged)

    assert found <= 1
