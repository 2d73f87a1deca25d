"""One captured window: its rows are read, and evaluated by the monitor's kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial

from driftline.baseline.store import Baseline
from driftline.capture.labels.ground_truth import load_ground_truth
from driftline.capture.labels.labelling import Labels
from driftline.capture.windows.window import ROW_IDS, Window, WindowRead, read_window, unfit_counts
from driftline.errors import InputError
from driftline.formats.source import Source
from driftline.monitors.check_context import CheckContext, Command, PastWindows, Predictor
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.executions import NO_LABELS
from driftline.monitors.external.rows import read_external
from driftline.monitors.external.source import UNLIMITED, Access, ExternalSource
from driftline.monitors.kinds.catalog import settle_roles
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation, plural
from driftline.monitors.root_cause.callers import caller_rows
from driftline.monitors.rows import Rows, WindowFacts
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.reach import NOTHING, Reach, scripts_named
from driftline.monitors.rules.reading import rules_of
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.run.derived_predictions import with_predictions
from driftline.roles import Roles
from driftline.signature import Signature
from driftline.storage import storage_error

# SageMaker's own text.
NO_DATA = "Job inputs had no data"
# It stands in the failure's reason, and is tried again like any failed window.
NONE_FITS = "labels came, but none that fits; load them again"


def read_captured(
    root: str,
    definition: MonitorDefinition,
    window: Window,
    signature: Signature | None,
    baseline: Baseline,
    access: Access = UNLIMITED,
) -> WindowRead:
    """Open the rows of a window, captured ones or those of an external table.

    Rows captured after the delay count as late. A table has the signature of its baseline.
    """
    signature = (signature or baseline.signature).read_by(baseline.signature)
    columns = [
        *ROW_IDS,
        *definition.kind_value.columns(signature, baseline),
        *_named_by_rules(definition, signature, baseline),
    ]
    labels = labels_of(baseline) if definition.kind_value.uses_labels else None
    if (source := definition.external) is not None:
        return read_external(source, access, window, signature, columns=columns, labels=labels)
    read = read_window(
        root,
        definition.endpoint,
        window,
        signature,
        columns=columns,
        late_after=window.end + timedelta(seconds=definition.delay_s),
        labels=labels,
        variant=definition.variant,
        target_model=definition.target_model,
    )
    return with_predictions(read, root, definition.endpoint, signature, baseline)


def read_whole(
    root: str,
    endpoint: str,
    window: Window,
    signature: Signature,
    baseline: Baseline,
    *,
    looked_at: Iterable[str] = (),
    columns: Sequence[str] | None = None,
    source: ExternalSource | None = None,
    access: Access = UNLIMITED,
    variant: str | None = None,
    target_model: str | None = None,
) -> WindowRead:
    """Open the rows of a window for export with all that is known of them, or some columns.

    Ids first, then all inputs and outputs of the endpoint, and the label, null where missing.
    Conditions in ``looked_at`` find the request's id and time under the user's own names, too.
    """
    # A label that the signature of an app of somebody else's names is not captured, but loaded.
    signature = signature.read_by(baseline.signature)
    names = [one.name for one in (*signature.inputs, *signature.outputs)]
    labels = labels_of(baseline)
    if labels and (labels.name in names or labels.name not in (columns or [labels.name])):
        labels = None
    wanted = {*looked_at} - {*ROW_IDS}
    named = [one for one in (signature.inference_id, signature.event_time) if one in wanted]
    if columns is None:
        columns = [*ROW_IDS, *(one for one in named if one is not None), *names]
    elif labels is not None:
        columns = [one for one in columns if one != labels.name]
    if source is not None:
        return read_external(source, access, window, signature, columns=columns, labels=labels)
    return read_window(
        root,
        endpoint,
        window,
        signature,
        columns=columns,
        labels=labels,
        variant=variant,
        target_model=target_model,
    )


def _named_by_rules(
    definition: MonitorDefinition, signature: Signature, baseline: Baseline
) -> list[str]:
    """Return the user's names of the request's id and time that rules use."""
    if not definition.kind_value.judges_columns:
        return []
    try:
        rules = rules_of(baseline.constraints).plus(RuleSet.of(definition.rules))
    except InputError:  # Judging reads them again, and says what is wrong with them.
        return []
    named = {signature.inference_id, signature.event_time} - {*ROW_IDS}
    return [name for name in rules.columns if name in named and baseline.signature.get(name)]


def _kept(violation: Violation) -> Violation:
    """Leave out a condition that needs a script or another table, which readers cannot reach.

    The first rows that meet it are named.
    """
    found = violation.predicate
    if not isinstance(found, RuleCondition):
        return violation
    is_out = found.rule.get("check") == "foreign_key" or scripts_named([found.rule])
    return replace(violation, predicate=None) if is_out else violation


def answer_columns(signature: Signature, baseline: Baseline) -> list[str]:
    """Name what was answered and what came true: predictions, probabilities, the label."""
    labels = labels_of(baseline)
    names = [one.name for one in signature.outputs] + ([labels.name] if labels else [])
    return [*dict.fromkeys(names)]


def load_labels(
    root: str, definition: MonitorDefinition, since: datetime, now: Callable[[], datetime]
) -> None:
    """Load ground truth files that came for windows from a moment on, where the monitor has any."""
    if definition.labels is None:
        return
    try:
        load_ground_truth(root, definition.endpoint, definition.labels, since, now)
    except OSError as error:
        raise storage_error(definition.labels, error) from error


def labels_of(reference: Baseline) -> Labels | None:
    """Name the column that ground truth is read as; none when the reference has no true answer."""
    features, outcomes = reference.signature.features, reference.outcomes
    found = next((feature for feature in features if feature.role == "label"), None)
    are_amounts = outcomes is not None and outcomes.roles.problem == "regression"
    return None if found is None else Labels(found.name, found.type, are_amounts)


def nothing_to_judge(definition: MonitorDefinition, read: WindowRead) -> str:
    """Return why a window cannot be judged; empty when it can."""
    # A script or a command may make rows of what nobody else can read.
    is_read_anew = definition.preprocess or definition.command
    count = read.request_count - read.failed_count if is_read_anew else read.row_count
    if count == 0 and definition.source is not None:
        if not read.unparsed_count:
            return NO_DATA
        rows = plural(read.unparsed_count, "row")
        column = definition.source["timestamp"]
        return f'{NO_DATA}: {rows} of the table have no time in "{column}" that can be read'
    if count == 0 and read.unparsed_count:
        requests = plural(read.unparsed_count, "captured request")
        return (
            f"{NO_DATA}: none of {requests} could be decoded so far; the window is judged again "
            "once they are: within a minute after the endpoint has a signature that fits"
        )
    if count == 0:
        return NO_DATA
    if not definition.kind_value.needs_labels or read.labelled_count:
        return ""
    if read.unfit_label_count:
        return f"{NONE_FITS}: {plural(read.unfit_label_count, 'row')} got one of another type"
    if read.disputed_label_count:
        rows = plural(read.disputed_label_count, "row")
        why = "share their id with other requests, and its labels differ"
        return f"{NONE_FITS}: {rows} {why}; load labels by event id"
    if read.stray_label_count:
        ids = ", ".join(read.stray_label_ids)
        return f"{NONE_FITS}: their row_index is none of their requests' ({ids})"
    return f"{NO_LABELS} (no label for any of {plural(read.row_count, 'row')})"


def evaluate_captured(
    definition: MonitorDefinition,
    baseline: Baseline,
    read: WindowRead,
    *,
    predict: Predictor | None,
    seed: int,
    rows: Source | None = None,
    past: PastWindows | None = None,
    command: Command | None = None,
    reach: Reach = NOTHING,
    explained: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Evaluate a window that was read, or the rows a script made of it, by the monitor's kind."""
    is_captured = definition.source is None
    facts = WindowFacts(**{one.name: getattr(read, one.name) for one in fields(WindowFacts)})
    context = CheckContext(
        baseline=baseline,
        rows=Rows(
            read.batches if rows is None else rows.batches,
            facts=facts,
            unfit=partial(unfit_counts, left_out=read.left_out) if rows is None else None,
            callers=partial(caller_rows, read) if rows is None and is_captured else None,
        ),
        roles=settle_roles(Roles(), baseline),
        budget=Budget(definition.false_alarms_per_year, definition.timetable.windows_per_year),
        predict=predict,
        seed=seed,
        compat=definition.compat,
        rules=RuleSet.of(definition.rules).within(reach),
        reach=reach,
        segments=definition.segments,
        explained=explained,
        past=past or PastWindows(),
        command=command,
    )
    report = definition.kind_value.evaluate(context)
    report = replace(report, violations=tuple(_kept(one) for one in report.violations))
    if read.note and rows is None:
        return replace(report, details={**report.details, "prediction_note": read.note})
    return report


def changed_since(
    monitor: str, window: Window, judged: int | None, left: int | None
) -> tuple[str, ...]:
    """Return a note where a window holds more or fewer rows now than were judged, if both count."""
    if judged is None or left is None or left == judged:
        return ()
    if left < judged:
        return (
            f"{judged - left:,} of {plural(judged, 'row')} of this window have been deleted "
            "(erased, or past retention); its result is kept, and the chart counts those that are "
            "left.",
        )
    times = f"--from {window.start:%Y-%m-%dT%H:%M:%SZ} --to {window.end:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"Judged were {plural(judged, 'row')}; the window holds {plural(left, 'row')} now, which "
        f"is what the chart counts. To judge those: driftline monitor run {monitor} {times}",
    )
