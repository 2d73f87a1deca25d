from dataclasses import replace

import pytest

from driftline.errors import InputError
from driftline.serving.provisioning.signatures import (
    answered_signature,
    endpoint_signature,
    job_signature,
    positive_class,
    succeed,
)
from driftline.signature import Column, Signature

BINARY = {
    "feature_names": ["a", "b"],
    "feature_count": 2,
    "class_type": "int64",
    "classes": ["0", "1"],
    "has_probability": True,
}
INPUTS = (Column("a", "feature_a", "double"), Column("b", "feature_b", "string"))


def test_the_references_names_for_outputs_are_kept():
    probability = Column("p_late", "probability", "double", "probability", classes=("1",))
    prediction = Column("said", "prediction", "int64", "prediction")

    found = endpoint_signature(Signature(INPUTS, (probability, prediction)), BINARY)

    assert [(one.name, one.column) for one in found.outputs] == [
        ("said", "prediction"),
        ("p_late", "probability"),
    ]


def test_a_model_none_of_whose_categories_the_reference_holds_is_refused():
    declared = Signature((INPUTS[0], replace(INPUTS[1], levels=("Bern", "True"))))

    for known in (["Basel", "Bern"], ["true"], []):
        endpoint_signature(declared, {**BINARY, "categories": {"b": known}})
    endpoint_signature(Signature(INPUTS), {**BINARY, "categories": {"b": ["Basel"]}})
    with pytest.raises(
        InputError,
        match=r'^column "b": the reference\'s values \(Bern, True\) are none of the model\'s '
        r"categories \(10, 20\), so that it would take all of them for missing; bring ",
    ):
        endpoint_signature(declared, {**BINARY, "categories": {"b": ["10", "20"]}})


def test_a_model_with_other_columns_is_refused_by_their_names():
    with pytest.raises(InputError, match=r"lacks c; the model does not know b; exclude"):
        endpoint_signature(Signature(INPUTS), {**BINARY, "feature_names": ["a", "c"]})
    with pytest.raises(InputError, match="takes 3 columns, the signature has 2"):
        endpoint_signature(Signature(INPUTS), {**BINARY, "feature_names": None, "feature_count": 3})
    two = tuple(Column(f"p{i}", f"probability_{i}", "double", "probability") for i in "01")
    with pytest.raises(InputError, match="names 2 columns of role probability"):
        endpoint_signature(Signature(INPUTS, two), BINARY)


def test_a_change_of_type_is_a_new_version_and_a_new_column():
    before = Signature(INPUTS, version=3)
    after = Signature((Column("a", "feature_a", "string"), INPUTS[1]))

    found = succeed(before, after)

    assert found.version == 4
    newer = Column("a", "feature_a_v4", "string", former=("feature_a",))
    assert found.features == (newer, INPUTS[1])
    assert succeed(found, after) == found
    assert succeed(None, after) == after


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


def test_a_model_that_answers_other_classes_than_the_reference_is_refused():
    words = {**BINARY, "classes": ["approve", "reject"], "class_type": "string"}
    answer = Column("said", "prediction", "int64", "prediction", classes=("0", "1"))
    declared = Signature(INPUTS, (answer,))

    with pytest.raises(InputError, match="the model answers approve, reject, the reference's"):
        endpoint_signature(declared, words)
    with pytest.raises(InputError, match='positive "1"; the model answers approve, reject'):
        endpoint_signature(declared, words, chosen=1)


NUMBERS = {**BINARY, "class_type": "double", "classes": [], "has_probability": False}


SEVERAL = {**NUMBERS, "kind": "estimator", "answer_width": 2}


@pytest.mark.parametrize("role", ["prediction", "label"])
def test_several_values_a_row_are_refused_where_the_reference_has_one(role):
    column = Column("y", "answer", "double", role)
    is_label = role == "label"
    declared = Signature((*INPUTS, column) if is_label else INPUTS, () if is_label else (column,))
    sentence = rf'2 values a row; the {role} "y" is one \(double\); expected a model of one value'

    for make in (endpoint_signature, lambda *given: job_signature(*given, {})):
        with pytest.raises(InputError, match=sentence):
            make(declared, SEVERAL)
    assert endpoint_signature(declared, {**SEVERAL, "answer_width": 1}).outputs[0].type == "double"
    assert endpoint_signature(Signature(INPUTS), SEVERAL).outputs == ()


def of_variants(label, *descriptions):
    """Return signature and positive class of variants, under a signature (with a label) or none."""
    signature = None
    if label is not None:
        labels = (Column("late", "feature_late", label, "label"),) if label else ()
        signature = Signature((*INPUTS, *labels)).to_json()
    return answered_signature(signature, {f"v{at}": one for at, one in enumerate(descriptions)}, {})


NAMED = {**BINARY, "kind": "classifier", "class_type": "string", "classes": ["bad", "good"]}
BODIES = {
    **BINARY, "kind": "bodies", "class_type": "string", "classes": [], "has_probability": False,
    "feature_names": None, "feature_count": None,
}  # fmt: skip


@pytest.mark.parametrize("label", ["string", "int64", None])
def test_a_model_that_answers_bodies_is_captured_as_the_variant_beside_it(label):
    alone = of_variants(label, NAMED)

    assert of_variants(label, NAMED, BODIES) == of_variants(label, BODIES, NAMED) == alone
    assert alone[1] == "good"
