"""A job's requests and answers as rows of an endpoint's capture table.

Stored before the output of a file appears. A process that restarts a file sends the model the same
records again; ids derive from the job and the position, so the table has each of them once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine

from driftline.capture.redaction.redactor import Redactor
from driftline.capture.sagemaker.importing import LineStore
from driftline.errors import ConflictError, UnavailableError, UndecidedError
from driftline.formats.capture_line import CaptureLine, Side, encoding_of, write_line
from driftline.formats.media_types import TEXT_MEDIA_TYPES
from driftline.serving.resources.endpoints import signature_of
from driftline.serving.resources.specs import TRANSFORM_VARIANT
from driftline.serving.transform.assembly import Assembly, Records
from driftline.serving.transform.jobs import FileProgress, TransformJob
from driftline.serving.transform.records import split_records
from driftline.signature import Signature

# Of one captured request; a page that shows its body is to stay readable.
LINE_RECORDS = 1_000
# Captured requests that wait for their file to be done; then they are stored before.
WAITING_MAX_BYTES = 16 << 20
# Jobs whose tables are kept at hand; of others the table is opened anew.
STORES_MAX = 16
_JOBS = uuid.UUID("0d0c3a36-7f0f-5b1c-8c4e-5a2d1c9be7a4")

Store = Callable[[TransformJob, Sequence[bytes]], None]


def capture_into(engine: Engine, root: str, redactor: Redactor | None) -> Store:
    """Return what stores a job's captured requests, those that are not in their table yet."""
    stores: dict[tuple[str, int], LineStore] = {}  # Of each attempt at a job.

    def store(job: TransformJob, lines: Sequence[bytes]) -> None:
        endpoint = job.spec.captured_as
        assert endpoint is not None
        # As the model answers; of a model by itself it was made when the job was created.
        text = job.signature if job.spec.endpoint_name is not None else None
        if job.model is not None and job.model.captured_signature is not None:
            text = job.model.captured_signature
        signature = signature_of(engine, endpoint) if text is None else Signature.from_json(text)
        attempt = _identity(job), job.attempts
        if attempt not in stores:
            while len(stores) >= STORES_MAX:
                del stores[next(iter(stores))]
            stores[attempt] = LineStore(
                root, endpoint, variant=TRANSFORM_VARIANT, redactor=redactor, name=attempt[0]
            )
        try:
            stored = stores[attempt].store(lines, signature)
        except ConflictError as error:
            raise UnavailableError(str(error)) from error
        if stored.bad:
            raise UndecidedError(f"a request cannot be captured: {stored.bad[0].reason}")

    return store


def _identity(job: TransformJob) -> str:
    """Name a job among all that ever had its name."""
    return f"{job.name}/{job.created_at.isoformat()}"


def captured_lines(
    job: TransformJob,
    file: FileProgress,
    batch: Records,
    assembly: Assembly,
    answer: bytes,
) -> Iterator[bytes]:
    """Return a mini-batch that was answered as lines of data capture, some records each.

    All have the time at which the job was created, whenever a process came to them.
    """
    answers = split_records(answer, is_csv=assembly.answer_form == "csv")
    # JSON that is not cut into lines is one record.
    whole = assembly.answer_form == "json"
    for start in range(0, batch.count, LINE_RECORDS):
        end = min(start + LINE_RECORDS, batch.count)
        part = answer if whole else b"".join(answers[start:end])
        identity = f"{_identity(job)}/{file.ordinal}/{batch.first + start}"
        line = CaptureLine(
            event_id=str(uuid.uuid5(_JOBS, identity)),
            time=job.created_at.replace(microsecond=0),
            request=_side(assembly.request(batch.part(start, end)), assembly.form),
            response=_side(part, assembly.answer_form),
        )
        yield write_line(line).encode()


def _side(content: bytes, form: Any) -> Side:  # noqa: ANN401 - a key of the table
    media_type = TEXT_MEDIA_TYPES[form][0]
    return Side(content, media_type, encoding_of(media_type, content))
