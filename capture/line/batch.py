"""The content of one commit of the sink: records by endpoint, and gaps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np

from driftline.capture.line.validate import gap_of, valid_records
from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.frame import Frame
from driftline.capture.spool.records import Records
from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import unpack

_GROUP_BYTES = 32 << 20


class Batch:
    """Deliveries split by endpoint.

    ``deliveries``: those of each spool in sequence and without repetitions; ``gaps``: gaps with
    their spool's id: those that were sent, and those that replace frames which the tables do not
    take.
    """

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self._deliveries = deliveries
        self._records = Records.join([delivery.records for delivery in deliveries])
        self._delivery = np.repeat(np.arange(len(deliveries)), [len(one) for one in deliveries])
        self.gaps: list[tuple[str, Frame]] = []
        self._gaps_at: list[int] = []
        is_sound = valid_records(self._records)
        for index in np.flatnonzero(~is_sound).tolist():
            self.gaps.append((self._spool(index), gap_of(self._records.frame(index))))
            self._gaps_at.append(index)
        names = self._records.meta("endpoint").dictionary_encode()
        codes = names.indices.fill_null(-1).to_numpy()
        masks = ((name, (codes == code) & is_sound) for code, name in enumerate(names.dictionary))
        self._masks = {name.as_py(): mask for name, mask in masks if mask.any()}
        self.endpoints = tuple(self._masks)

    def records(self, endpoint: str) -> Records:
        """Return the records of an endpoint."""
        return self._records.take(self._masks[endpoint])

    def offsets(self, endpoint: str) -> dict[str, int]:
        """Return the last offset of an endpoint's records in each partition of a broker."""
        numbers = np.unique(self._delivery[self._masks[endpoint]]).tolist()
        origins = (self._deliveries[number].origin for number in numbers)
        return {origin.name: origin.offset for origin in origins if origin is not None}

    def spools(self, endpoints: Collection[str]) -> set[str]:
        """Return the spools of these endpoints' records."""
        codes = [np.unique(self._records.codes[self._masks[name]]) for name in endpoints]
        return {self._records.spools[code] for code_array in codes for code in code_array.tolist()}

    def left(self, endpoints: Collection[str]) -> list[Delivery]:
        """Return these endpoints' records, and the gaps of their spools, in order of arrival."""
        spools = self.spools(endpoints)
        mask = np.zeros(len(self._records), np.bool_)
        for name in endpoints:
            mask |= self._masks[name]
        mask[[at for at in self._gaps_at if self._spool(at) in spools]] = True
        return [
            Delivery(
                delivery.spool_id,
                self._records.take(mask & (self._delivery == number)),
                delivery.origin,
            )
            for number, delivery in enumerate(self._deliveries)
            if mask[self._delivery == number].any()
        ]

    def _spool(self, index: int) -> str:
        return str(self._records.spools[self._records.codes[index]])


def cut_by_size(records: Records) -> list[Records]:
    """Cut records into groups whose bodies, unpacked, are of a size that can be held in memory."""
    sizes = records.kept_bytes
    for name, bodies in (("request", records.request), ("response", records.response)):
        encodings = records.meta(f"{name}_encoding")
        for index in np.flatnonzero(encodings.is_valid().to_numpy(zero_copy_only=False)).tolist():
            sizes[index] += _unpacked_bytes(bodies[index].as_py(), encodings[index].as_py())
    group = np.cumsum(sizes) // _GROUP_BYTES
    borders = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(records)]
    return [
        records if past - first == len(records) else records.take(slice(first, past))
        for first, past in pairwise(borders)
        if first < past
    ]


def _unpacked_bytes(content: bytes, encoding: str) -> int:
    """Return how many bytes a compressed body unpacks to, by unpacking it; 0 where that fails."""
    try:
        return len(unpack(content, encoding))
    except BodyError:
        return 0
