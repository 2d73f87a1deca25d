"""Shares of rows by plain counting."""

from __future__ import annotations

import pytest

import driftline as dl


def test_missing_is_the_difference_of_shares_of_rows() -> None:
    found = dl.distance("missing", ["a", "b", None, ""] * 25, ["a", "", "", None] * 25)

    assert found.value == pytest.approx(0.25)
    assert found.note == "0.75 of the rows, 0.5 in the reference"


def test_unseen_values_are_said_with_what_good_turing_expects() -> None:
    # 10 rows of which 2 values come once, so 2/10 is new without a change; 6 of 20 rows are new.
    found = dl.distance("unseen", ["a"] * 8 + ["b", "c"], ["a"] * 14 + ["x"] * 4 + ["y", "z"])

    assert found.value == pytest.approx(6 / 20)
    assert found.note == "about 0.2 is new without a change (Good-Turing)"
