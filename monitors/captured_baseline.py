"""Baselines made from captured rows: all columns, or those that changed for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from driftline.baseline import store
from driftline.baseline.renewal import Change, renewed, replaceable, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window, WindowRead, read_window
from driftline.errors import ConflictError, InputError, UndecidedError
from driftline.formats.arrow_types import as_fitted
from driftline.formats.source import Source
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.external.rows import read_external
from driftline.monitors.external.source import Access, ExternalSource
from driftline.signature import Signature

EVENT_TIME = "event_time"
# Fewer rows make tails and levels of chance.
FEWEST_ROWS = 500
# Roles of columns that only a reference has.
NEVER_CAPTURED = ("label", "excluded", "weight")


def put_renewed(
    root: str,
    name: str,
    version: str | None,
    rows: Callable[[Baseline], Source],
    now: Callable[[], datetime],
    origin: Mapping[str, object],
) -> Baseline:
    """Store a new version of a baseline, like `version` but with the distributions of other rows.

    Only monitors that name no version use it at once.
    """
    known = store.get(root, name, version)
    made = renewed(known, rows(known), event_time=EVENT_TIME)
    store.put(root, name, made, now, origin)
    return made


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


def rows_like(
    root: str,
    endpoint: str,
    baseline: Baseline,
    window: Window,
    signature: Signature,
) -> Source:
    """Open an endpoint's captured rows of a time span, with a baseline's columns."""
    signature = signature.read_by(baseline.signature)
    names = captured_like(signature, baseline)
    return captured_rows(root, endpoint, names, window, signature)


def captured_like(signature: Signature, baseline: Baseline) -> list[str]:
    """Return the columns of a baseline that an endpoint captures.

    The baseline's signature has more, such as the label, which no request holds.
    """
    columns = [one for one in signature.columns if one.role not in NEVER_CAPTURED]
    return [one.name for one in columns if baseline.signature.get(one.name) is not None]


def table_rows_like(
    source: ExternalSource, access: Access, baseline: Baseline, window: Window
) -> Source:
    """Open the rows of a time span of an external table, without labels.

    What a baseline knows of labels belongs to the predictions beside them, and stays.
    """
    columns = baseline.signature.columns
    known = [one.name for one in columns if one.name in baseline.cells and one.role != "label"]
    read = read_external(source, access, window, baseline.signature, columns=known)
    names = [one for one in known if one in read.schema.names]
    return _source(read, names, baseline.signature, str(source), str(window))


def new_normal(
    root: str, definition: MonitorDefinition, annotation: Annotation, signature: Signature
) -> Baseline:
    """Return a version of a baseline with an annotated feature as captured; do not store it."""
    known = store.get(root, definition.baseline, definition.baseline_version)
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
    return with_columns_anew(known, source, change, event_time=EVENT_TIME)


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
    columns = [*names, EVENT_TIME]
    read = read_window(
        root, endpoint, window, signature, columns=columns, variant=variant,
        target_model=target_model,
    )  # fmt: skip
    return _source(read, names, signature, f'endpoint "{endpoint}"', str(window))


def _source(
    read: WindowRead, names: Sequence[str], known: Signature, subject: str, when: str
) -> Source:
    columns, row_count = [*names, EVENT_TIME], read.row_count
    if row_count < FEWEST_ROWS:
        raise UndecidedError(
            f"{subject}: {row_count:,} rows were captured in {when}; a baseline "
            f"needs {FEWEST_ROWS} at least, so take a longer time"
        )

    # What capture found unfit stands in a map beside the columns, and is no data.
    def batches() -> Iterator[pa.RecordBatch]:
        return (batch.select(columns) for batch in read.batches())

    # The table holds all values alike; as which the model takes them, the signature knows.
    notes = {one.name: (one.unit, one.missing) for one in known.columns}
    schema = pa.schema(
        as_fitted(read.schema.field(name), *notes.get(name, (None, None))) for name in columns
    )
    return Source(schema, batches, row_count=row_count)
