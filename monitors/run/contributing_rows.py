"""The captured rows behind the violations of an execution, found again by their conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
from sqlalchemy import Engine

from driftline.baseline import versions as baselines
from driftline.baseline.condition import Condition
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError, UndecidedError
from driftline.monitors.definitions import get_definition
from driftline.monitors.executions import Execution, answers_judged
from driftline.monitors.external.source import Access, ExternalSource
from driftline.monitors.kinds.conditions import with_baseline, with_rows
from driftline.monitors.run.captured_window import read_whole
from driftline.monitors.run.record_scripts import SCRIPT
from driftline.monitors.run.stored_report import StoredReport, read_document, report_of
from driftline.signature import Signature


@dataclass(frozen=True)
class ContributingRows:
    """The inputs needed to read the rows behind violations."""

    conditions: Sequence[Condition]
    # All rows of the window, anew at each call.
    batches: Callable[[], Iterator[pa.RecordBatch]]


def open_contributing_rows(
    engine: Engine,
    root: str,
    execution: Execution,
    index: int | None,
    *,
    signature_of: Callable[[str], Signature],
    access: Access,
) -> ContributingRows:
    """Open the rows behind one violation, by its index in the report, or behind all that alarm.

    Expected violations come after those that alarm; where nothing alarms, all stands for them. Rows
    come with all columns of the endpoint and, where labels are known, the label.
    """
    with read_connection(engine) as connection:
        report = report_of(orjson.loads(read_document(connection, execution)))
        answers = answers_judged(connection, execution.id)
    conditions = _conditions(report, index)
    if script := report.details.get(SCRIPT):
        raise UndecidedError(
            f'the rows were made by "{script}" and are not kept; the violation\'s first_rows '
            "name the events that they came from"
        )
    baseline = baselines.get(root, execution.baseline, execution.baseline_version)
    source = None if execution.endpoint else _source_of(engine, execution)
    signature = signature_of(execution.endpoint) if source is None else baseline.signature
    conditions = [with_baseline(one, baseline) for one in conditions]
    window = read_whole(
        root, execution.endpoint, execution.window, signature, baseline,
        looked_at={name for one in conditions for name in one.columns},
        source=source, access=access, **answers,
    )  # fmt: skip
    conditions = [with_rows(one, window.batches) for one in conditions]
    return ContributingRows(conditions, window.batches)


def _source_of(engine: Engine, execution: Execution) -> ExternalSource | None:
    """Return the table of an execution, as long as its monitor is the same."""
    with read_connection(engine) as connection:
        definition = get_definition(connection, execution.monitor)
    if definition.version != execution.definition_version:
        raise UndecidedError(
            f'monitor "{definition.name}" has changed since execution "{execution.id}"; its rows '
            "may be of another table: run the window again"
        )
    return definition.external


def _conditions(report: StoredReport, index: int | None) -> list[Condition]:
    loud, expected = report.violations, report.expected_violations
    if index is None:
        found = [one.predicate for one in loud or expected if one.predicate is not None]
        if not found:
            raise NotFoundError("no violation of the report has rows behind it")
        return found
    violations = [*loud, *expected]
    if not violations:
        raise NotFoundError("nothing is violated in this window, so there are no rows behind it")
    if index >= len(violations):
        raise NotFoundError(f"violation {index} does not exist; the report has {len(violations)}")
    only = violations[index]
    if only.predicate is None:
        raise NotFoundError(
            f"{only.feature_name}: {only.constraint_check_type} has no rows behind it"
        )
    return [only.predicate]
