"""Brackets against scipy's own root finder, where functions jump, and where they never rise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from driftline.stats.roots import first_beyond

ERROR = 1e-8


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=20), st.sampled_from([0.2, 1.0, 5.0]))
def test_roots_are_scipys(at: list[float], power: float) -> None:
    levels = np.array(at) ** power

    found = first_beyond(
        lambda x: x**power - levels, np.zeros(len(at)), np.ones(len(at)), error=ERROR
    )

    wanted = [optimize.brentq(lambda x, y=y: x**power - y, 0, 1, xtol=1e-12) for y in levels]
    assert found == pytest.approx(wanted, abs=2 * ERROR)


def test_jumps_are_found_and_their_upper_side_is_returned() -> None:
    places = np.array([0.1, 0.5, 1 / 3])

    found = first_beyond(
        lambda x: np.where(x > places, 1.0, -5.0), np.zeros(3), np.ones(3), error=ERROR
    )

    assert (found > places).all()
    assert found == pytest.approx(places, abs=2 * ERROR)
