"""Baselines made from captured rows or an external table: all columns, or those changed for good.

With labels, outcomes are renewed too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa

from driftline.baseline import versions
from driftline.baseline.captured_ids import CAPTURED, captured_ids
from driftline.baseline.outcomes import kept_columns
from driftline.baseline.renewal import Change, renewed, replaceable, with_columns_anew
from driftline.baseline.store import QUALITY_STATISTICS, Baseline
from driftline.capture.erasure.erasures import removal_version
from driftline.capture.erasure.pending import is_clearing
from driftline.capture.windows.window import Window, WindowRead, read_window
from driftline.errors import ConflictError, InputError, UndecidedError
from driftline.formats.arrow_types import as_fitted
from driftline.formats.source import Source
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.external.rows import read_external
from driftline.monitors.external.source import Access, ExternalSource
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.run.captured_window import labels_of
from driftline.monitors.run.derived_predictions import with_predictions
from driftline.signature import Signature

EVENT_TIME = "event_time"
Origin = Mapping[str, object]  # Of a version: shown in the list of versions.
# Fewer rows make tails and levels of chance.
FEWEST_ROWS = 500
# Roles of columns that only a reference has.
NEVER_CAPTURED = ("label", "excluded", "weight")


def put_made(
    root: str, name: str, make: Callable[[], tuple[Baseline, Origin]], now: Callable[[], datetime]
) -> Baseline:
    """Make a version, with its origin, and store it; captured rows are of one state of erasures.

    ConflictError where an erasure may have taken some that were read.
    """
    removals = None if is_clearing(root) else removal_version(root)
    made, origin = make()

    def is_current() -> bool:
        return not made.keeps_captured or removal_version(root) == removals

    versions.put(root, name, made, now, origin, is_current=is_current)
    return made


def put_renewed(
    root: str,
    name: str,
    version: str,
    rows: Callable[[Baseline], WindowRead],
    now: Callable[[], datetime],
    origin: Origin,
    *,
    labels: bool = False,
) -> Baseline:
    """Store a new version of a baseline, like `version` but with the distributions of other rows.

    With labels, of those rows that have one, and with their outcomes. Only monitors that name no
    version use it at once.

    InputError when labels are asked for and the version has no outcomes or the rows lack their
    columns, UndecidedError when there are too few rows.
    """
    make = partial(_renewed, root, name, version, rows, origin, labels=labels)
    return put_made(root, name, make, now)


def _renewed(
    root: str,
    name: str,
    version: str,
    rows: Callable[[Baseline], WindowRead],
    origin: Origin,
    *,
    labels: bool,
) -> tuple[Baseline, Origin]:
    """Make the version that `put_renewed` stores."""
    known, of = versions.get(root, name, version), f'baseline "{name}"'
    label, event_time, needed = labels_of(known) if labels else None, EVENT_TIME, set[str]()
    if labels:
        if known.outcomes is None or label is None:
            raise InputError(
                f"{of}: version {version} has no labels beside predictions or facets, so nobody "
                "knows how to read other rows' labels; make it of data that have both, or leave "
                "labels out"
            )
        event_time = known.outcomes.roles.timestamp or EVENT_TIME
        needed = {*kept_columns(known.outcomes.roles)} - {event_time}
    read = rows(known)
    names = [one for one in read.schema.names if known.signature.get(one) is not None]
    names = [one for one in names if one not in (event_time, EVENT_TIME)]
    source = _source(
        read,
        names,
        known.signature,
        of,
        label=None if label is None else label.name,
        event_time=event_time,
        endpoint=str(origin["endpoint"]) if "endpoint" in origin else None,
    )
    if missing := sorted(needed.difference(read.schema.names)):
        why = f" ({read.note})" if read.note else ""
        raise InputError(
            f'{of}: the rows have no column "{missing[0]}", by which it measures labels{why}; make '
            "the baseline of data that have it"
        )
    try:
        made = renewed(known, source, event_time=event_time, with_labels=labels)
    except InputError as error:
        raise InputError(f"{of}, rows of {read.window}: {error}") from error
    if labels:
        made = _with_documents_anew(known, made)
        origin = {**origin, "labels": True, "rows_read": read.row_count}
    return made, origin


def refuse_pinned(definition: MonitorDefinition) -> None:
    """Refuse to make another version for a monitor that would not use it."""
    if definition.baseline_pinned:
        raise ConflictError(
            f'monitor "{definition.name}" is pinned to version {definition.baseline_version} of '
            f'baseline "{definition.baseline}"; declare baseline: {definition.baseline} to have it '
            "follow, or make a version with driftline baseline create"
        )


def require_over(window: Window, now: datetime) -> None:
    """Refuse a time span in which rows may still come."""
    if window.end > now:
        raise InputError(f"to {window.end:%FT%TZ} is not over yet; expected a time that has passed")


def rows_origin(window: Window, **of: object) -> dict[str, object]:
    """Return the origin shown in the list of versions: ``endpoint=`` or ``source=``."""
    span = {"from": window.start.isoformat(), "to": window.end.isoformat()}
    return {**of, **span}


def read_like(
    root: str,
    endpoint: str,
    baseline: Baseline,
    window: Window,
    signature: Signature,
    *,
    labels: bool = False,
    variant: str | None = None,
    target_model: str | None = None,
) -> WindowRead:
    """Open what an endpoint captured of the columns that a baseline has, with labels or without.

    The baseline's signature has more, such as the label, which no request holds.
    """
    signature = signature.read_by(baseline.signature)
    columns = [
        one.name
        for one in signature.columns
        if one.role not in NEVER_CAPTURED and baseline.signature.get(one.name) is not None
    ]
    read = read_window(
        root, endpoint, window, signature, columns=[*columns, EVENT_TIME],
        labels=labels_of(baseline) if labels else None, variant=variant,
        target_model=target_model,
    )  # fmt: skip
    return with_predictions(read, root, endpoint, signature, baseline)


def read_table_like(
    source: ExternalSource,
    access: Access,
    baseline: Baseline,
    window: Window,
    *,
    labels: bool = False,
) -> WindowRead:
    """Open the rows of an external table, with its own or separate labels or without.

    Without, what a baseline knows of labels belongs to the predictions beside them, and stays.
    """
    label, kept = labels_of(baseline), tuple[str, ...]()
    if labels and baseline.outcomes is not None:
        kept = tuple(kept_columns(baseline.outcomes.roles))
    names = dict.fromkeys((*baseline.cells, *kept))
    columns = [one for one in names if label is None or one != label.name]
    return read_external(
        source, access, window, baseline.signature, columns=columns,
        labels=label if labels else None,
    )  # fmt: skip


def new_normal(
    root: str, definition: MonitorDefinition, annotation: Annotation, signature: Signature
) -> tuple[Baseline, Origin]:
    """Make a version of a baseline with an annotated feature as captured."""
    known = versions.get(root, definition.baseline, definition.baseline_version)
    signature = signature.read_by(known.signature)
    if annotation.feature is None:
        raise InputError(
            'a mark as "new-normal" names no feature; expected the one whose baseline is made '
            "anew, since all others stay as they are"
        )
    if annotation.feature not in replaceable(known) or signature.get(annotation.feature) is None:
        raise InputError(
            f'feature "{annotation.feature}" has no distribution in the baseline that could be '
            f"made anew; expected one of {', '.join(replaceable(known)[:20])}"
        )
    rows = annotation.rows or Window(annotation.window_start, annotation.made_at)
    change = Change(
        (annotation.feature,),
        rows.start,
        rows.end,
        annotation.author,
        annotation.reason,
        annotation.made_at,
    )
    source = captured_rows(
        root,
        definition.endpoint,
        change.columns,
        rows,
        signature,
        variant=definition.variant,
        target_model=definition.target_model,
    )
    origin = rows_origin(rows, endpoint=definition.endpoint, columns=[annotation.feature])
    return with_columns_anew(known, source, change, event_time=EVENT_TIME), origin


def captured_rows(
    root: str,
    endpoint: str,
    names: Sequence[str],
    window: Window,
    signature: Signature,
    *,
    variant: str | None = None,
    target_model: str | None = None,
) -> Source:
    """Open columns, and times, of the rows that an endpoint captured in a time span.

    ``variant`` and ``target_model`` keep only their rows.
    """
    read = read_window(
        root, endpoint, window, signature, columns=[*names, EVENT_TIME], variant=variant,
        target_model=target_model,
    )  # fmt: skip
    return _source(read, names, signature, f'endpoint "{endpoint}"', endpoint=endpoint)


def _source(
    read: WindowRead,
    names: Sequence[str],
    known: Signature,
    of: str,
    *,
    label: str | None = None,
    event_time: str = EVENT_TIME,
    endpoint: str | None = None,
) -> Source:
    """Open rows, of which those with a label if one is named, and their time under a name.

    Those that an `endpoint` captured have their ids, too.
    """
    count = read.row_count if label is None else read.labelled_count
    if count < FEWEST_ROWS:
        with_label = "" if label is None else f", {count:,} of them with a label"
        more = "take a longer time" + (", or load more labels" if label else "")
        raise UndecidedError(
            f"{of}: {read.row_count:,} rows were captured in {read.window}{with_label}; a baseline "
            f"needs {FEWEST_ROWS} at least, so {more}"
        )
    # The table holds all values alike; as which the model takes them, the signature knows.
    notes = {one.name: (one.unit, one.missing) for one in known.columns}
    fields = (as_fitted(read.schema.field(name), *notes.get(name, (None, None))) for name in names)
    schema = pa.schema([*fields, read.schema.field(EVENT_TIME).with_name(event_time)])
    if endpoint is not None:
        schema = schema.append(pa.field(CAPTURED, pa.int64()))

    # What capture found unfit stands in a map beside the columns, and is no data.
    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read.batches():
            rows = batch if label is None else batch.filter(batch.column(label).is_valid())
            times = rows.column(EVENT_TIME)
            columns = [*(rows.column(name) for name in names), times]
            if endpoint is not None:
                columns.append(captured_ids(endpoint, times))
            yield pa.RecordBatch.from_arrays(columns, names=schema.names)

    return Source(schema, batches, row_count=count)


def _with_documents_anew(before: Baseline, made: Baseline) -> Baseline:
    """Return a baseline whose documents are suggested from its own outcomes.

    A line of constraints that differs from the earlier baseline's suggestion was edited, and stays.
    """
    old, new = (complete(replace(one, documents={})).documents for one in (before, made))
    found = dict(before.documents)
    for name in found.keys() & old.keys() & new.keys():
        texts = before.documents[name], old[name], new[name]
        if name == QUALITY_STATISTICS or texts[0] == texts[1]:
            found[name] = texts[2]
        else:
            lines = _lines_anew(*map(json.loads, texts))
            found[name] = json.dumps(lines, indent=2, ensure_ascii=False) + "\n"
    return replace(made, documents=found)


def _lines_anew(
    document: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a document with the lines of each heading that were suggested as they are now."""
    found = dict(document)
    for heading, lines in document.items():
        if isinstance(lines, Mapping) and heading in old and heading in new:
            before, now = old[heading], new[heading]
            by_hand = {name: one for name, one in lines.items() if one != before.get(name)}
            is_suggested = (lines.keys() | (now.keys() - before.keys())) - by_hand.keys()
            anew = {name: one for name, one in now.items() if name in is_suggested}
            found[heading] = {**anew, **by_hand}
    return found
