"""Bodies of numpy arrays (``application/x-npy``) to columns; nothing in them is ever unpickled.

Their header may say anything, so it is compared with the bytes that are there before any are taken.

References
----------
NEP 1, A simple file format for NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from driftline.formats.body_columns import Reading, Wanted
from driftline.formats.body_limits import BodyError
from driftline.formats.cells import as_text
from driftline.formats.coercion import Coerced, from_array
from driftline.formats.npy_layout import Layout, header_end, layout_of, require_unicode
from driftline.formats.shapes.responses import AnswerRows

_Body = tuple[int, bytes]  # Which it is, and its values.
# Where the outputs stand in a row of an answer; None: in their order.
Places = tuple[int | None, ...] | None


def read_npy(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read arrays of shape (n, k), (n,) of one field or, of requests, (k,); or structured ones.

    Bodies with equal headers, as one client sends them, are read together. Rows of answers may lack
    values at the end, and a vector is one value a row there.
    """
    reading, answers = wanted.reading, wanted.answers
    groups: dict[bytes, list[_Body]] = {}
    for index, content in zip(indices.tolist(), contents.to_pylist(), strict=True):
        end = header_end(content)
        groups.setdefault(content[:end], []).append((index, content[end:]))
    for header, bodies in groups.items():
        try:
            layout = layout_of(header, 1 if answers is not None else len(reading.columns))
        except BodyError as error:
            for index, _ in bodies:
                reading.errors[index] = str(error)
            continue
        whole = _whole(reading, layout, bodies)
        alike: dict[Places, list[_Body]] = {None: whole}
        if answers is not None and answers.may_be_probabilities(layout.width):
            alike = _by_places(reading, layout, whole, answers)
        for places, some in alike.items():
            _add_alike(wanted, layout, some, places)


def _whole(reading: Reading, layout: Layout, bodies: Sequence[_Body]) -> list[_Body]:
    """Return the bodies that have as many bytes as their header says."""
    for index, data in bodies:
        if len(data) != layout.size_bytes:
            told = f"{len(data)} bytes of values; its header says {layout.size_bytes}"
            reading.errors[index] = told
    return [body for body in bodies if len(body[1]) == layout.size_bytes]


def _by_places(
    reading: Reading, layout: Layout, bodies: Sequence[_Body], answers: AnswerRows
) -> dict[Places, list[_Body]]:
    """Part bodies of answers by what their values are, which they say only together."""
    found: dict[Places, list[_Body]] = {}
    for body in bodies:
        try:
            numbers = (column.tolist() for column in layout.columns(body[1]))
            places = answers.places(list(zip(*numbers, strict=True)))
        except BodyError as error:
            reading.errors[body[0]] = str(error)
        else:
            found.setdefault(None if places is None else tuple(places), []).append(body)
    return found


def _add_alike(wanted: Wanted, layout: Layout, bodies: Sequence[_Body], places: Places) -> None:
    """Add bodies together; of those that cannot be, the halves: the fault may be of one of them."""
    try:
        _add(wanted, layout, bodies, places)
    except BodyError as error:
        if len(bodies) == 1:
            wanted.reading.errors[bodies[0][0]] = str(error)
            return
        half = len(bodies) // 2
        for part in (bodies[:half], bodies[half:]):
            _add_alike(wanted, layout, part, places)


def _add(wanted: Wanted, layout: Layout, bodies: Sequence[_Body], places: Places) -> None:
    reading, id_name, is_ragged = wanted.reading, wanted.id_name, wanted.answers is not None
    names = [column.name for column in reading.columns]
    if not bodies:
        return
    (values, *others) = layout.columns(b"".join(data for _, data in bodies))
    fields = layout.dtype.names
    if fields is not None:
        found = _by_name(values, fields, names)
        told = values[id_name].tolist() if id_name in fields else []
        extras = [(row, str(id_name), as_text(value)) for row, value in enumerate(told)]
    elif places is not None:
        found = [None if at is None else (values, *others)[at] for at in places]
        extras = []
    elif layout.width == len(names) or (is_ragged and layout.width < len(names)):
        found = [values, *others, *[None] * (len(names) - layout.width)]
        extras = []
    else:
        raise BodyError(f"{layout.width} values a row; expected {len(names)}")
    count = layout.rows * len(bodies)
    columns: list[Coerced] = [
        from_array(pa.nulls(count) if each is None else _arrow(each), column.type)
        for each, column in zip(found, reading.columns, strict=True)
    ]
    reading.add([index for index, _ in bodies], [layout.rows] * len(bodies), columns, extras)


def _by_name(
    values: np.ndarray, fields: Sequence[str], names: Sequence[str]
) -> list[np.ndarray | None]:
    if not set(fields).isdisjoint(names):
        return [values[name] if name in fields else None for name in names]
    # numpy calls them f0, f1 … where nobody named them.
    if len(fields) == len(names):
        return [values[name] for name in fields]
    raise BodyError("the array has none of the signature's fields")


def _arrow(values: np.ndarray) -> pa.Array:
    """Return a column to Arrow; bytes are texts, and what is not UTF-8 stays as it can be shown."""
    kind = values.dtype.kind
    if kind == "b":
        # Bytes other than 0 and 1 are no booleans to numpy.
        return pa.array(np.ascontiguousarray(values).view(np.uint8) != 0)
    if kind in "iuf":
        return pa.array(values.astype(values.dtype.newbyteorder("=")))
    try:
        if kind == "S":
            values = np.char.decode(values, "utf-8", "backslashreplace")
        if kind == "M":
            return _times(values)
        require_unicode(values)
        return pa.array(values.tolist(), pa.string())
    except (ValueError, UnicodeError, OverflowError) as error:
        raise BodyError("its npy texts are not Unicode") from error


def _times(values: np.ndarray) -> pa.Array:
    """Return times as microseconds; those that microseconds cannot count are missing to numpy."""
    if np.datetime_data(values.dtype)[0] == "generic":
        raise BodyError("its npy times have no unit")
    try:
        return pa.array(values.astype("datetime64[us]"), pa.timestamp("us"))
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise BodyError("its npy times cannot be counted in microseconds") from error
