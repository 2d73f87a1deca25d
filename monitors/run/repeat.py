"""Running an execution again, unrecorded, to compare the bytes of its documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from driftline.capture.tables.storage import get_file
from driftline.database.engine import read_connection
from driftline.errors import InputError, NotFoundError, UndecidedError
from driftline.monitors.executions import Execution
from driftline.monitors.report.report import REPORT
from driftline.monitors.run.execution import Job, RunContext, evaluate, read_context
from driftline.monitors.run.progress import Progress
from driftline.monitors.tables import executions

# What is compared of the inputs, and what to say where it is another one.
_CHANGES = (
    (("program",), "another version of the program"),
    (("rows", "digest"), "rows or labels came or went"),
    (("digest",), "its rows, labels, scripts or annotations are others"),
    (("earlier_windows", "digest"), "what is known of earlier windows is another"),
    (("earlier_windows", "rows_digest"), "rows of earlier windows came or went"),
)


@dataclass(frozen=True, slots=True)
class Repeated:
    """What came of running an execution again.

    ``documents``: by name "same", "differs" or "gone"; ``notes``: what has changed since.
    """

    execution: str
    is_same: bool
    documents: Mapping[str, str]
    notes: tuple[str, ...]


def repeat(job: Job, execution: Execution) -> Repeated:
    """Evaluate the window of an execution again, and compare with its documents.

    Nothing is recorded, and the script that runs after an evaluation is not called.

    Raises
    ------
    UndecidedError
        When it wrote no documents, or what it was asked is not known any more.
    """
    definition, name = job.definition, f'execution "{execution.id}"'
    if not execution.folder:
        raise UndecidedError(f"{name} wrote no documents ({execution.status})")
    if definition.version != execution.definition_version:
        raise UndecidedError(
            f"{name} was of definition {execution.definition_version} of monitor "
            f'"{definition.name}"; it has {definition.version} now: judge the window '
            f"by that one with driftline monitor run {definition.name} --from … --to …"
        )
    try:
        baseline = job.baselines(job.root, execution.baseline, execution.baseline_version)
    except NotFoundError as error:
        raise UndecidedError(f"{name}: {error}") from error
    progress = Progress(
        job.engine, definition.name, execution.window, definition.timeout_s, job.timer
    )
    context = read_context(job, baseline, progress, is_judged=True, again=True)
    assert isinstance(context, RunContext)
    notes = list(_changes(job, execution, progress.inputs or {}))
    asked = replace(job, definition=replace(definition, postprocess=None))
    documents: Mapping[str, str] = {}
    try:
        documents = evaluate(replace(context, job=asked)).documents()
    except (InputError, UndecidedError) as error:
        notes.append(str(error))
    compared = {one: _compared(job, execution, one, text) for one, text in documents.items()}
    is_same = bool(compared) and set(compared.values()) == {"same"}
    if not is_same and not notes and definition.time_limit_s is not None:
        notes.append("the time limit for explanations may have allowed other rows")
    if not is_same and not notes:
        notes.append("no input has changed")
    return Repeated(execution.id, is_same, compared, tuple(notes))


def _compared(job: Job, execution: Execution, name: str, text: str) -> str:
    before = get_file(job.root, execution.folder, name)
    if before is None:
        return "gone"
    return "same" if before == text.encode() else "differs"


def _changes(job: Job, execution: Execution, now: Mapping[str, object]) -> Iterator[str]:
    """Return which inputs differ from those of when the execution ran, a sentence each."""
    with read_connection(job.engine) as connection:
        query = select(executions.c.inputs).where(executions.c.id == execution.id)
        then: Mapping[str, object] | None = connection.scalar(query)
    if then is None:
        yield "its inputs were not recorded: it ran before driftline kept them"
        return
    for path, words in _CHANGES:
        before, after = _at(then, path), _at(now, path)
        if before != after:
            yield f"{words} ({'.'.join(path)}: {before} then, {after} now)"
    before, after = (_at(one, ("rows", "row_count")) for one in (then, now))
    if before != after:
        yield f"{before:,} rows then, {after:,} now"
    report = get_file(job.root, execution.folder, REPORT)
    if report is not None and json.loads(report).get("erased"):
        yield "values of erased rows were taken out of its documents"


def _at(found: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON value
    for name in path:
        found = found[name]
    return found
