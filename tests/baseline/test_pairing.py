"""Labels and predictions that cannot be compared are refused where a baseline is made."""

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.pairing import require_common_classes
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.roles import Roles

TRUTH = np.array([0, 1, 1, 0] * 25)
LOANS = pd.DataFrame(
    {
        "paid": TRUTH,
        "decision": np.where(TRUTH == 1, "approve", "reject"),
        "grade": TRUTH + np.arange(100) % 2,
        "score": np.linspace(0.1, 0.9, 100),
        "p_reject": np.where(TRUTH == 1, 0.2, 0.8),
        "p_approve": np.where(TRUTH == 1, 0.8, 0.2),
    }
)
SIDES = {"label": "paid", "prediction": "decision"}


def test_classes_that_no_double_tells_apart_are_taken_as_texts_alone() -> None:
    far = LOANS.assign(paid=2**60 + TRUTH, decision=2**60 + 1 - TRUTH)
    with pytest.raises(InputError, match="a whole number beyond 2\\^53"):
        Baseline.fit(far, **SIDES, positive=2**60 + 1)
    # Of amounts, such as times in nanoseconds, a profile says enough.
    Baseline.fit(LOANS.assign(paid=10**18 + TRUTH * 7, decision=10**18 + TRUTH), **SIDES)

    texts = far.astype({"paid": str, "decision": str})
    report = check(texts, Baseline.fit(texts, **SIDES, positive=2**60 + 1), kind="model-quality")
    assert {one.value for one in report.metrics if one.name == "accuracy"} == {0.0}


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"problem": "binary", "positive": 1},
        {"problem": "binary", "positive": "approve"},
        {"problem": "binary", "positive": [1]},
        {"problem": "multiclass", "positive": [1, "approve"]},
        {"facet": "grade"},
    ],
)
def test_labels_and_predictions_without_a_common_value_are_refused(named) -> None:
    with pytest.raises(InputError) as found:
        Baseline.fit(LOANS, **SIDES, **named)

    said = str(found.value)
    assert 'label "paid" holds 0, 1, prediction "decision" holds approve, reject' in said
    assert ("LABEL_VALUE" in said) == (named.get("problem") != "multiclass")


@pytest.mark.parametrize("positive", [[1, "approve"], ("approve", "1"), ["approve", True, 1.0]])
def test_the_positive_value_of_each_side_may_be_named(positive) -> None:
    fitted = Baseline.fit(LOANS, **SIDES, positive=positive)

    roles = fitted.outcomes.roles
    assert (roles.problem, roles.positive, roles.also_positive) == ("binary", "1", ("approve",))
    assert fitted.signature.get("decision").classes == ("reject", "approve")


@pytest.mark.parametrize(
    ("positive", "wrong"),
    [
        ([3, "approve"], "3"),
        ([1, "approved"], "approved"),
        ([1, "accept"], "accept"),
        ([1, "approve", "granted"], "granted"),
    ],
)
@pytest.mark.parametrize("problem", [None, "binary", "multiclass"])
def test_a_positive_value_that_neither_side_has_is_named_with_those_they_have(
    problem, positive, wrong
) -> None:
    with pytest.raises(InputError) as raised:
        Baseline.fit(LOANS, **SIDES, positive=positive, problem=problem)

    assert str(raised.value) == (
        f'positive "{wrong}": no column has this value; label "paid" has 0, 1; '
        'prediction "decision" has approve, reject; name one'
    )


def test_probabilities_that_name_other_classes_than_the_label_are_refused() -> None:
    chances = {"label": "paid", "probability": ["p_reject", "p_approve"]}

    with pytest.raises(InputError, match=r"2 columns of probabilities .* for 2 classes"):
        Baseline.fit(LOANS, **chances)
    for columns in (["p_reject", "p_approve"], ["p_approve", "p_reject"]):
        fitted = Baseline.fit(
            LOANS, label="paid", probability=columns, positive=[1, "approve"], problem="binary"
        )
        assert fitted.signature.get("p_approve").classes == ("1",)
        assert fitted.outcomes.roles.probability[-1] == "p_approve"


@pytest.mark.parametrize("predictions", ["01", "ar", ""])
def test_a_positive_class_that_nobody_has_is_refused(predictions) -> None:
    roles = Roles(label="y", prediction="p", positive="3")

    with pytest.raises(InputError, match=r'^neither the reference .* class "3", only '):
        require_common_classes("01", predictions, roles, "binary", predictions or "01")
