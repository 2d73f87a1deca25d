"""Clarify's document of explanations, as others may have written it."""

from __future__ import annotations

import json

import pytest

from driftline.errors import InputError
from driftline.monitors.kinds.attribution.explanations import read_explanations, write_explanations


def document(value: object, expected: object = 0.5) -> str:
    label = {"global_shap_values": {"age": value}, "expected_value": expected}
    return json.dumps({"explanations": {"kernel_shap": {"label0": label}}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "0.1", None])
def test_a_value_is_a_number(value: object) -> None:
    with pytest.raises(InputError, match=r'feature "age": .* is no number'):
        read_explanations(document(value))


@pytest.mark.parametrize("expected", [float("nan"), 10**400, True, None])
def test_an_expected_value_that_is_no_number_is_none(expected: object) -> None:
    found = read_explanations(document(0.1, expected))

    assert found["label0"].expected is None
    assert read_explanations(write_explanations(found)) == found


def test_a_document_of_brackets_is_refused() -> None:
    with pytest.raises(InputError, match="not JSON"):
        read_explanations("[" * 100_000)
