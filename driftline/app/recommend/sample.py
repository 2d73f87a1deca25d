"""The requests of a load test: rows of a data set, or bodies as they were captured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from driftline.baseline.schema import column_type, signature_of
from driftline.capture.sagemaker.capture_files import read_capture_lines
from driftline.errors import InputError
from driftline.formats.capture_line import LineError, read_line
from driftline.formats.data_files import data_files
from driftline.formats.location import locate
from driftline.formats.source import open_source
from driftline.serving.hosting.formats.archive import opened
from driftline.signature import names_among

_JSON = "application/json"
_MOST = 500  # Bodies, which are sent in turn.
_MOST_BYTES = 64 << 20  # Of an archive, packed and unpacked.


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows that the model takes, the bodies that ask for them, and the endpoint's signature."""

    table: pa.Table | None  # None: there are bodies alone.
    bodies: Sequence[tuple[str, bytes]]  # Content type and content.
    signature: Mapping[str, Any] | None = None  # None: the model's names are enough.


def read_sample(data: str, rows: int = 1, content_type: str = "text/csv") -> Sample:
    """Read a sample: the rows of requests, and bodies where they are known as they were sent.

    Capture files have them, and archives: as SageMaker's, each file is a body of this type.
    """
    if data.endswith((".tar.gz", ".tgz")):
        return Sample(None, [(content_type, body) for body in _archived(data)])
    source = open_source(data)
    batches = islice(source.batches(), 8)
    table = pa.Table.from_batches(batches, source.schema).slice(0, _MOST * rows)
    if not table.num_rows:
        raise InputError(f"{data}: no row; expected some to ask the model")
    return Sample(table, _captured(data))


def fit_sample(
    sample: Sample, model: Mapping[str, Any], exclude: Sequence[str] = (), rows: int = 1
) -> Sample:
    """Return a sample whose bodies ask a model of this description."""
    table = sample.table
    if sample.bodies or table is None:
        return sample
    names = [name for name in table.column_names if name not in exclude]
    names = [*names_among(model["feature_names"] or names, table.column_names)]
    if missing := [name for name in names if name not in table.column_names]:
        raise InputError(f'the sample has no column "{missing[0]}", which the model takes')
    if (count := model["feature_count"]) not in (None, len(names)):
        raise InputError(
            f"the sample has {len(names)} columns ({', '.join(names)[:100]}); the model takes "
            f"{count} by position; leave out the others by --exclude"
        )
    table = table.select(names)
    bodies = [(_JSON, _body(table.slice(at, rows))) for at in range(0, len(table), rows)]
    types = {field.name: column_type(field.type) for field in table.schema}
    return Sample(table, bodies, json.loads(signature_of(types).to_json()))


def _captured(data: str) -> list[tuple[str, bytes]]:
    """Return the bodies of capture files; none where lines are rows."""
    files = (one for one in data_files(data) if one.path.endswith(".jsonl"))
    lines = (
        line for one in files for _, line in read_capture_lines(one.system, one.path, one.shown)
    )
    requests = (read_line(line).request for line in lines if line.strip())
    with suppress(LineError):
        sides = [one for one in islice(requests, _MOST) if one is not None]
        return [(one.content_type or "text/csv", one.content) for one in sides]
    return []


def _archived(data: str) -> list[bytes]:
    """Return the files of an archive; refuse one that holds none, or too much."""
    packed = BytesIO(locate(data).read(most=_MOST_BYTES))
    with opened(packed, data, _MOST_BYTES) as members:
        files = (
            file.read()
            for one, file in members
            if file is not None and not Path(one.name).name.startswith(".")
        )
        bodies = list(islice(files, _MOST))
    if not bodies:
        raise InputError(f"{data}: no file; expected some to ask the model")
    return bodies


def _body(part: pa.Table) -> bytes:
    rows = [[None if cell != cell else cell for cell in row.values()] for row in part.to_pylist()]
    return json.dumps({"instances": rows}, default=str).encode()
