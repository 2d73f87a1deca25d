"""Missing predictions beside a reference that nobody knows, and ids that cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.monitors.results.unusable import Unusable, judge_unusable

ALPHA = 1e-3


def test_missing_predictions_that_a_known_reference_never_had_are_judged() -> None:
    [found] = judge_unusable(Unusable(3_000, 600), Unusable(3_000), ALPHA)

    assert found.violation is not None
    assert "(reference 0%)" in found.violation.cause


@pytest.mark.first(8)
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
