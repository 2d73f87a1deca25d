"""Bodies of many records to columns of values: by content type, and by what stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.body_columns import Bodies, Reading, Wanted
from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import unpack
from driftline.formats.formats import FORMATS, FormatName, ReadMany, format_of, sniff
from driftline.formats.media_types import ROWLESS, may_hold_rows, media_type
from driftline.formats.shapes.requests import RequestRows
from driftline.formats.shapes.responses import AnswerRows
from driftline.signature import Signature

# What the type of a body says: a format, nothing that is known, or that it has no rows.
Kind = FormatName | Literal["unknown", "none"]

_SHOWN = 80
_LOOKED_BYTES = 64
# What stands in memory besides the bodies themselves grows with what is read at once.
_BYTES_AT_ONCE = 16 << 20


class Sent(NamedTuple):
    """The bodies of one side of some records, with their stated formats.

    ``is_wanted``, shape (bodies,), is false where a body is to be left out; ``errors``: for some,
    why they cannot be read at all. Texts are null where nothing was stated.
    """

    contents: pa.BinaryArray
    content_types: pa.StringArray
    encodings: pa.StringArray
    header_lengths: pa.StringArray
    is_wanted: np.ndarray
    errors: list[str | None]


_READERS: dict[Kind, ReadMany] = {
    name: row.read_many for name, row in FORMATS.items() if row.read_many is not None
}


class _Group(NamedTuple):
    """Bodies of one kind, unpacked, and which they are."""

    kind: Kind
    indices: np.ndarray
    contents: pa.BinaryArray


def read_requests(sent: Sent, signature: Signature) -> Bodies:
    """Read request bodies as rows of the signature's inputs."""
    reading = Reading(signature.inputs, sent.errors)
    if signature.inputs:
        _read(sent, reading, RequestRows(signature), signature.inference_id)
    return reading.result()


def read_responses(sent: Sent, signature: Signature, row_counts: np.ndarray) -> Bodies:
    """Read response bodies as rows of the signature's outputs, as many as the request had."""
    outputs = signature.outputs
    if not outputs:
        zeros = np.zeros(len(sent.errors), np.int64)
        return Bodies(zeros, zeros, [], [], [None] * len(sent.errors))
    reading = Reading(outputs, sent.errors)
    _read(sent, reading, AnswerRows(signature))
    found = reading.result()
    wrong = (found.counts != row_counts) & (found.counts > 0)
    for index in np.flatnonzero(wrong):
        found.errors[index] = f"{found.counts[index]} rows; the request had {row_counts[index]}"
    return found.without(wrong)


def _read(
    sent: Sent, reading: Reading, finder: RequestRows | AnswerRows, id_name: str | None = None
) -> None:
    """Read each body by its kind."""
    wanted = Wanted(reading, finder, id_name, sent.header_lengths)
    for kind, indices, contents in _groups(sent):
        _READERS[kind](wanted, indices, contents)


def _groups(sent: Sent) -> Iterator[_Group]:
    """Part the bodies by kind, packed ones unpacked, in groups of bounded size."""
    kinds = _kinds(sent)
    is_wanted = sent.is_wanted & (np.array(sent.errors, object) == None)  # noqa: E711 - of each
    is_packed = _is_packed(sent.encodings)
    lengths = pc.binary_length(sent.contents).to_numpy()
    is_read = (lengths > 0) & (kinds != "none")
    for index in np.flatnonzero(is_wanted & ~is_read):
        # Of a body that cannot hold rows the tap may keep nothing.
        name = sent.content_types[index].as_py() or ""
        sent.errors[index] = (
            "empty body"
            if may_hold_rows(name.encode())
            else f'content type "{media_type(name)[:_SHOWN]}" is not read'
        )
    is_wanted &= is_read
    for kind in sorted(set(kinds[is_wanted & ~is_packed].tolist())):
        indices = np.flatnonzero(is_wanted & ~is_packed & (kinds == kind))
        steps = np.cumsum(lengths[indices], dtype=np.int64) // _BYTES_AT_ONCE
        for part in np.split(indices, np.flatnonzero(np.diff(steps)) + 1):
            contents = sent.contents.slice(part[0], len(part))
            if part[-1] - part[0] >= len(part):  # Others lie between them.
                contents = sent.contents.take(pa.array(part))
            yield from _known([_Group(kind, part, contents)])
    yield from _unpacked(sent, np.flatnonzero(is_wanted & is_packed), kinds)


def _unpacked(sent: Sent, packed: np.ndarray, kinds: np.ndarray) -> Iterator[_Group]:
    """Unpack bodies one by one, and hand them on whenever enough have come together."""
    waiting: dict[Kind, list[tuple[int, bytes]]] = {}
    size = 0
    for index in packed.tolist():
        try:
            content = unpack(sent.contents[index].as_py(), sent.encodings[index].as_py())
        except BodyError as error:
            sent.errors[index] = str(error)
            continue
        if not content:
            sent.errors[index] = "empty body"
            continue
        waiting.setdefault(kinds[index], []).append((index, content))
        size += len(content)
        if size >= _BYTES_AT_ONCE:
            yield from _known([_group(kind, bodies) for kind, bodies in waiting.items()])
            waiting, size = {}, 0
    yield from _known([_group(kind, bodies) for kind, bodies in waiting.items()])


def _group(kind: Kind, bodies: list[tuple[int, bytes]]) -> _Group:
    indices = np.array([index for index, _ in bodies], np.int64)
    return _Group(kind, indices, pa.array([content for _, content in bodies], pa.binary()))


def _known(groups: list[_Group]) -> Iterator[_Group]:
    """Part those of unknown type by what stands in them."""
    for group in groups:
        if group.kind != "unknown":
            yield group
            continue
        bodies = list(zip(group.indices.tolist(), group.contents.to_pylist(), strict=True))
        looks = (sniff(content[:_LOOKED_BYTES]) for _, content in bodies)
        kinds = [look if look in _READERS else "csv" for look in looks]
        for kind in _READERS:
            if some := [body for body, one in zip(bodies, kinds, strict=True) if one == kind]:
                yield _group(kind, some)


def _is_packed(encodings: pa.StringArray) -> np.ndarray:
    coded = encodings.dictionary_encode()
    plain = [name.strip().lower() in ("", "identity") for name in coded.dictionary.to_pylist()]
    codes = pc.fill_null(coded.indices, len(plain)).to_numpy(zero_copy_only=False)
    return np.asarray(~np.array([*plain, True], np.bool_)[codes])


def _kinds(sent: Sent) -> np.ndarray:
    """Return the kind of each body, by its type; an array of texts, shape (bodies,)."""
    coded = sent.content_types.dictionary_encode()
    named = [_kind_of(name) for name in coded.dictionary.to_pylist()]
    codes = pc.fill_null(coded.indices, len(named)).to_numpy(zero_copy_only=False)
    kinds: np.ndarray = np.array([*named, "unknown"], object)[codes]
    if sent.header_lengths.null_count < len(sent.header_lengths):
        kinds[sent.header_lengths.is_valid().to_numpy(zero_copy_only=False)] = "tensors"
    return kinds


@lru_cache(maxsize=256)
def _kind_of(content_type: str) -> Kind:
    name = media_type(content_type)
    if ROWLESS.fullmatch(name) and not name.endswith("+json"):
        return "none"
    return format_of(name) or "unknown"
