"""What a run was asked and what it read, by versions and digests, stored with its execution.

It is not in the documents, whose bytes stay the same while files are compacted and programs
renewed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import driftline
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import WindowRead
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import JUDGING, MonitorDefinition


def inputs_of(
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
