"""Missing predictions beside a reference that nobody knows, and ids that cannot be compared."""

from __future__ import annotations

import pyarrow as pa
import pytest

from driftline.monitors.results.unusable import Unusable, judge_unusable, repeated_note

ALPHA = 1e-3
ONE_REPEATED = '1 row with an id ("id") of an earlier row; each counts'


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


@pytest.mark.parametrize(
    ("ids", "note"),
    [
        ([pa.array([[1], [1]])], ""),
        ([pa.array([1, 1]), pa.array(["1"])], ""),
        ([pa.nulls(2)], ""),
        ([], ""),
        ([pa.array(["a", "a", "b"])], ONE_REPEATED),
        ([pa.array(["a", "a", "b"]).dictionary_encode()], ONE_REPEATED),
    ],
    ids=["lists", "types", "nothing", "none", "texts", "categories"],
)
def test_ids_that_cannot_be_compared_have_no_note(ids: list[pa.Array], note: str) -> None:
    assert repeated_note(ids, "id") == note
