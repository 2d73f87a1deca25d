"""Records below the storage root up to where all tables have everything: the low watermark.

A spool's records go to the tables of several endpoints, one after the other. What is missing from
them may be on its way as long as a commit is half done, and is lost once it is whole. Only the sink
knows; audits, perhaps elsewhere, read it in watermarks ``d/<spool id>`` of the table of gaps.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from driftline.capture.line.transport import Transport
from driftline.capture.spool.delivery import Delivery
from driftline.capture.tables.dataset import GAP_SCHEMA, gap_folder
from driftline.capture.tables.delta_log import SETTLED
from driftline.capture.tables.storage import reaching
from driftline.errors import DriftlineError

log = logging.getLogger(__name__)

_EVERY_S = 60.0


class LowWatermarkTransport:
    """Wraps a transport; commits the low watermark of each spool from time to time.

    ``every_s``: seconds between two notes: each is an entry in a table's log.
    """

    def __init__(
        self,
        transport: Transport,
        root: str,
        *,
        every_s: float = _EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._root = root
        self._every_s = every_s
        self._monotonic = monotonic
        self._settled: dict[str, int] = {}
        self._due_s = monotonic()

    @property
    def name(self) -> str:
        """The transport's name."""
        return self._transport.name

    def receive(self, max_records: int) -> list[Delivery]:
        """Return the next records."""
        return self._transport.receive(max_records)

    def secure(self) -> None:
        """Do what the transport does before records are stored."""
        self._transport.secure()

    def commit(self, watermarks: Mapping[str, int]) -> None:
        """Commit in the transport, and the low watermark when that is due."""
        self._transport.commit(watermarks)
        self._settled.update(watermarks)
        if self._settled and self._monotonic() >= self._due_s:
            self._note()

    def close(self) -> None:
        """Commit the low watermark, and close the transport."""
        if self._settled:
            self._note()
        self._transport.close()

    def _note(self) -> None:
        """Best effort: without it an audit takes the newest records for being on their way."""
        self._due_s = self._monotonic() + self._every_s
        try:
            settle(self._root, self._settled, writer=self.name)
            self._settled = {}
        except DriftlineError as error:
            log.warning("sink could not note what is settled error=%s", error)


def settle(root: str, watermarks: Mapping[str, int], *, writer: str = "sink") -> None:
    """Commit the sequence number of each spool up to which all tables are complete."""
    folder = gap_folder(root, writer=writer)
    if folder.table is None:
        folder.append(GAP_SCHEMA.empty_table(), {})
        folder.refresh()
    table = folder.table
    assert table is not None
    named = {f"{SETTLED}{spool_id}": seq for spool_id, seq in watermarks.items()}
    # What a broker gives once more is no step back.
    new = {name: seq for name, seq in named.items() if seq > (table.transaction_version(name) or 0)}
    if not new:
        return
    with reaching(folder.uri):
        folder.commit(table, [], new)
