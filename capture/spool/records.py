"""Frames by columns, over the bytes in which they lie.

Nothing is unpacked before it is needed: the headers' numbers are one gather, Arrow cuts out bodies
in one go, and the NULs in the meta delimit its fields. ``frame`` returns the few that need a look
of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from driftline.capture.spool.frame import HEADER_BYTES, VERSION, Frame, frame_bytes, seed_of, unpack

# As in capture/spool/frame.py, read in words of eight bytes: the last two fields end with the first
# four bytes of the meta, or with padding.
_WORDS = 10
_LARGE_BYTES = 1 << 12
HEADER = np.dtype(
    {
        "names": [
            "magic", "length", "checksum", "version", "kind", "flags", "seq", "wall_ns", "mono_ns",
            "first_byte_us", "total_us", "request_bytes", "response_bytes", "request_kept",
            "response_kept", "status", "meta_length",
        ],
        "formats": [
            "<u4", "<u4", "<u4", "u1", "u1", "<u2", "<u8", "<u8", "<u8", "<u4", "<u4", "<u8", "<u8",
            "<u4", "<u4", "<u2", "<u2",
        ],
        "offsets": [0, 4, 8, 12, 13, 14, 16, 24, 32, 40, 44, 48, 56, 64, 68, 72, 74],
        "itemsize": 8 * _WORDS,
    }
)  # fmt: skip
Buffer = bytes | memoryview


class Records:
    """Frames of one or several spools, by columns, in the order given.

    ``raw``: bytes of the frames, each at a multiple of eight; ``starts``: where each frame begins,
    shape (records,); ``codes``: the spool of each frame, shape (records,); by default the first.
    """

    def __init__(
        self,
        raw: Buffer,
        starts: np.ndarray,
        spools: Sequence[str],
        codes: np.ndarray | None = None,
    ) -> None:
        self.raw = raw
        self.starts = starts
        self.spools = tuple(spools)
        self.codes = np.zeros(len(starts), np.int32) if codes is None else codes

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Frame]]) -> Records:
        """Build from single frames, each with its spool's id."""
        frames = list(pairs)
        pieces = [frame_bytes(spool, frame) for spool, frame in frames]
        ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        spools = list(dict.fromkeys(spool for spool, _ in frames))
        number = {spool: code for code, spool in enumerate(spools)}
        codes = np.array([number[spool] for spool, _ in frames], np.int32)
        return cls(b"".join(pieces), ends[:-1], spools, codes)

    @classmethod
    def join(cls, parts: Sequence[Records]) -> Records:
        """Concatenate."""
        if len(parts) == 1:
            return parts[0]
        pieces = [part.bytes() for part in parts]
        bases = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        starts = [part.inside() + base for part, base in zip(parts, bases, strict=False)]
        spools = list(dict.fromkeys(spool for part in parts for spool in part.spools))
        number = {spool: code for code, spool in enumerate(spools)}
        codes = [
            np.array([number[spool] for spool in part.spools], np.int32)[part.codes]
            for part in parts
        ]
        return cls(
            b"".join(pieces),
            np.concatenate([np.empty(0, np.int64), *starts]),
            spools,
            np.concatenate([np.empty(0, np.int32), *codes]),
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(index) for index in range(len(self)))

    def take(self, which: np.ndarray | slice) -> Records:
        """Return a selection by indices, mask or slice; only numbers are copied."""
        if isinstance(which, np.ndarray) and which.dtype == np.bool_ and which.all():
            return self
        selection = Records(self.raw, self.starts[which], self.spools, self.codes[which])
        if "header" in self.__dict__:
            selection.header = self.header[which]
        return selection

    def frame(self, index: int) -> Frame:
        """Unpack one frame."""
        spool = self.spools[self.codes[index]]
        frame = unpack(self.raw, int(self.starts[index]), seed_of(spool))
        assert frame is not None, "only whole frames come here"
        return frame

    def frames(self) -> list[Frame]:
        """Unpack all frames."""
        return list(self)

    def bytes(self) -> Buffer:
        """Return the frames as contiguous bytes, padding included."""
        if not len(self):
            return b""
        if self._is_run:
            return memoryview(self.raw)[int(self.starts[0]) : int(self._ends[-1])]
        view = memoryview(self.raw)
        ends = self._ends.tolist()
        return b"".join(view[a:b] for a, b in zip(self.starts.tolist(), ends, strict=True))

    def inside(self) -> np.ndarray:
        """Return where in ``bytes()`` each frame begins."""
        sizes = self._ends - self.starts
        return np.asarray(np.cumsum(sizes) - sizes)

    @cached_property
    def header(self) -> np.ndarray:
        """All fields of the headers: a structured array, shape (records,), of dtype ``HEADER``."""
        return header_of(self.raw, self.starts)

    @property
    def kind(self) -> np.ndarray:
        """``Kind`` of each."""
        return np.asarray(self.header["kind"])

    @property
    def flags(self) -> np.ndarray:
        """``Flag`` of each, int32."""
        return self.header["flags"].astype(np.int32)

    @property
    def seq(self) -> np.ndarray:
        """Sequence numbers, int64; only those of sound frames fit."""
        return self.header["seq"].astype(np.int64)

    @property
    def wall_ns(self) -> np.ndarray:
        """Wall clock at arrival, ns since 1970, int64."""
        return self.header["wall_ns"].astype(np.int64)

    @property
    def total_us(self) -> np.ndarray:
        """Microseconds to the last byte of the response, int64."""
        return self.header["total_us"].astype(np.int64)

    @property
    def request_bytes(self) -> np.ndarray:
        """True length of the request, int64."""
        return self.header["request_bytes"].astype(np.int64)

    @property
    def response_bytes(self) -> np.ndarray:
        """True length of the response, int64."""
        return self.header["response_bytes"].astype(np.int64)

    @property
    def kept_bytes(self) -> np.ndarray:
        """Bytes of both bodies that were kept, int64."""
        kept = self.header["request_kept"].astype(np.int64) + self.header["response_kept"]
        return np.asarray(kept)

    @property
    def status(self) -> np.ndarray:
        """Status of the response, int32."""
        return self.header["status"].astype(np.int32)

    @cached_property
    def spool_id(self) -> pa.StringArray:
        """Id of the spool of each."""
        names = pa.array(self.spools, pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(self.codes), names).dictionary_decode()

    @cached_property
    def request(self) -> pa.BinaryArray:
        """What was kept of each request."""
        return self._cut(self._request_at, self.header["request_kept"])

    @cached_property
    def response(self) -> pa.BinaryArray:
        """What was kept of each response."""
        return self._cut(
            self._request_at + self.header["request_kept"], self.header["response_kept"]
        )

    def meta(self, name: str) -> pa.StringArray:
        """Return the meta value of a name for each frame; null where there is none."""
        return self._told.values(name)

    @cached_property
    def _told(self) -> _Meta:
        return _Meta(self._cut(self.starts + HEADER_BYTES, self.header["meta_length"]))

    @property
    def _request_at(self) -> np.ndarray:
        return np.asarray(self.starts + HEADER_BYTES + self.header["meta_length"])

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where each ends, padding included."""
        return np.asarray(self.starts + ((self.header["length"].astype(np.int64) + 7) & -8))

    @cached_property
    def _is_run(self) -> bool:
        return bool((self._ends[:-1] == self.starts[1:]).all())

    def _cut(self, starts: np.ndarray, lengths: np.ndarray) -> pa.BinaryArray:
        """Cut a piece out of each frame.

        Of many small pieces the whole is taken for an array in which they alternate with the rest;
        Arrow then copies every second one. Its offsets have to rise, so that repeated frames are
        cut once. Large pieces are joined, which costs a third.
        """
        if lengths.sum() > len(lengths) * _LARGE_BYTES:
            view, ends = memoryview(self.raw), (starts + lengths).tolist()
            pieces = [view[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
            joined = pa.py_buffer(b"".join(pieces))
            offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int32)
            buffers = [None, pa.py_buffer(offsets), joined]
            return pa.Array.from_buffers(pa.binary(), len(pieces), buffers)
        at = np.arange(len(starts))
        if len(starts) and (np.diff(starts) <= 0).any():
            starts, first, at = np.unique(starts, return_index=True, return_inverse=True)
            lengths = lengths[first]
        offsets = np.empty(2 * len(starts), np.int32)
        offsets[::2] = starts
        offsets[1::2] = starts + lengths
        count = max(len(offsets) - 1, 0)
        raw = pa.py_buffer(self.raw)
        whole = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), raw])
        return whole.take(pa.array(2 * at))


class _Meta:
    """Names and values of many records, parted by NUL; the last of a name counts."""

    def __init__(self, packed: pa.BinaryArray) -> None:
        _, offsets, data = packed.buffers()
        self._count = len(packed)
        ends = np.frombuffer(offsets, np.int32, self._count + 1).astype(np.int64)
        packed_bytes = (
            np.frombuffer(data, np.uint8, ends[-1]) if data is not None else np.empty(0, np.uint8)
        )
        nuls = np.flatnonzero(packed_bytes == 0)
        # A record of k NULs has k + 1 parts; all parts of all records stand in one row.
        owner = np.searchsorted(ends, nuls, "right") - 1
        counts = np.bincount(owner, minlength=self._count) + 1
        first = np.cumsum(counts) - counts
        order = np.arange(len(nuls)) + owner
        bounds = np.empty(2 * int(counts.sum()) + 1, np.int32)
        bounds[2 * first] = ends[:-1]
        bounds[2 * (order + 1)] = nuls + 1
        bounds[2 * order + 1] = nuls
        bounds[2 * (first + counts) - 1] = ends[1:]
        bounds[-1] = ends[-1]
        # Every second piece is a part, and between them what parts them.
        self._pieces = pa.Array.from_buffers(
            pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), data or pa.py_buffer(b"")]
        )
        pairs = counts // 2
        self._owner = np.repeat(np.arange(self._count), pairs)
        inside = np.arange(len(self._owner)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
        self._names_at = np.repeat(first, pairs) + 2 * inside
        names = self._pieces.take(pa.array(2 * self._names_at)).dictionary_encode()
        self._codes = names.indices.to_numpy()
        self._known = {name: code for code, name in enumerate(names.dictionary.to_pylist())}

    def values(self, name: str) -> pa.StringArray:
        """Return the value of a name in each record."""
        code = self._known.get(name.encode())
        if code is None:
            return pa.nulls(self._count, pa.string())
        chosen = self._codes == code
        at = np.full(self._count, -1, np.int64)
        at[self._owner[chosen]] = 2 * (self._names_at[chosen] + 1)
        values = self._pieces.take(pa.array(at, mask=at < 0))
        try:
            return values.cast(pa.string())
        except pa.ArrowInvalid:  # Not UTF-8 in some record.
            texts = [
                None if v is None else v.decode("utf-8", "replace") for v in values.to_pylist()
            ]
            return pa.array(texts, pa.string())


def header_of(raw: Buffer, starts: np.ndarray) -> np.ndarray:
    """Gather the headers of frames, of dtype ``HEADER``."""
    words = np.frombuffer(raw, "<u8", len(raw) // 8)
    headers = words[(starts >> 3)[:, None] + np.arange(_WORDS)].view(HEADER)
    return np.asarray(headers.reshape(-1))


def is_whole(header: np.ndarray) -> np.ndarray:
    """Return which frames have consistent lengths and a known version."""
    length = header["meta_length"].astype(np.int64) + header["request_kept"]
    length += header["response_kept"]
    return np.asarray((header["version"] == VERSION) & (header["length"] == length + HEADER_BYTES))
