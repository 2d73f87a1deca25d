"""How surely importance is known, by hand; and when two explanations cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.monitors.kinds.attribution.importance import Importance, Making


def test_errors_of_shares_and_of_the_total_are_those_of_the_delta_method() -> None:
    found = Importance(("a", "b"), np.array([3.0, 2.0]), np.array([[4.0, 1.0], [1.0, 2.0]]), 50)

    # Total 5, shares 0.6 and 0.4; rows of the covariance sum to 5 and 3, all of it to 8.
    # Var a: 4 - 2 * 0.6 * 5 + 0.36 * 8 = 0.88; b: 2 - 2 * 0.4 * 3 + 0.16 * 8 = 0.88.
    assert found.share_errors == pytest.approx([(0.88 / 50) ** 0.5 / 5] * 2)
    assert found.total_error == pytest.approx((8 / 50) ** 0.5 / 5)


@pytest.mark.parametrize(("mean", "count"), [([3.0, 2.0], 0), ([0.0, 0.0], 50)])
def test_means_of_a_document_and_totals_of_nothing_have_no_error(mean, count) -> None:
    found = Importance(("a", "b"), np.array(mean), np.eye(2), count)

    assert found.share_errors.tolist() == [0.0, 0.0]
    assert found.total_error == 0.0


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({}, ""),
        ({"model": ""}, ""),
        # Another model is a finding, whose units are its own; a function's units are not known.
        ({"model": "m2", "units": "class"}, ""),
        ({"units": "answer"}, ""),
        (
            {"units": "class"},
            'the reference was explained with another unit ("value", now "class")',
        ),
        (
            {"method": "tree"},
            'the reference was explained with another method ("shapley", now "tree")',
        ),
        ({"background": "f00"}, "the reference was explained with another background"),
        ({"groups": {"g": ("a", "b")}}, "the reference was explained with another group"),
    ],
)
def test_what_differs_between_two_explanations_is_said(other, sentence) -> None:
    first = {"method": "shapley", "units": "value", "model": "m1", "background": "ba5"}

    assert Making(**first).difference(Making(**(first | other))) == sentence


def test_another_model_is_said_where_both_are_known() -> None:
    first, other, unknown = (Making("shapley", model=name) for name in ("m1", "m2", ""))

    assert first.changed_model(other) == (
        "the model changed: the reference was explained for model m1, now it is m2"
    )
    assert [first.changed_model(one) for one in (first, unknown)] == ["", ""]
    assert unknown.changed_model(first) == ""


@pytest.mark.parametrize("models", [("", ""), ("", "m2"), ("m1", "")])
def test_another_unit_is_another_model_whatever_it_is_called(models) -> None:
    units = ("margin", "probability", "answer")
    first, other, function = (
        Making("tree", unit, model) for unit, model in zip(units, (*models, models[1]), strict=True)
    )

    assert first.difference(other) == ""
    assert first.changed_model(other) == (
        'the model changed: the reference was explained in units of "margin", now of "probability"'
    )
    assert first.changed_model(function) == ""


def test_another_model_of_another_unit_is_said_with_both() -> None:
    first, other = Making("tree", "margin", "m1"), Making("tree", "value", "m2")

    assert first.changed_model(other).endswith(
        'for model m1, now it is m2, and in units of "margin", now of "value"'
    )
