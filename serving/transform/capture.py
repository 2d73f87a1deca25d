"""A job's requests and answers as rows of an endpoint's capture table.

Stored before the output of a file appears. A process that restarts a file sends the model the same
records again; ids derive from the job and the position, so the table has each of them once.
"""

from __future__ import annotations

import uuid

from driftline.capture.redaction.redactor import Redactor
from driftline.capture.sagemaker.importing import LineStore
from driftline.errors import ConflictError, UnavailableError, UndecidedError
from driftline.formats.capture_line import CaptureLine, Side, encoding_of, write_line
from driftline.formats.media_types import TEXT_MEDIA_TYPES, TextFormat
from driftline.serving.resources.model_specs import TRANSFORM_VARIANT
from driftline.serving.transform.jobs import TransformJob
from driftline.serving.transform.records import Batch, TextAssembly, split_records
from driftline.signature import Signature

# Of one captured request; a page that shows its body is to stay readable.
LINE_RECORDS = 1_000
# Captured requests that wait for their file to be done; then they are stored before.
WAITING_MAX_BYTES = 16 << 20
_JOBS = uuid.UUID("0d0c3a36-7f0f-5b1c-8c4e-5a2d1c9be7a4")


class JobCapture:
    """Captures what the model was sent and answered; a job without capture stores nothing."""

    def __init__(self, root: str, redactor: Redactor | None, job: TransformJob) -> None:
        self._job, self._lines, self._waiting_bytes = job, list[bytes](), 0
        # Among all jobs that ever had this name.
        self._identity = f"{job.name}/{job.created_at.isoformat()}"
        text, endpoint = job.model.captured_signature, job.spec.captured_as
        self._signature = None if text is None else Signature.from_json(text)
        self._store = endpoint and LineStore(
            root, endpoint, variant=TRANSFORM_VARIANT, redactor=redactor, name=self._identity
        )

    def add(self, key: str, batch: Batch, assembly: TextAssembly, answer: bytes) -> None:
        """Take a mini-batch of the file with this output, as lines of some records each.

        All have the time at which the job was created, whenever a process came to them.
        """
        if not self._store:
            return
        # JSON that is not cut into lines is one record.
        is_whole = assembly.answer_form == "json"
        answers = split_records(answer, is_csv=assembly.answer_form == "csv")
        for start in range(0, len(batch), LINE_RECORDS):
            end = min(start + LINE_RECORDS, len(batch))
            part = answer if is_whole else b"".join(answers[start:end])
            identity = f"{self._identity}/{key}/{batch.first + start}"
            line = CaptureLine(
                event_id=str(uuid.uuid5(_JOBS, identity)),
                time=self._job.created_at.replace(microsecond=0),
                request=_side(assembly.request(batch.part(start, end)), assembly.form),
                response=_side(part, assembly.answer_form),
            )
            self._lines.append(write_line(line).encode())
            self._waiting_bytes += len(self._lines[-1])
        if self._waiting_bytes > WAITING_MAX_BYTES:
            self.store()

    def store(self) -> None:
        """Store the lines that wait."""
        lines, self._lines, self._waiting_bytes = self._lines, [], 0
        if not (self._store and lines):
            return
        try:
            stored = self._store.store(lines, self._signature)
        except ConflictError as error:
            raise UnavailableError(str(error)) from error
        if stored.bad:
            raise UndecidedError(f"a request cannot be captured: {stored.bad[0].reason}")


def _side(content: bytes, form: TextFormat) -> Side:
    media_type = TEXT_MEDIA_TYPES[form][0]
    return Side(content, media_type, encoding_of(media_type, content))
