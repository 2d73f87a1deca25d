"""Commands of monitors: programs from the installation's own folder, and their records.

Users who declare resources choose among the operator's programs, with arguments, and can run no
other.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from driftline.baseline.store import Baseline
from driftline.capture.sagemaker.capture_files import FileCounts, write_hour
from driftline.capture.sagemaker.export import captured_hours, lines_between
from driftline.capture.windows.window import WindowRead
from driftline.errors import ConflictError, InputError, UnavailableError
from driftline.formats.capture_line import CaptureLine, write_line
from driftline.monitors.check_context import Command
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.rows import EVENT_TIME
from driftline.monitors.run.captured_window import NO_DATA, labels_of

HOUR = timedelta(hours=1)
# Of the records of one window, on the disk of whoever runs the command.
LARGEST_BYTES = 10 << 30
LATEST = datetime.max.replace(tzinfo=UTC)
# The labels of a request's rows, in their order; None: none has come.
RowLabels = Mapping[str, Sequence[object]]
NONE: RowLabels = {}


def command_in(folder: str, command: Sequence[str]) -> tuple[str, ...]:
    """Return the command to run: a program of the folder, named without a path, and its arguments.

    InputError when the installation does not allow it.
    """
    program = program_in(folder, command[0])
    # A script without the right to be executed runs in this Python.
    own = () if os.access(program, os.X_OK) else (sys.executable, "-B")
    return (*own, str(program), *command[1:])


def program_in(folder: str, name: str) -> Path:
    """Return a program of the folder; InputError when the installation does not allow it."""
    if not folder:
        raise InputError(
            f'command "{name}": this installation runs none; expected a folder of programs in its '
            "settings, [scheduler] commands_dir"
        )
    place = Path(folder)
    # Whoever may add a program there runs it as this process, by naming it in a monitor.
    if place.is_dir() and place.stat().st_mode & stat.S_IWOTH:
        raise InputError(
            f'command "{name}": everybody on this machine may write to {folder}; expected a folder '
            f"of its owner's: chmod o-w {folder}"
        )
    known = sorted(one.name for one in place.glob("*") if _is_program(one))
    if name not in known:
        raise InputError(
            f'command "{name}": not in the folder of programs; expected one of '
            f"{', '.join(known) or 'the executable files there, of which there are none'}"
        )
    return (place / name).absolute()


def command_of(
    root: str,
    definition: MonitorDefinition,
    read: WindowRead,
    baseline: Baseline,
    folder: str,
    *,
    in_time: Callable[[], None],
) -> Command | None:
    """Return what a monitor runs, and the records of the window for it; None: it runs nothing."""
    if definition.command is None:
        return None
    label = labels_of(baseline)
    return Command(
        definition.command[0],
        command_in(folder, definition.command),
        definition.endpoint,
        definition.name,
        partial(
            _write_records, root, definition.endpoint, read,
            "" if label is None else label.name, in_time=in_time,
        ),
        in_time,
    )  # fmt: skip


def _is_program(path: Path) -> bool:
    """Whether operators meant a file to be run: a plain one that not everybody may change."""
    if not path.is_file() or path.stat().st_mode & stat.S_IWOTH:
        return False
    return path.suffix == ".py" or os.access(path, os.X_OK)


def _write_records(
    root: str,
    endpoint: str,
    read: WindowRead,
    label: str,
    folder: str,
    *,
    in_time: Callable[[], None],
) -> int:
    """Write SageMaker's merged capture of a window: its lines, with the labels that have come."""
    window, counts = read.window, FileCounts()
    last = window.end + HOUR - timedelta(microseconds=1)  # The end of its hour.
    labels, at, known = _hourly_labels(read, label), None, NONE
    left = LARGEST_BYTES

    def spend(line: bytes) -> bytes:
        nonlocal left
        left -= len(line)
        if left < 0:
            raise InputError(
                f"the window's records are more than {LARGEST_BYTES >> 30} GiB, too many for a "
                "command; expected shorter windows"
            )
        return line

    try:
        for hour in captured_hours(root, endpoint, window.start, last, variant=read.variant):
            in_time()
            while at is None or at < hour.start:
                at, known = next(labels, (LATEST, NONE))
            span = max(hour.start, window.start), min(hour.start + HOUR, window.end)
            lines = lines_between(root, endpoint, *span, variant=hour.variant)
            merged = (_merged(line, known if at == hour.start else NONE) for line in lines)
            counts += write_hour(folder, endpoint, hour.variant, hour.start, map(spend, merged))
    except ConflictError as error:
        raise UnavailableError(str(error)) from error
    if not counts.lines:
        raise InputError(f"{NO_DATA}: no request of the window was captured with whole bodies")
    return read.row_count or counts.lines


def _hourly_labels(read: WindowRead, label: str) -> Iterator[tuple[datetime, RowLabels]]:
    """Yield each hour of a window that has labels, with the labels of its requests by event id."""
    if not read.labelled_count:
        return
    rows = (
        tuple(row.values())
        for batch in read.batches()
        for row in batch.select([EVENT_TIME, "event_id", label]).to_pylist()
    )
    for hour, group in groupby(rows, lambda row: row[0].replace(minute=0, second=0, microsecond=0)):
        found = defaultdict(list)
        for _, event_id, value in group:
            found[event_id].append(value)
        yield hour.astimezone(UTC), found


def _merged(line: CaptureLine, labels: RowLabels) -> bytes:
    """Write a captured request with the labels of its rows, as SageMaker merges them."""
    text, values = write_line(line), labels.get(line.event_id, ())
    if all(value is None for value in values):
        return text.encode()
    written = io.StringIO()
    texts = [str(one).lower() if isinstance(one, bool) else one for one in values]
    csv.writer(written, lineterminator="").writerow(texts)
    truth = {"data": written.getvalue(), "encoding": "CSV"}
    record = {"groundTruthData": truth, **json.loads(text)}
    return json.dumps(record, ensure_ascii=line.is_ascii, separators=(",", ":")).encode()
