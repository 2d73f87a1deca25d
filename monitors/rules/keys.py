"""Finds keys that occur more than once: exact at any number of rows, in bounded memory.

Keys are held as 64-bit hashes with counts. Beyond the cap they are sorted into a temporary file,
then counted range by range. Hashes of integers, numbers and times never collide; among n texts (or
rows of several columns) two collide with a chance of about n^2 / 2^65, under 1 in 3,000 for a
hundred million.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from driftline.errors import UnavailableError

# At 16 bytes each, and as much again while they are sorted.
KEYS_IN_MEMORY = 1 << 20
# Repeated keys that are remembered to find their rows again; all are counted.
REPEATS_KEPT = 1 << 20
# A file's keys are counted in so many ranges, each in memory at once.
RANGES = 256
PAIR = np.dtype([("key", np.uint64), ("count", np.int64)])


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeated keys."""

    row_count: int
    key_count: int
    repeated_rows: int  # Rows whose key another row has, too.
    repeated_keys: int
    keys: np.ndarray  # The repeated keys, ascending, the first million, shape (keys,).


class KeyCounts:
    """Counts keys by their hashes; parts of the data are merged exactly."""

    def __init__(self, cap: int = KEYS_IN_MEMORY) -> None:
        self.cap = cap
        self.row_count = 0
        self._parts: list[np.ndarray] = []
        self._pair_count = 0
        self._file: IO[bytes] | None = None
        self._runs: list[np.ndarray] = []  # Where each range of a run begins, in pairs.

    def add(self, keys: np.ndarray) -> None:
        """Count keys by their hashes, shape (rows,)."""
        self.row_count += len(keys)
        self._take(_paired(keys))

    def merge(self, other: KeyCounts) -> None:
        """Take over what another part has counted."""
        self.row_count += other.row_count
        for part in other._everything():
            self._take(part)

    def _take(self, pairs: np.ndarray) -> None:
        self._parts.append(pairs)
        self._pair_count += len(pairs)
        if self._pair_count > self.cap:
            self._compact()
            if self._pair_count > self.cap // 2:
                self._move_out()

    def _compact(self) -> np.ndarray:
        joined = _joined(self._parts)
        self._parts, self._pair_count = [joined], len(joined)
        return joined

    def _move_out(self) -> None:
        """Write what is held to the temporary file, in order of the keys."""
        pairs = self._parts[0]
        try:
            if self._file is None:
                # Unnamed: it goes with the process, however that ends.
                self._file = tempfile.TemporaryFile(prefix="driftline-keys-")  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            start = self._file.seek(0, 2) // PAIR.itemsize
            self._file.write(pairs.tobytes())
        except OSError as error:
            raise UnavailableError(
                f"keys cannot be kept in {tempfile.gettempdir()} ({error.strerror}); make room "
                "there (16 bytes a key), or set TMPDIR to a folder that has it"
            ) from error
        edges = np.arange(1, RANGES, dtype=np.uint64) << np.uint64(56)
        cuts = np.searchsorted(pairs["key"], edges)
        self._runs.append(start + np.concatenate([[0], cuts, [len(pairs)]]))
        self._parts, self._pair_count = [], 0

    def _range(self, index: int) -> list[np.ndarray]:
        """Read one range of the keys out of every run."""
        found = []
        for run in self._runs:
            first, last = int(run[index]), int(run[index + 1])
            assert self._file is not None
            self._file.seek(first * PAIR.itemsize)
            data = self._file.read((last - first) * PAIR.itemsize)
            found.append(np.frombuffer(data, PAIR))
        return found

    def _everything(self) -> Iterator[np.ndarray]:
        yield self._compact() if self._parts else np.empty(0, PAIR)
        for index in range(RANGES if self._runs else 0):
            yield _joined(self._range(index))

    def repeats(self) -> Repeats:
        """Count what occurs more than once."""
        if self._runs and self._parts:
            self._compact()
            self._move_out()
        key_count = repeated_rows = repeated_keys = kept = 0
        keys: list[np.ndarray] = []
        for pairs in self._everything():
            again = pairs[pairs["count"] > 1]
            key_count += len(pairs)
            repeated_keys += len(again)
            repeated_rows += int(again["count"].sum())
            keys.append(again["key"][: REPEATS_KEPT - kept].copy())
            kept += len(keys[-1])
        return Repeats(
            self.row_count, key_count, repeated_rows, repeated_keys, np.concatenate(keys)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return all keys for another process; the file stays behind."""
        return {"cap": self.cap, "rows": self.row_count, "parts": list(self._everything())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the keys in another process."""
        self.__init__(state["cap"])  # type: ignore[misc] # The usual way to begin anew.
        self.row_count = state["rows"]
        for part in state["parts"]:
            self._take(part)


def _paired(keys: np.ndarray) -> np.ndarray:
    """Count the keys of one batch, ascending."""
    ordered = np.sort(keys)
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    if not len(keys):
        first = np.empty(0, np.int64)
    pairs = np.empty(len(first), PAIR)
    pairs["key"] = ordered[first]
    pairs["count"] = np.diff(np.append(first, len(ordered)))
    return pairs


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put counted keys together, ascending, each once."""
    found = np.concatenate(parts) if len(parts) != 1 else parts[0]
    if len(parts) == 1 or not len(found):
        return found
    found = found[np.argsort(found["key"], kind="stable")]
    first = np.flatnonzero(np.concatenate([[True], found["key"][1:] != found["key"][:-1]]))
    joined = np.empty(len(first), PAIR)
    joined["key"] = found["key"][first]
    joined["count"] = np.add.reduceat(found["count"], first)
    return joined
