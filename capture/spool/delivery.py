"""A delivery: frames of one spool in sequence, and their place on a broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.spool.frame import Frame
from driftline.capture.spool.records import Records


class Redactor(Protocol):
    """Removes from records what must not be stored."""

    def covers(self, endpoint: str) -> bool:
        """Whether an endpoint has rules; of all others only suspects are looked at."""

    def suspects(self, contents: pa.BinaryArray, is_packed: np.ndarray) -> np.ndarray:
        """Return a mask of the bodies that need a look even without a rule, shape (bodies,)."""

    def frames(self, frames: list[Frame]) -> list[Frame]:
        """Return the frames as they may go on: as many, with the same numbers, in this order."""


class Origin(NamedTuple):
    """The place on a broker that records came from: partition and offset."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """Records and gaps of one spool, in sequence, and their place on a broker."""

    spool_id: str
    records: Records
    origin: Origin | None = None

    @classmethod
    def of(cls, spool_id: str, frames: Sequence[Frame], origin: Origin | None = None) -> Delivery:
        """Make one of single frames."""
        return cls(spool_id, Records.of((spool_id, frame) for frame in frames), origin)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def frames(self) -> list[Frame]:
        """The records and gaps unpacked, for who has to look at each."""
        return self.records.frames()

    @property
    def last_seq(self) -> int:
        """The sequence number of the last frame."""
        return int(self.records.header["seq"][-1])

    @property
    def first_ns(self) -> int:
        """Wall clock of the first frame, ns since 1970."""
        return int(self.records.header["wall_ns"][0])

    @property
    def size_bytes(self) -> int:
        """Bytes that the frames take."""
        return int(self.records.header["length"].sum())

    def after(self, seq: int) -> Delivery:
        """Return what follows a sequence number."""
        return Delivery(
            self.spool_id, self.records.take(self.records.header["seq"] > seq), self.origin
        )


def redacted(delivery: Delivery, redactor: Redactor | None) -> Delivery:
    """Return the records redacted; those that need no look are unchanged."""
    if redactor is None:
        return delivery
    records, spool_id = delivery.records, delivery.spool_id
    names = records.meta("endpoint").fill_null("")
    ruled = [name for name in names.unique().to_pylist() if redactor.covers(name)]
    concerned = pc.is_in(names, pa.array(ruled, pa.string())).to_numpy(zero_copy_only=False)
    for side, contents in (("request", records.request), ("response", records.response)):
        is_packed = pc.not_equal(records.meta(f"{side}_encoding"), "").fill_null(fill_value=False)
        concerned = concerned | redactor.suspects(
            contents, is_packed.to_numpy(zero_copy_only=False)
        )
    if not concerned.any():
        return delivery
    changed = Records.of(
        (spool_id, frame) for frame in redactor.frames(records.take(concerned).frames())
    )
    merged = Records.join([records.take(~concerned), changed])
    order = np.argsort(merged.header["seq"], kind="stable")
    return Delivery(spool_id, merged.take(order), delivery.origin)
