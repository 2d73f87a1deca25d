"""What is known of a window before it is judged: its rows, annotations, and earlier windows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import driftline
from driftline.baseline.scripting import script_in
from driftline.baseline.store import Baseline
from driftline.capture.erasure.erasures import removal_version
from driftline.capture.erasure.pending import is_clearing
from driftline.capture.windows.window import Window, WindowRead
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import annotations_between
from driftline.monitors.definitions import JUDGING, MonitorDefinition
from driftline.monitors.engine.pooling import MOST_PAST
from driftline.monitors.executions import EMPTY, Execution, find
from driftline.monitors.kinds.catalog import QUALITY, scripts_listed
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.reach import scripts_named
from driftline.monitors.run.apply_annotations import of_window
from driftline.monitors.run.captured_window import read_captured
from driftline.monitors.run.commands import program_in
from driftline.monitors.run.described import execution_id
from driftline.monitors.run.job import Job
from driftline.monitors.run.past_windows import WindowHistory, read_history, windows_read
from driftline.monitors.run.progress import Progress
from driftline.monitors.schedule import moment_before
from driftline.tracing import span


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is known of a window before it is evaluated."""

    job: Job
    baseline: Baseline
    read: WindowRead  # Its digest stands for all that the result depends on.
    captured: WindowRead  # The same rows with the digest of the rows alone.
    annotations: Sequence[Annotation]  # Of the window, and of earlier ones that it is tested with.
    identity: str  # Of the execution.
    history: WindowHistory
    pooled: WindowRead | None  # Rows of the windows before, evaluated together.
    removals: int | None  # How often stored rows had been removed before; None: being removed.
    before: str | None  # The window's result that stood before, by its id.
    progress: Progress  # Also ends a run that was cancelled or has taken too long.

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Enter a step of the run, unless the run is to end."""
        self.progress.begin(name)
        with span(name):
            yield


def read_context(
    job: Job, baseline: Baseline, progress: Progress, before: str | None
) -> RunContext | Execution:
    """Read the window's rows, its annotations, and the history of earlier windows.

    Returns the execution that already answered the same question about the same rows, if there is
    one.
    """
    definition, window = job.definition, job.window
    # Before the rows are read; None: an erasure is under way, so that they may go any moment.
    removals = None if is_clearing(job.root) else removal_version(job.root)
    captured = read_rows(job, baseline, window)
    with read_connection(job.engine) as connection:
        since = moment_before(window.start, max(windows_read(window), MOST_PAST) * window.length)
        annotations = annotations_between(connection, definition.name, since, window.end)
        read = replace(captured, digest=_digest(job, baseline, captured, annotations))
        identity = execution_id(definition, baseline.version, window, read.digest)
        earlier = find(connection, identity)
        if earlier is not None and _answers(earlier):
            return earlier
        history = read_history(
            connection, definition, baseline, window, row_count=read.row_count,
            annotations=annotations,
        )  # fmt: skip
    pooled = None if history.pooled is None else read_rows(job, baseline, history.pooled)
    context = RunContext(
        job, baseline, _counted(read, progress), captured, annotations, identity, history,
        pooled and _counted(pooled, progress), removals, before, progress,
    )  # fmt: skip
    progress.inputs = _inputs_of(
        definition, baseline, read, captured, annotations, len(history.past.counts or ())
    )
    progress.note(
        f"{plural(read.row_count, 'row')} of {plural(read.request_count, 'request')}: "
        f"{read.late_count:,} late, {read.failed_count:,} unanswered, {read.unparsed_count:,} not "
        f"readable; {read.labelled_count:,} with a label"
    )
    return context


def _digest(
    job: Job, baseline: Baseline, captured: WindowRead, annotations: Sequence[Annotation]
) -> str:
    """Digest the rows, the programs, and the annotations of the window if any of them is quiet.

    What has changed asks another question.
    """
    definition = job.definition
    names = [definition.preprocess, definition.postprocess, *scripts_named(definition.rules)]
    names += scripts_listed(baseline) if definition.kind == QUALITY else ()
    files = [partial(script_in, job.scripts_dir, name) for name in names if name is not None]
    if definition.command is not None:
        files.append(partial(program_in, job.commands_dir, definition.command[0]))
    parts = [_content(file) for file in files]
    own = of_window(annotations, job.window)
    if any(one.is_quiet for one in own):
        parts += sorted(f"\nmark {one.id}".encode() for one in own)
    found = hashlib.blake2b(captured.digest.encode(), digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest() if parts else captured.digest


def _content(file: Callable[[], Path]) -> bytes:
    try:
        return file().read_bytes()
    except (InputError, OSError):
        return b"\0"  # Whoever runs it says what is wrong.


def _answers(execution: Execution) -> bool:
    """Whether a result stands: one without documents is asked again, unless there were no rows."""
    return execution.is_current and bool(execution.folder or execution.status == EMPTY)


def _counted(read: WindowRead, progress: Progress) -> WindowRead:
    """Check at each batch whether the run is to end."""
    derive = read.derive
    if derive is None:
        return replace(read, derive=progress.pass_on)
    return replace(read, derive=lambda batch: derive(progress.pass_on(batch)))


def read_rows(job: Job, baseline: Baseline, window: Window) -> WindowRead:
    """Open the rows of a window, of the endpoint or of the table that is watched."""
    return read_captured(job.root, job.definition, window, job.signature, baseline, job.access)


def _inputs_of(
    definition: MonitorDefinition,
    baseline: Baseline,
    read: WindowRead,
    captured: WindowRead,
    annotations: Sequence[Annotation],
    earlier_window_count: int,
) -> dict[str, object]:
    """Return, as JSON values, all inputs of a result and the states of the tables read."""
    return {
        "program": f"driftline {driftline.__version__}",
        "definition": {"version": definition.version, "digest": _definition_digest(definition)},
        "baseline": {"name": definition.baseline, "version": baseline.version},
        "rows": {
            **captured.inputs,
            "digest": captured.digest,
            "row_count": captured.row_count,
            "request_count": captured.request_count,
            "labelled_count": captured.labelled_count,
        },
        # Of the rows, the texts of the scripts, and the annotations of the window.
        "digest": read.digest,
        "annotations": [one.id for one in annotations],
        "earlier_windows": {"count": earlier_window_count},
    }


def _definition_digest(definition: MonitorDefinition) -> str:
    asked = {name: getattr(definition, name) for name in JUDGING}
    text = json.dumps(asked, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
