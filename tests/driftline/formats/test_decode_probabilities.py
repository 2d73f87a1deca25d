"""Probabilities in answers: whose they are where it is known, and told where it is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from driftline.signature import Column, Signature
from tests.driftline.formats.decode_tools import CSV, JSON, SIGNATURE, decode, frame, npy

NPY = "application/x-npy"


def of_two(classes: tuple[str, ...] | None, positive: str | None) -> Signature:
    own = None if positive is None else (positive,)
    return Signature(
        (Column("a", "feature_a", "double"),),
        (
            Column("prediction", "prediction", "int64", role="prediction", classes=classes),
            Column("p", "probability", "double", role="probability", classes=own),
        ),
    )


# What predict_proba of scikit-learn gives for two rows, as servers write it: KServe, MLflow and
# TensorFlow Serving as "predictions", MLServer as a tensor of its method's name, own apps bare.
def both_classes(rows: list[list[float]]) -> dict[str, tuple[bytes, str]]:
    flat = [value for row in rows for value in row]
    tensor = {"shape": [2, 2], "datatype": "FP64", "data": flat}
    return {
        "bare": (json.dumps(rows).encode(), JSON),
        "predictions": (json.dumps({"predictions": rows}).encode(), JSON),
        "mlserver": (json.dumps({"outputs": [{"name": "predict_proba", **tensor}]}).encode(), JSON),
        "unnamed": (json.dumps({"outputs": [{"name": "output-0", **tensor}]}).encode(), JSON),
        "csv": ("".join(f"{a},{b}\n" for a, b in rows).encode(), CSV),
        "quoted csv": ("".join(f'"{a}",{b}\n' for a, b in rows).encode(), CSV),
        "numpy": (npy(np.array(rows)), NPY),
    }


FORMS = sorted(both_classes([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [[[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.9, 0.1]]])
def test_numbers_that_add_up_to_one_are_the_probabilities_of_the_classes(
    form: str, rows: list[list[float]]
) -> None:
    body, kind = both_classes(rows)[form]

    found = decode([frame(b"1\n2", CSV, body, kind)], of_two(("0", "1"), "1"))

    assert found.errors == [None]
    assert found.columns["probability"].to_pylist() == [second for _, second in rows]
    # No prediction was answered.
    assert found.columns["prediction"].to_pylist() == [None, None]
    assert not any(found.unfit.to_pylist())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signature", [of_two(None, None), of_two(("1", "0"), "0")])
def test_which_class_a_probability_is_of_is_told_and_not_guessed(
    form: str, signature: Signature
) -> None:
    body, kind = both_classes([[0.0, 1.0], [1.0, 0.0]])[form]

    found = decode([frame(b"1\n2", CSV, body, kind)], signature)

    assert found.columns["prediction"].to_pylist() == [None, None]
    assert found.columns["probability"].to_pylist() == [None, None]
    if form == "mlserver":  # Named a probability: kept as it was sent, as what does not fit.
        assert [dict(row) for row in found.unfit.to_pylist()] == [
            {"p": "[0.0, 1.0]"},
            {"p": "[1.0, 0.0]"},
        ]
    else:
        assert "numbers a row that add up to one" in str(found.errors[0])


@pytest.mark.parametrize("body", [b"[[1, 1e-17], [0.3, 0.7]]", b"1,1e-17\n0.3,0.7"])
def test_a_fraction_in_the_place_of_the_prediction_makes_probabilities_of_all(body: bytes) -> None:
    # JavaScript and Go write a probability of 1.0 as 1.
    kind = CSV if b"[" not in body else JSON

    found = decode([frame(b"1\n2", CSV, body, kind)], of_two(("0", "1"), "0"))

    assert found.errors == [None]
    assert found.columns["probability"].to_pylist() == [1.0, 0.3]
    assert found.columns["prediction"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("told", "columns", "expected"),
    [
        ([0.25, 0.75], ["", ""], [0.25, 0.75]),
        ([0.2, 0.3, 0.5], ["c"], [0.5]),  # By the prediction's three classes.
        ([0.2, 0.3, 0.5], ["b", "a"], [0.3, 0.2]),
        ([0.2, 0.3], ["c"], [None]),  # Of which two classes?
        ([0.2, 0.3, 0.5], ["d"], [None]),  # Of none of the three.
        ({"a": 0.2, "b": 0.3, "c": 0.5}, ["c", "d"], [0.5, None]),
        (0.25, ["c"], [0.25]),
        (0.25, ["a", "c"], [None, None]),  # Of which of both?
    ],
)
def test_probabilities_go_where_it_is_known_whose_they_are(
    told: object, columns: list[str], expected: list[float | None]
) -> None:
    outputs = (
        Column("prediction", "prediction", "string", role="prediction", classes=("a", "b", "c")),
        *(
            Column(f"p{at}", f"p{at}", "double", role="probability", classes=(one,) if one else ())
            for at, one in enumerate(columns)
        ),
        Column("note", "note", "string"),
    )
    answer = {"predictions": [{"prediction": "c", "probabilities": told}]}

    found = decode(
        [frame(b"1.5,2,UA\n", CSV, json.dumps(answer).encode(), JSON)],
        Signature(SIGNATURE.features, outputs),
    )

    assert found.errors == [None]
    assert [found.columns[f"p{at}"].to_pylist() for at in range(len(columns))] == [
        [one] for one in expected
    ]
    assert found.columns["note"].to_pylist() == [None]
    # Kept as it was sent, where a list cannot be shared out.
    kept = {"p0": json.dumps(told)} if isinstance(told, list) and expected == [None] else {}
    assert [dict(row) for row in found.unfit.to_pylist()] == [kept]
