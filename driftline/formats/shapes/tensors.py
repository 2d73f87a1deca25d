"""Tensors of the Open Inference Protocol, version 2: named, flat or nested, or as binary data.

References
----------
Open Inference Protocol, specification/protocol/inference_rest.md (kserve/open-inference-protocol);
its extension for binary tensor data (extension_binary_data.md, triton-inference-server/server).
"""

from __future__ import annotations

import math
import struct
from base64 import b64decode
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from driftline.formats.body_limits import MAX_ROWS, MAX_VALUES, BodyError, require_rows

_TYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_MAX_TOLD = 60
TENSOR_FIELDS = frozenset({"name", "shape", "datatype"})


class Tensor(NamedTuple):
    """A named tensor: its values in rows, one for each index of the first dimension."""

    name: str
    rows: list[list[object]]

    @property
    def width(self) -> int:
        """How many values a row has."""
        return len(self.rows[0])


def is_tensors(found: object) -> bool:
    """Whether this is a list of tensors, as under ``inputs`` and ``outputs``."""
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(each, dict) and each.keys() >= TENSOR_FIELDS for each in found)
    )


def read_tensors(
    found: Sequence[dict[str, object]], alone: int, most: int = MAX_ROWS
) -> list[Tensor]:
    """Cut tensors into rows; a lone vector of ``alone`` values is one row."""
    tensors = [_read(tensor, alone if len(found) == 1 else 1, most) for tensor in found]
    if len({len(tensor.rows) for tensor in tensors}) > 1:
        raise BodyError("tensors of different first dimensions")
    return tensors


def tensor_columns(
    found: Sequence[dict[str, object]], names: Sequence[str]
) -> dict[str, Sequence[object]]:
    """Return the columns of flat tensors: a tensor each, or one of all; none of unusual ones."""
    columns: dict[str, Sequence[object]] = {}
    for tensor in found:
        shape, values, name = tensor["shape"], tensor.get("data"), tensor["name"]
        is_lone = len(found) == 1 and name not in names
        width = len(names) if is_lone else 1
        if type(values) is not list or "parameters" in tensor or not isinstance(name, str):
            return {}
        if len(values) % width:
            return {}
        if shape != [len(values) // width, width] and (shape != [len(values)] or width > 1):
            return {}
        if is_lone:
            return {name: values[at::width] for at, name in enumerate(names)}
        columns[name] = values
    return columns if len(columns) == len(found) > 1 else {}


def _read(tensor: dict[str, object], alone: int, most: int) -> Tensor:
    name, shape, values = str(tensor["name"]), tensor["shape"], tensor.get("data")
    told = f"tensor {name[:_MAX_TOLD]!r}"
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BodyError(f"{told} has no shape of whole numbers")
    if not isinstance(values, list):
        raise BodyError(f"{told} has no list as data")
    for _ in shape[1:]:
        if values and all(isinstance(value, list) for value in values):
            values = list(chain.from_iterable(values))
    if _is_base64(tensor):
        values = [_unpacked(value, told) for value in values]
    if math.prod(shape) != len(values):
        raise BodyError(f"{told} has {len(values)} values, but its shape says {math.prod(shape)}")
    if len(shape) == 1 and alone > 1 and len(values) == alone:
        return Tensor(name, [values])
    count = int(shape[0]) if shape else 1
    require_rows(count, most)
    width = len(values) // count
    if not width:
        raise BodyError(f"{told} has rows of no values")
    return Tensor(name, [values[at : at + width] for at in range(0, len(values), width)])


def _is_base64(tensor: dict[str, object]) -> bool:
    """Whether the texts of a tensor are written in base64, as MLServer says it of them."""
    parameters = tensor.get("parameters")
    kind = parameters.get("content_type") if isinstance(parameters, dict) else None
    return kind == "base64" and tensor["datatype"] == "BYTES"


def _unpacked(value: object, told: str) -> object:
    try:
        return None if value is None else b64decode(str(value), validate=True).decode("utf-8")
    except ValueError as error:
        raise BodyError(f"{told} is not UTF-8 in base64, as it says") from error


def with_binary_data(document: object, data: memoryview) -> object:
    """Put the binary data that follows a JSON object into its tensors, in their order."""
    if not isinstance(document, dict):
        raise BodyError("not an object before the binary data")
    for tensor in chain.from_iterable(_lists(document)):
        parameters = tensor.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(data):
            raise BodyError(f"binary data is cut off ({len(data)} bytes are left)")
        tensor["data"] = _values(str(tensor.get("datatype")), data[:size])
        data = data[size:]
    if len(data):
        raise BodyError(f"{len(data)} bytes of binary data belong to no tensor")
    return document


def _lists(document: dict[str, object]) -> list[list[dict[str, object]]]:
    return [found for key in ("inputs", "outputs") if is_tensors(found := document.get(key))]  # type: ignore[misc]  # is_tensors says that they are


def _values(datatype: str, data: memoryview) -> list[object]:
    if datatype == "BYTES":
        return _texts(data)
    if datatype == "BF16":
        # The upper half of a 32-bit float; numpy has no such type.
        _require_whole(data, 2)
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        found = wide.view(np.float32)
    elif datatype in _TYPES:
        dtype = np.dtype(_TYPES[datatype])
        _require_whole(data, dtype.itemsize)
        # Bytes other than 0 and 1 are no booleans to numpy.
        raw = np.frombuffer(data, "u1" if datatype == "BOOL" else dtype)
        found = raw.astype(np.bool_) if datatype == "BOOL" else raw
    else:
        raise BodyError(f"datatype {datatype[:_MAX_TOLD]!r}; expected one of {', '.join(_TYPES)}")
    return list(found.tolist())


def _require_whole(data: memoryview, size: int) -> None:
    if len(data) % size:
        raise BodyError(f"{len(data)} bytes of binary data; expected a multiple of {size}")
    if len(data) // size > MAX_VALUES:
        raise BodyError(f"more than {MAX_VALUES} values")


def _texts(data: memoryview) -> list[object]:
    """Cut texts, each after its length in four bytes."""
    found: list[object] = []
    at = 0
    while at < len(data):
        end = at + 4
        if end <= len(data):
            end += struct.unpack_from("<I", data, at)[0]
        if end > len(data) or len(found) >= MAX_VALUES:
            raise BodyError("binary data of texts is cut off, or there are too many")
        try:
            found.append(str(data[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise BodyError("binary data of texts is not UTF-8") from error
        at = end
    return found
