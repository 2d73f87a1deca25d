"""What is from now on normal: a version of the baseline whose named columns are captured rows'."""

from __future__ import annotations

from driftline.baseline import store
from driftline.baseline.replacement import Change, replaceable, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import Mark
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.warm_up.captured import EVENT_TIME, captured_rows
from driftline.signature import Signature


def new_normal(
    root: str, definition: MonitorDefinition, mark: Mark, signature: Signature
) -> Baseline:
    """Make the version of a monitor's baseline in which a mark's feature is what was captured.

    It is not kept yet.
    """
    known = store.get(root, definition.baseline, definition.baseline_version)
    if mark.feature is None:
        raise InputError(
            'a mark as "new-normal" names no feature; expected the one whose baseline is made '
            "anew, since all others stay as they are"
        )
    if mark.feature not in replaceable(known) or signature.get(mark.feature) is None:
        raise InputError(
            f'feature "{mark.feature}" has no distribution in the baseline that could be made '
            f"anew; expected one of {', '.join(replaceable(known)[:20])}"
        )
    rows = mark.rows or Window(mark.window.start, mark.made_at)
    change = Change((mark.feature,), rows.start, rows.end, mark.author, mark.reason, mark.made_at)
    source = captured_rows(root, definition.endpoint, change.columns, rows, signature)
    return with_columns_anew(known, source, change, event_time=EVENT_TIME)
