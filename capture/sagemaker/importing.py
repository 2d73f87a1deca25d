"""SageMaker's capture lines into the table of an endpoint, exactly once.

A record is known by its event id: what the table has already is counted and left out, so a file may
come again, under another name, packed, or joined with others. The new records of one call are one
commit, as a spool of its own: its id derives from the event ids, its sequence numbers are 1 to n,
and its watermark is n. A call that is repeated because its answer was lost finds its records there;
one that is killed has left none; and the audit of spools adds up. Rules of redaction apply as in
capture.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.erasure.erasures import open_requests, requests_folder
from driftline.capture.labels.labels import gathered
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.sagemaker.lines import form_of, frame_of
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.records import Records
from driftline.capture.tables.dataset import FORM, Dataset
from driftline.capture.tables.rows import build_rows
from driftline.capture.tables.storage import reaching
from driftline.capture.tables.table import WatermarkMovedError
from driftline.errors import ConflictError
from driftline.formats.capture_line import CaptureLine, LineError, read_line
from driftline.signature import Signature

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 5
_REDACTED = Flag.REDACTED | Flag.REDACTION_FAILED
_IMPORTS = uuid.UUID("5b0b1f0e-3c1e-5f0a-9a53-6a1d8f6f4c11")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record: which one, from 0, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The counts of some lines: ``lines`` = ``imported`` + ``known`` + ``erased`` + bad.

    ``lines``: lines that came; empty ones are none; ``imported``: records that were stored now;
    ``known``: records that the table had already, or that came before in the same call;
    ``unparsed``: of those imported, the ones with a body that the signature does not fit; they are
    kept raw; ``bad``: lines that are no record; ``erased``: records that somebody asked to be
    erased, left out.
    """

    lines: int
    imported: int
    rows: int
    known: int
    unparsed: int
    bad: tuple[BadLine, ...] = ()
    erased: int = 0


def store_lines(
    root: str,
    endpoint: str,
    lines: Sequence[bytes],
    signature: Signature | None,
    *,
    variant: str = "AllTraffic",
    redactor: Redactor | None = None,
) -> Stored:
    """Store the records of capture lines that an endpoint's table does not have, in one commit.

    Event and arrival time are the line's inferenceTime; the latency is unknown.
    """
    dataset = Dataset(root, endpoint, writer=f"import-{uuid.uuid4().hex[:12]}")
    read = _read(lines, endpoint, variant)
    erased = _erased(root, endpoint, read.found)
    for _ in range(_MAX_ATTEMPTS):
        new = _unknown(dataset, read.found)
        spool = _spool_of(endpoint, new)
        rows, unreadable = _rows(dataset, new, spool, variant, signature, redactor)
        if unreadable:
            # Left out from the start, so that the sequence numbers have no hole.
            read.refuse(unreadable, "no row can be made of it")
            continue
        if new:
            try:
                dataset.append(rows, {spool: len(new)}, after={spool: 0})
            except WatermarkMovedError:
                # The same lines came twice at once; what the other one stored is known now.
                dataset.refresh()
                continue
        known_count = read.count - len(read.bad) - erased - len(new)
        log.info("import endpoint=%s records=%d known=%d", endpoint, len(new), known_count)
        return Stored(
            lines=read.count,
            imported=len(new),
            rows=rows.num_rows,
            known=known_count,
            erased=erased,
            unparsed=_unparsed(rows),
            bad=tuple(sorted(read.bad, key=lambda line: line.index)),
        )
    raise ConflictError(f'import into "{endpoint}": others import the same; try again')


@dataclass(slots=True)
class _Read:
    """Lines that were read: records by their event ids, where each stood, and what is none."""

    count: int = 0
    found: dict[str, CaptureLine] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)

    def refuse(self, event_ids: Iterable[str], reason: str) -> None:
        """Move records to the bad lines."""
        for event_id in event_ids:
            del self.found[event_id]
            self.bad.append(BadLine(self.places[event_id], reason))


def _read(lines: Sequence[bytes], endpoint: str, variant: str) -> _Read:
    read = _Read()
    for index, text in enumerate(lines):
        if not text.strip():
            continue
        read.count += 1
        try:
            line = read_line(text)
            frame_of(line, 1, endpoint=endpoint, variant=variant)
        except LineError as error:
            read.bad.append(BadLine(index, str(error)))
        else:
            read.found.setdefault(line.event_id, line)
            read.places.setdefault(line.event_id, index)
    return read


def _erased(root: str, endpoint: str, records: dict[str, CaptureLine]) -> int:
    """Leave out the records that an open request wants erased; return how many there were."""
    wanted = open_requests(requests_folder(root))
    if not wanted or not records:
        return 0
    gone = wanted.matches(endpoint, pa.array(records, pa.string()), "event_id")
    callers = pa.array([line.inference_id for line in records.values()], pa.string())
    gone |= wanted.matches(endpoint, callers, "inference_id")
    for event_id, is_gone in list(zip(records, gone.tolist(), strict=True)):
        if is_gone:
            del records[event_id]
    return int(gone.sum())


def _unparsed(rows: pa.Table) -> int:
    firsts = pc.equal(rows["row_index"], 0)
    return pc.sum(pc.and_(pc.is_valid(rows["parse_error"]), firsts)).as_py() or 0


def _unknown(dataset: Dataset, records: dict[str, CaptureLine]) -> list[CaptureLine]:
    """Return the records that the table does not have, by event id, in the order of the lines."""
    days = [line.time.date().isoformat() for line in records.values() if line.time is not None]
    dataset.catch_up()
    data = dataset.read(min(days), max(days)) if days else None
    if data is None:
        return list(records.values())
    sought = pa.array(records, pa.string())
    first = pads.field("row_index") == 0
    stored: set[str] = set()
    with reaching(dataset.uri):
        for part in gathered(data.to_batches(columns=["event_id"], filter=first)):
            stored.update(part["event_id"].filter(pc.is_in(part["event_id"], sought)).to_pylist())
    return [line for event_id, line in records.items() if event_id not in stored]


def _rows(
    dataset: Dataset,
    lines: Sequence[CaptureLine],
    spool: str,
    variant: str,
    signature: Signature | None,
    redactor: Redactor | None,
) -> tuple[pa.Table, set[str]]:
    """Build the rows of records as the sink does, without a latency, and with the lines' forms.

    Return also the ids of those that no row can be built of.
    """
    frames = [
        frame_of(line, seq, endpoint=dataset.endpoint, variant=variant)
        for seq, line in enumerate(lines, 1)
    ]
    if redactor is not None:
        frames = redactor.frames(frames)
        lines = [
            # Their form would tell each of the attributes that a rule may have changed.
            replace(line, custom_attributes=()) if frame.flags & _REDACTED else line
            for line, frame in zip(lines, frames, strict=True)
        ]
    built = build_rows(Records.of((spool, frame) for frame in frames), dataset.settle(signature))
    rows = built.rows
    at = rows.column_names.index("latency_us")
    rows = rows.set_column(at, rows.schema.field(at), pa.nulls(rows.num_rows, pa.int64()))
    forms = [
        form_of(lines[row["spool_seq"] - 1], row["inference_id"]) if row["row_index"] == 0 else None
        for row in rows.select(["spool_seq", "row_index", "inference_id"]).to_pylist()
    ]
    if any(forms):
        rows = rows.append_column(FORM, pa.array(forms, pa.string()))
    return rows, {frame.meta["event_id"] for _, frame in built.unreadable}


def _spool_of(endpoint: str, lines: Sequence[CaptureLine]) -> str:
    """Name the spool of some records: the same records, the same name."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line.event_id.encode("utf-8", "replace") + b"\0")
    return str(uuid.uuid5(_IMPORTS, f"{endpoint}/{digest.hexdigest()}"))
