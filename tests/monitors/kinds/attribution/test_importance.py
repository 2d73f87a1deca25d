"""How surely importance is known, by hand; and when two explanations cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.monitors.kinds.attribution.importance import Importance


def test_errors_of_shares_and_of_the_total_are_those_of_the_delta_method() -> None:
    found = Importance(("a", "b"), np.array([3.0, 2.0]), np.array([[4.0, 1.0], [1.0, 2.0]]), 50)

    # Total 5, shares 0.6 and 0.4; rows of the covariance sum to 5 and 3, all of it to 8.
    # Var a: 4 - 2 * 0.6 * 5 + 0.36 * 8 = 0.88; b: 2 - 2 * 0.4 * 3 + 0.16 * 8 = 0.88.
    assert found.share_errors == pytest.approx([(0.88 / 50) ** 0.5 / 5] * 2)
    assert found.total_error == pytest.approx((8 / 50) ** 0.5 / 5)
