"""Baselines made from captured rows with labels: outcomes are renewed, too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from driftline.baseline import store
from driftline.baseline.outcomes import kept_columns
from driftline.baseline.renewal import renewed
from driftline.baseline.store import QUALITY_STATISTICS, Baseline
from driftline.capture.windows.window import Window, WindowRead, read_window
from driftline.errors import InputError, UndecidedError
from driftline.formats.source import Source
from driftline.monitors.captured_baseline import EVENT_TIME, FEWEST_ROWS, captured_like
from driftline.monitors.external.rows import read_external
from driftline.monitors.external.source import Access, ExternalSource
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.run.captured_window import labels_of
from driftline.monitors.run.derived_predictions import with_predictions
from driftline.signature import Signature


def put_labelled(
    root: str,
    name: str,
    version: str,
    rows: Callable[[Baseline], WindowRead],
    now: Callable[[], datetime],
    origin: Mapping[str, object],
) -> Baseline:
    """Store a new version of a baseline, like `version` but with outcomes of labelled rows.

    InputError when the version has no outcomes or the rows lack their columns, UndecidedError when
    too few rows have a label.
    """
    known = store.get(root, name, version)
    if known.outcomes is None or labels_of(known) is None:
        raise InputError(
            f'baseline "{name}": version {version} has no labels beside predictions or facets, so '
            "nobody knows how to read other rows' labels; make it of data that have both, or leave "
            "labels out"
        )
    read = rows(known)
    event_time = known.outcomes.roles.timestamp or EVENT_TIME
    source = _labelled(known, read, event_time, of=f'baseline "{name}"')
    try:
        made = renewed(known, source, event_time=event_time, with_labels=True)
    except InputError as error:
        raise InputError(f'baseline "{name}", labelled rows of {read.window}: {error}') from error
    made = with_documents_anew(known, made)
    store.put(root, name, made, now, {**origin, "labels": True, "rows_read": read.row_count})
    return made


def read_labelled(
    root: str,
    endpoint: str,
    baseline: Baseline,
    window: Window,
    signature: Signature,
    *,
    variant: str | None = None,
    target_model: str | None = None,
) -> WindowRead:
    """Open what an endpoint captured of the columns that a baseline has, with labels."""
    signature = signature.read_by(baseline.signature)
    columns = [*captured_like(signature, baseline), EVENT_TIME]
    read = read_window(
        root, endpoint, window, signature, columns=columns, labels=labels_of(baseline),
        variant=variant, target_model=target_model,
    )  # fmt: skip
    return with_predictions(read, root, endpoint, signature, baseline)


def read_labelled_table(
    source: ExternalSource, access: Access, baseline: Baseline, window: Window
) -> WindowRead:
    """Open the rows of an external table, with its own or separate labels."""
    assert baseline.outcomes is not None
    labels, own = labels_of(baseline), kept_columns(baseline.outcomes.roles)
    names = [*dict.fromkeys((*baseline.cells, *own))]
    columns = [one for one in names if labels is None or one != labels.name]
    return read_external(source, access, window, baseline.signature, columns=columns, labels=labels)


def with_documents_anew(before: Baseline, made: Baseline) -> Baseline:
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


def _labelled(known: Baseline, read: WindowRead, event_time: str, *, of: str) -> Source:
    """Open the rows that have a label, their time under the name that the baseline gives it."""
    assert known.outcomes is not None
    roles, count = known.outcomes.roles, read.labelled_count
    if count < FEWEST_ROWS:
        raise UndecidedError(
            f"{of}: {read.row_count:,} rows were captured in {read.window}, {count:,} of them with "
            f"a label; a baseline with labels needs {FEWEST_ROWS} at least, so load more labels, "
            "or take a longer time"
        )
    needed = [one for one in kept_columns(roles) if one != event_time]
    if missing := [one for one in needed if one not in read.schema.names]:
        why = f" ({read.note})" if read.note else ""
        raise InputError(
            f'{of}: the rows have no column "{missing[0]}", by which it measures labels{why}; make '
            "the baseline of data that have it"
        )
    names = [one for one in read.schema.names if known.signature.get(one) is not None]
    names = [one for one in names if one not in (event_time, EVENT_TIME)]
    times = read.schema.field(EVENT_TIME).with_name(event_time)
    schema = pa.schema([*(read.schema.field(one) for one in names), times])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read.batches():
            rows = batch.filter(batch.column(roles.label).is_valid())
            yield rows.select([*names, EVENT_TIME]).rename_columns(schema.names)

    return Source(schema, batches, row_count=count)
