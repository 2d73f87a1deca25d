"""What ``driftline init`` does: one check of the data, and a resource file to be read first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from driftline.baseline.store import Baseline
from driftline.errors import ConflictError, InputError
from driftline.formats.coercion import coerce
from driftline.formats.source import Source
from driftline.monitors.check import check_roles
from driftline.monitors.report.report import Report
from driftline.roles import Roles

LAST_SHARE = 0.1
MIN_ROWS = 100
TODO = {
    "label": "the true answer",
    "prediction": "the model's answer",
    "probability": "its probability, one column for each class",
    "id": "what only identifies a row",
    "timestamp": "the event's time",
    "facet": "a group that is compared with others, such as sex=F",
}
"""What a data set may have, by the names of a Baseline's spec and of the flags."""
_NO_CHANNEL = """\
# No notification channel is configured: run `driftline init` with --channel URL, or declare one
# (kind: Channel) and name it in the alarm_actions of each Alarm above.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A dry run: the data, the baseline, and the result."""

    note: str
    baseline: Baseline
    report: Report


def try_out(source: Source, roles: Roles) -> Trial:
    """Judge the last tenth by time against the rest; without usable times, all against itself."""
    before = after = source
    note = "the data against itself (no event time tells a later part), so nothing should drift"
    if (name := roles.timestamp) is not None and (cut := _cut(source, name)) is not None:
        note = f"rows from {cut.as_py():%Y-%m-%d %H:%M} on, the last tenth, against those before"
        before = _part(source, name, lambda times: pc.less(times, cut))
        after = _part(source, name, lambda times: pc.greater_equal(times, cut))
    baseline = Baseline.of(before, roles)
    return Trial(note, baseline, check_roles(after, baseline, roles, kind="data-quality"))


def _cut(source: Source, timestamp: str) -> pa.Scalar | None:
    """Find the time from which on the last tenth lies; None when that leaves a part too small."""
    columns = [coerce(batch.column(timestamp), "timestamp")[0] for batch in source.batches()]
    moments = pa.chunked_array(columns, pa.timestamp("us", "UTC")).drop_null().cast(pa.int64())
    times = np.sort(moments.to_numpy())
    if len(times) < 2 * MIN_ROWS:
        return None
    cut = times[int((1 - LAST_SHARE) * len(times))]
    before = np.searchsorted(times, cut)
    is_fit = MIN_ROWS <= before <= len(times) - MIN_ROWS
    return pa.scalar(int(cut), pa.timestamp("us", "UTC")) if is_fit else None


def _part(source: Source, timestamp: str, inside: Callable[[pa.Array], pa.Array]) -> Source:
    """Return the rows of a source whose time lies inside; those without a time are in no part."""

    def read() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            times, _ = coerce(batch.column(timestamp), "timestamp")
            yield batch.filter(inside(times), null_selection_behavior="drop")

    # Not a copy with another reader: a splitter would still hand out all the rows.
    return Source(source.schema, read, source.textual)


def draft_text(resources: Sequence[dict[str, Any]], *, file: Path) -> str:
    """Write resources as YAML under a comment with what nobody said yet."""
    spec = next(one["spec"] for one in resources if one["kind"] == "Baseline")
    missing = [f"#   {role}: COL  # {about}" for role, about in TODO.items() if role not in spec]
    head = ["# Written by `driftline init`."]
    if missing:
        head += [
            "# TODO: name the columns of these in the Baseline's spec, where the data has them, or",
            "# run init again with the flags (--label COL, ...). All other columns are features.",
            *missing,
        ]
    head.append("# Then: driftline apply -f " + file.name)
    documents = yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True, width=100)
    has_channel = any(one["kind"] == "Channel" for one in resources)
    return "\n".join(head) + "\n" + documents + ("" if has_channel else _NO_CHANNEL)


def write_draft(file: Path, text: str, *, overwrite: bool) -> None:
    """Write the file; refuse to write over one that is there: it may hold somebody's changes."""
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise ConflictError(
            f"{file}: is there already; expected --overwrite or --output"
        ) from error
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror})") from error
