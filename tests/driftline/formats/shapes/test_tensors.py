"""Tensors of the Open Inference Protocol, by hand: nested values, and texts cut off anywhere."""

from __future__ import annotations

import struct

import pytest

from driftline.formats.body_limits import BodyError, require_rows
from driftline.formats.shapes import tensors
from driftline.formats.shapes.tensors import read_tensors, with_binary_data


def values(datatype: str, data: bytes) -> object:
    """Read binary data as a tensor of this type."""
    tensor = {
        "name": "t",
        "shape": [1],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(data)},
    }
    with_binary_data({"inputs": [tensor]}, memoryview(data))
    return tensor["data"]


def test_values_nested_as_deep_as_the_shape_are_cut_by_the_first_dimension() -> None:
    tensor = {"name": "t", "shape": [2, 2, 2], "datatype": "INT64"}
    tensor["data"] = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]

    [found] = read_tensors([tensor], 1)

    assert found.rows == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_texts_come_after_their_lengths() -> None:
    # The extension for binary data: each element is preceded by its length, four bytes, LSB first.
    assert values("BYTES", b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c") == ["ab", "", "c"]


@pytest.mark.parametrize(
    "data", [b"\x01\0\0", struct.pack("<I", 5), struct.pack("<I", 3) + b"ab", b"\0\0\0\0\x01"]
)
def test_texts_that_are_cut_off_anywhere_are_refused(data: bytes) -> None:
    with pytest.raises(BodyError, match="cut off"):
        values("BYTES", data)


@pytest.mark.parametrize(
    ("datatype", "size"), [("INT16", 2), ("BF16", 2), ("FP32", 4), ("INT64", 8)]
)
def test_numbers_that_are_cut_off_are_refused_with_their_size(datatype: str, size: int) -> None:
    assert values(datatype, bytes(3 * size)) == [0, 0, 0]
    with pytest.raises(BodyError, match=f"^{3 * size - 1} bytes .* a multiple of {size}$"):
        values(datatype, bytes(3 * size - 1))


def test_two_mebi_values_are_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 Mi, as bounds.py documents.
    most = 2_097_152

    assert values("UINT8", b"\1" * most) == [1] * most
    with pytest.raises(BodyError, match=r"^more than 2097152 values$"):
        values("UINT8", b"\1" * (most + 1))

    monkeypatch.setattr(tensors, "MAX_VALUES", 3)
    assert values("BYTES", bytes(3 * 4)) == ["", "", ""]
    with pytest.raises(BodyError, match=r"or there are too many$"):
        values("BYTES", bytes(4 * 4))


def test_a_tensor_holds_two_mebi_of_values_and_no_more() -> None:
    assert len(values("INT8", bytes(2_097_152))) == 2_097_152
    with pytest.raises(BodyError, match="more than 2097152 values"):
        values("INT8", bytes(2_097_153))


def test_a_body_holds_a_quarter_of_a_mebi_of_rows_and_no_more() -> None:
    require_rows(262_144)
    with pytest.raises(BodyError, match="262145 rows; expected at most 262144 in a request"):
        require_rows(262_145)
