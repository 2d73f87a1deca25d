"""Classes: what is the same one, whichever system wrote it, and whose probability a column is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.classes import (
    class_order,
    class_text,
    classes_of_columns,
    known_classes,
    merged_classes,
)


@pytest.mark.parametrize("value", [1, 1.0, np.int8(1), np.float32(1), True, np.True_, "1", "1.0",
                                   "True", "TRUE", "true", " 1 ", "+1.00"])  # fmt: skip
def test_all_that_means_one_is_the_class_one(value) -> None:
    assert known_classes([class_text(value)], ("0", "1")) == ("1",)
    assert known_classes([class_text(value)], ("0.0", "1.0")) == ("1.0",)
    assert known_classes([class_text(value)], ("false", "true")) == ("true",)


@pytest.mark.parametrize("text", ["01", "1e0", "1_0", "one", "yes", "nan", "", "11", "-1", "1.5"])
def test_what_only_looks_alike_stays_what_it_is(text: str) -> None:
    assert known_classes([text], ("0", "1")) == (text,)


def test_what_is_known_apart_stays_apart() -> None:
    assert known_classes(["1.0", "1", "true"], ("1", "1.0", "true")) == ("1.0", "1", "true")


def test_classes_of_several_columns_are_named_the_shortest_way() -> None:
    assert merged_classes(["1.0", "0.0", "0", "1"]) == ("0", "1")
    assert merged_classes(["true", "false", "1", "0"]) == ("0", "1")
    assert merged_classes(["1.0", "0.0"]) == ("0.0", "1.0")
    assert merged_classes(["b", "a"]) == ("a", "b")
    assert merged_classes(["2.0", "3", "x"], ("2", "1")) == ("2", "1", "3", "x")


@given(st.lists(st.text("01.tfe", max_size=4)), st.lists(st.text("01.tfe", max_size=4)))
def test_whatever_was_merged_is_known(texts: list[str], known: list[str]) -> None:
    merged = merged_classes(texts, tuple(dict.fromkeys(known)))

    assert set(known_classes(texts, merged)) <= set(merged)
    assert len(set(merged)) == len(merged)


@pytest.mark.parametrize("kind", [int, np.int64, str, "{}.0".format])
@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_that_no_double_tells_apart_are_classes_of_their_own(kind, sign) -> None:
    texts = [class_text(kind(sign * (2**60 + more))) for more in range(3)]

    assert len(set(texts)) == 3
    known = known_classes(texts, [str(sign * (2**60 + more)) for more in range(3)])
    assert known == tuple(str(sign * (2**60 + more)) for more in range(3))
    assert len(merged_classes(texts)) == 3
    assert class_order(texts[::-1]) == class_order(texts)


def test_numbers_are_sorted_as_numbers() -> None:
    assert class_order(["10", "9", "-1"]) == ("-1", "9", "10")
    assert class_order(["10", "9", "x"]) == ("10", "9", "x")


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["probability_late", "probability_early"], ["early", "late"], ("late", "early")),
        (["p_1", "p_0"], ["0", "1"], ("1", "0")),
        (["p_11", "p_1", "p_2"], ["1", "2", "11"], ("11", "1", "2")),
        (["P(late)", "P(early)"], ["early", "late"], ("late", "early")),
        # The data never held the class "c", which the model knows.
        (["p_c", "p_b", "p_a"], ["a", "b"], ("c", "b", "a")),
        # The model does not know the class "c".
        (["p_b", "p_a"], ["a", "b", "c"], ("b", "a")),
        # Names that say nothing: in the order of the classes.
        (["first", "second"], ["a", "b"], ("a", "b")),
        (["p_a", "q_b", "p_c"], ["a", "b"], None),
        (["first", "second"], ["a", "b", "c"], None),
    ],
)
def test_a_column_of_probabilities_is_of_the_class_that_it_names(names, classes, expected) -> None:
    assert classes_of_columns(names, classes) == expected
