"""A segment changed alone where it did, and where a part of that beside it would have been seen."""

from __future__ import annotations

import pytest
from scipy.stats import chi2, ncx2

from driftline.monitors.root_cause.moved_in import ELSEWHERE, MovedIn
from driftline.stats.changed_levels import CHANCE
from driftline.stats.decomposition import FALSE_SINGLE

FREEDOM, TRIED = 20.0, 100
MANY = ((2_000.0, 6_000.0), (4_000.0, 12_000.0))


def moved(
    inside: float, beside: float, rows: tuple[tuple[float, float], tuple[float, float]] = MANY
) -> bool:
    return MovedIn((inside, beside), rows, FREEDOM).is_alone(TRIED)


def test_it_is_where_it_changed_and_nothing_beside_it_did() -> None:
    assert moved(400.0, FREEDOM)


def test_it_is_not_where_it_may_have_changed_by_chance() -> None:
    bound = chi2.isf(FALSE_SINGLE / TRIED, FREEDOM)

    assert not moved(bound - 1, 1.0)


def test_it_is_not_where_the_rows_beside_it_changed() -> None:
    bound = chi2.isf(CHANCE, FREEDOM)

    assert not moved(4_000.0, bound + 1)
    assert moved(4_000.0, bound - 1)


@pytest.mark.parametrize("beside", [40.0, 400.0, 4_000.0])
def test_it_is_not_where_too_few_rows_beside_it_would_have_shown_a_part(beside: float) -> None:
    """The chance of so little beside it, had a quarter of the change been there, is SciPy's."""
    rows = ((2_000.0, 6_000.0), (beside, 3 * beside))
    shown = (400.0 - FREEDOM) * ELSEWHERE * beside / 2_000.0

    assert moved(400.0, FREEDOM, rows) == (ncx2.cdf(FREEDOM, FREEDOM, shown) < FALSE_SINGLE / TRIED)


@pytest.mark.parametrize(
    "rows", [((0.0, 5.0), (9.0, 9.0)), ((5.0, 0.0), (9.0, 9.0)), ((5.0, 5.0), (0.0, 9.0))]
)
def test_nothing_is_known_without_rows(
    rows: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    assert not moved(400.0, 0.0, rows)
