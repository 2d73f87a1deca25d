from dataclasses import replace

import pytest

from driftline.errors import InputError
from driftline.serving.provisioning.signatures import (
    answered_signature,
    endpoint_signature,
    positive_class,
    succeed,
)
from driftline.signature import Column, Signature

BINARY = {
    "feature_names": ["a", "b"], "feature_count": 2, "class_type": "int64", "classes": ["0", "1"],
    "has_probability": True, "kind": "classifier",
}  # fmt: skip
WORDS = {**BINARY, "classes": ["approve", "reject"], "class_type": "string"}
SEVERAL = {
    **BINARY, "kind": "estimator", "classes": [], "has_probability": False, "answer_width": 2,
}  # fmt: skip
INPUTS = (Column("a", "feature_a", "double"), Column("b", "feature_b", "string"))
SAID = Column("said", "prediction", "int64", "prediction")


TWO = tuple(Column(f"p{i}", f"probability_{i}", "double", "probability") for i in "01")
LEVELS = replace(INPUTS[1], levels=("Bern", "True"))


@pytest.mark.parametrize(
    ("declared", "description"),
    [
        (Signature(INPUTS), {**BINARY, "feature_names": ["a", "c"]}),
        (Signature(INPUTS), {**BINARY, "feature_names": None, "feature_count": 3}),
        (Signature(INPUTS, TWO), BINARY),
        (Signature((INPUTS[0], LEVELS)), {**BINARY, "categories": {"b": ["10", "20"]}}),
        (Signature(INPUTS, (SAID,)), SEVERAL),
        (Signature((*INPUTS, Column("y", "y", "double", "label"))), SEVERAL),
        (Signature((*INPUTS, Column("w", "w", "double", "weight"))), BINARY),
        (Signature(INPUTS, (replace(SAID, type="string", classes=("late", "ok")),)), WORDS),
    ],
)
def test_a_model_that_does_not_fit_its_reference_is_refused(declared, description):
    with pytest.raises(InputError):
        endpoint_signature(declared, description)


def test_a_change_of_type_is_a_new_version_and_a_new_column():
    before = Signature(INPUTS, version=3)
    after = Signature((Column("a", "feature_a", "string"), INPUTS[1]))

    found = succeed(before, after)

    assert found.version == 4
    newer = Column("a", "feature_a_v4", "string", former=("feature_a",))
    assert found.features == (newer, INPUTS[1])
    assert succeed(found, after) == found


@pytest.mark.parametrize(
    ("classes", "chosen", "expected"),
    [
        (["no", "yes"], "no", "no"),
        (["false", "true"], False, "false"),
        (["0.0", "1.0"], "0", "0.0"),
        (["a", "b", "c"], "a", None),
    ],
)
def test_a_positive_class_that_was_named_is_taken(classes, chosen, expected):
    description = {**BINARY, "classes": classes}

    assert positive_class(Signature(INPUTS), description, chosen=chosen) == expected
    with pytest.raises(InputError):
        positive_class(Signature(INPUTS), WORDS, chosen=1)


BODIES = {**SEVERAL, "kind": "bodies", "feature_names": None, "feature_count": None}


def test_a_model_that_answers_bodies_is_captured_as_the_variant_beside_it():
    declared = Signature((*INPUTS, Column("late", "feature_late", "string", "label"))).to_json()

    def of(*descriptions):
        return answered_signature(declared, dict(enumerate(descriptions)), {})

    assert of(WORDS, BODIES) == of(BODIES, WORDS) == of(WORDS)
    assert of(WORDS)[1] == "reject"
