"""Arrays of numpy as bodies of invocations: read as text would be, and never believed."""

import io
import pickle

import numpy as np
import pytest

from driftline.formats.shapes.requests import RequestRows
from driftline.serving.bodies.media_types import NotAcceptableError
from driftline.serving.bodies.predictions import Answer, write_answer
from driftline.serving.bodies.rows import RowLimitError, RowsError, read_columns, read_numbers
from driftline.signature import Column, Signature

NUMBERS = RequestRows(
    Signature((Column("km", "feature_km", "int64"), Column("temp", "feature_temp", "double"))),
    is_strict=True,
)


def npy(values, **more):
    sink = io.BytesIO()
    np.save(sink, np.asarray(values), **more)
    return sink.getvalue()


def lying(shape, data=b"", descr="'<f8'"):
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<i4", "<u2"])
def test_numbers_are_read_as_those_of_text(kind, order):
    values = np.array([[1, 2], [3, 4], [5, 6]], dtype=kind, order=order)

    found = read_columns(npy(values), "npy", NUMBERS)

    expected = read_columns(b"1,2\n3,4\n5,6\n", "csv", NUMBERS)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        assert found[name].tolist() == column.tolist()


DOUBLES = RequestRows(
    Signature((Column("km", "feature_km", "double"), Column("temp", "feature_temp", "double"))),
    is_strict=True,
)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 2), (2,), (1, 2), (3, 2, 1)])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<i4", "<u2"])
def test_numbers_are_read_at_once_as_they_are_by_columns(kind, shape, order):
    values = np.arange(np.prod(shape)).reshape(shape).astype(kind, order=order)

    found = read_numbers(npy(values), "npy", DOUBLES)

    assert isinstance(found, np.ndarray)
    assert found.flags.writeable
    columns = read_columns(npy(values), "npy", DOUBLES)
    np.testing.assert_array_equal(found, np.column_stack([*columns.values()]))


@pytest.mark.parametrize(
    "body",
    [
        npy([[1.0, 2.0, 3.0]]), npy([[1.0, 2.0]])[:-1], npy([[True, False]]), npy([["1", "2"]]),
        npy(np.ones((101, 2))), npy(np.zeros(2, [("km", "f8"), ("temp", "f8")])), b"\x93NUMPY",
    ],
    ids=["wide", "cut", "truth", "texts", "many", "fields", "no header"],
)  # fmt: skip
def test_other_arrays_are_left_to_columns(body):
    assert read_numbers(body, "npy", DOUBLES, 100) is None


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"\x93NUMPY", "not an npy file"),
        (pickle.dumps(_Bomb()), "not an npy file"),
        (npy([_Bomb(), 1], allow_pickle=True), "neither numbers, truth values, texts nor times"),
        (lying("(2, 2)", bytes(24)), "24 bytes of values; its header says 32"),
        (lying("(1000000000, 2)"), "rows"),
        (lying("(10, 200000000000)"), "its header says 16000000000000"),
        (lying("(-1, 2)"), "shape is not one of sizes"),
        (lying("(2,) * 9**9**9"), "header cannot be read"),
        (lying("(1, 2)", bytes(16), "__import__('os').getpid()"), "header cannot be read"),
        (npy(np.zeros((2, 3))), 'array has 3 values a row; expected 2 (km, temp)'),
        (npy(np.array([[b"\xff", b"1"]])), "not Unicode"),
        (lying("(1, 2)", b"\xff" * 8, "'<U1'"), "not Unicode"),
        (npy([[2.0**70, 1.0]]) [:-1], "its header says 16"),
    ],
)  # fmt: skip
def test_what_is_malformed_or_hostile_is_refused_in_one_sentence(body, sentence):
    with pytest.raises((RowsError, RowLimitError)) as refused:
        read_columns(body, "npy", NUMBERS)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_answer_of_several_predictions_a_row_is_no_array():
    with pytest.raises(NotAcceptableError):
        write_answer(Answer(np.array([[1, 2], [3, 4]])), "npy")
