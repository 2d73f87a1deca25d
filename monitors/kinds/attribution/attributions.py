"""Attributions of rows, and what a baseline stores of its reference's.

Stored are the rows of absolute attributions, as float32, with how they were made and, when known,
the time of each. Only attributions made by one method are compared.

Shapes: N rows, M features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.captured_ids import BACKGROUND, CAPTURED, data_schema
from driftline.baseline.folder import from_ipc, to_ipc
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.predictor import UNKNOWN
from driftline.monitors.kinds.attribution.sums import Importance
from driftline.monitors.results.row_references import Pointer
from driftline.monitors.results.violation import plural

KEY = b"driftline.attributions"
ATTRIBUTIONS_FORMAT = 6
# What SageMaker Clarify calls the only output of a model.
LABEL = "label0"
GIVEN = "given"  # The method of ready attributions.
TIME = "time"  # The column beside those of attributions, which are numbered.


@dataclass(frozen=True)
class Attributions:
    """Rows of attributions, and how they were made."""

    features: tuple[str, ...]
    # By label, shape (N, M); of a baseline absolute values.
    rows: Mapping[str, NDArray[np.float32]]
    expected: Mapping[str, float]  # The answer that they are counted from, by label.
    method: str  # "permutation", "tree_path_dependent", "linear"; "given" for ready attributions.
    units: str = UNKNOWN  # "probability", "margin", "value", "class"; "answer" when unknown.
    model: str = ""  # Digest of the model; "" when unknown.
    # The class that the only output is about, of two; "" where there are not two, or it is unknown.
    positive: str = ""
    # With the model's columns, and the ids of captured rows; None where no model was asked.
    background: pa.Table | None = None
    # Microseconds since 1970, shape (N,), NO_TIME where unknown; None without times.
    time_us: NDArray[np.int64] | None = None
    ids: pa.Array | None = None  # Of captured rows, shape (N,); only written.
    pointers: Sequence[Pointer] = ()  # Where each row is found again; none when not asked for.
    left_out: int = 0  # Rows without a usable prediction, or attribution.

    @property
    def labels(self) -> tuple[str, ...]:
        """The outputs of the model."""
        return tuple(self.rows)

    @property
    def count(self) -> int:
        """How many rows: N."""
        return len(next(iter(self.rows.values())))

    @property
    def importances(self) -> dict[str, Importance]:
        """The sums by label; none without rows."""
        return {
            label: Importance.of_rows(self.features, rows)
            for label, rows in self.rows.items()
            if len(rows)
        }

    @property
    def left_out_note(self) -> str:
        """Note how many rows had no usable prediction; "" for none."""
        asked = self.count + self.left_out
        why = (
            f"{plural(asked, 'row')} left out: an attribution of theirs is missing, or no number"
            if self.method == GIVEN
            else f"{plural(asked, 'explained row')} left out: the model answered no number to "
            "them, or to some of their values among a background row's"
        )
        return f"{self.left_out:,} of {why}" if self.left_out else ""

    def to_arrow(self) -> pa.Table:
        """Write one table: a column for each feature, label after label, and the times."""
        notes = {
            "format": ATTRIBUTIONS_FORMAT, "features": self.features, "labels": self.labels,
            "expected": dict(self.expected), "method": self.method, "units": self.units,
            "model": self.model, "positive": self.positive,
        }  # fmt: skip
        stacked = np.abs(np.concatenate([*self.rows.values()], axis=1)).T
        columns = {str(at): np.ascontiguousarray(one) for at, one in enumerate(stacked)}
        if self.time_us is not None:
            columns[TIME] = self.time_us
        if self.ids is not None:
            columns[CAPTURED] = self.ids
        metadata = {KEY: json.dumps(notes).encode()}
        if self.background is not None:
            metadata[BACKGROUND] = to_ipc(self.background)
        return pa.table(columns).replace_schema_metadata(metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Attributions:
        """Read what to_arrow wrote."""
        metadata = table.schema.metadata or {}
        notes = json.loads(metadata.get(KEY, b"{}"))
        if (version := notes.pop("format", None)) != ATTRIBUTIONS_FORMAT:
            raise InputError(
                f"attributions.arrow: format {version!r}; this driftline reads "
                f"{ATTRIBUTIONS_FORMAT}; make the baseline again"
            )
        labels, time_us, table = notes.pop("labels"), None, _data(table)
        if TIME in table.column_names:
            time_us, table = table[TIME].to_numpy(), table.drop_columns([TIME])
        parts = np.split(np.column_stack([one.to_numpy() for one in table]), len(labels), axis=1)
        background = _data(from_ipc(metadata[BACKGROUND])) if BACKGROUND in metadata else None
        return cls(
            tuple(notes.pop("features")), dict(zip(labels, parts, strict=True)),
            background=background, time_us=time_us, **notes,
        )  # fmt: skip


def _data(table: pa.Table) -> pa.Table:
    return table.select(data_schema(table.schema).names)


def unnamed_labels(count: int) -> tuple[str, ...]:
    """Name outputs of unknown classes as SageMaker does."""
    return (LABEL,) if count == 1 else tuple(f"label{at}" for at in range(count))
