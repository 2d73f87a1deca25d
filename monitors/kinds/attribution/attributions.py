"""Attributions of rows: how they were made, and what a baseline stores of its reference's.

Stored are the rows of absolute attributions, as float32, with how they were made and, when known,
the hour of each. Only attributions made in the same way are compared.

Shapes: N rows, M features.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from driftline.errors import InputError
from driftline.monitors.kinds.attribution.sums import Importance
from driftline.monitors.results.row_references import Pointer
from driftline.monitors.results.violation import plural
from driftline.stats.blocks import HOUR_US

KEY = b"driftline.attributions"
ATTRIBUTIONS_FORMAT = 3
UNKNOWN = "answer"  # Units of what a function answers.
# What SageMaker Clarify calls the only output of a model.
LABEL = "label0"
GIVEN = "given"  # The method of ready attributions.
# Columns beside the features; no data set has them.
LABEL_COLUMN = "\0label"
HOUR_COLUMN = "\0hour"

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Making:
    """How attributions were made; only those made alike are compared."""

    method: str  # "permutation", "tree_path_dependent", "linear"; "given" for ready attributions.
    units: str = UNKNOWN  # "probability", "margin", "value", "class"; "answer" when unknown.
    model: str = ""  # Digest of the model; "" when unknown.
    background: str = ""  # Digest of the background rows; "" when there are none.

    def difference(self, other: Making) -> str:
        """Return why the two cannot be compared; "" when they can."""
        if self.method != other.method:
            return f'the reference was explained by "{self.method}", the data by "{other.method}"'
        if self.background != other.background:
            return "the reference was explained with another background"
        return ""

    def has_level_of(self, other: Making) -> bool:
        """Whether the sums of attributions compare: of the same model, in the same units."""
        return (self.model, self.units) == (other.model, other.units)


@dataclass(frozen=True)
class Attributions:
    """A reference's attributions: `explain_reference` makes them, a baseline stores them."""

    features: tuple[str, ...]
    rows: Mapping[str, NDArray[np.float32]]  # Absolute attributions by label, shape (N, M).
    expected: Mapping[str, float]  # The answer that they are counted from, by label.
    making: Making
    background: pa.Table | None  # With the model's columns; None for a method that needs none.
    # Hours since 1970, shape (N,), -1 where unknown; None when the reference has no times.
    hours: NDArray[np.int64] | None = None
    # The class that the only output is about, of two; "" where there are not two, or it is unknown.
    positive: str = ""

    @property
    def time_us(self) -> NDArray[np.int64] | None:
        """Time of each row, microseconds since 1970, negative where unknown."""
        return None if self.hours is None else self.hours * HOUR_US

    @property
    def labels(self) -> tuple[str, ...]:
        """The outputs of the model."""
        return tuple(self.rows)

    @property
    def importances(self) -> dict[str, Importance]:
        """The sums by label."""
        return {label: Importance.of_rows(self.features, rows) for label, rows in self.rows.items()}

    def to_arrow(self) -> pa.Table:
        """Write one table: a float column for each feature, label after label."""
        stacked = np.concatenate(list(self.rows.values()))
        count = len(stacked) // len(self.rows)
        labels = pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(np.arange(len(self.labels)), count), pa.int32()),
            pa.array(self.labels, pa.string()),
        )
        notes = {
            "format": ATTRIBUTIONS_FORMAT,
            "labels": list(self.labels),
            "expected": dict(self.expected),
            "making": asdict(self.making),
            **({"positive": self.positive} if self.positive else {}),
            "background": _to_text(self.background),
        }
        columns: dict[str, pa.Array] = {LABEL_COLUMN: labels}
        if self.hours is not None:
            columns[HOUR_COLUMN] = pa.array(np.tile(self.hours, len(self.rows)), pa.int64())
        for name, column in zip(self.features, stacked.T, strict=True):
            columns[name] = pa.array(np.ascontiguousarray(column))
        table = pa.table(columns)
        return table.replace_schema_metadata({KEY: json.dumps(notes).encode()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Attributions:
        """Read what to_arrow wrote."""
        metadata = table.schema.metadata or {}
        notes = json.loads(metadata.get(KEY, b"{}"))
        if notes.get("format") != ATTRIBUTIONS_FORMAT:
            raise InputError(
                f"attributions.arrow: format {notes.get('format')!r}; this driftline reads "
                f"{ATTRIBUTIONS_FORMAT}; make the baseline again"
            )
        beside = (LABEL_COLUMN, HOUR_COLUMN)
        features = tuple(name for name in table.column_names if name not in beside)
        hours = table[HOUR_COLUMN].to_numpy() if HOUR_COLUMN in table.column_names else None
        stacked = np.column_stack([table[name].to_numpy() for name in features])
        parts = np.split(stacked, len(notes["labels"]))
        return cls(
            features=features,
            rows=dict(zip(notes["labels"], parts, strict=True)),
            expected=notes["expected"],
            making=Making(**notes["making"]),
            background=_from_text(notes["background"]),
            hours=None if hours is None else hours[: len(parts[0])],
            positive=notes.get("positive", ""),
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """Explained rows and their attributions."""

    features: tuple[str, ...]
    rows: Mapping[str, NDArray[np.float32]]  # Attributions by label, shape (N, M).
    expected: Mapping[str, float]  # The answer that they are counted from, by label.
    making: Making
    # Hours since 1970, shape (N,), -1 where unknown; None when not asked for.
    hours: NDArray[np.int64] | None = None
    pointers: Sequence[Pointer] = ()  # Where each row is found again; none when not asked for.
    # Of the rows that were asked about, or read: which of them these are; and how many they were.
    places: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    asked_count: int = 0
    is_one_of_two: bool = False  # The second of two outputs that sum to one.

    @property
    def answers_note(self) -> str:
        """Note how many rows had no usable prediction; "" for none."""
        lacking = self.asked_count - len(self.places)
        if not lacking:
            return ""
        if self.making.method == GIVEN:
            return (
                f"{lacking:,} of {plural(self.asked_count, 'row')} left out: an attribution of "
                "theirs is missing, or no number"
            )
        return (
            f"{lacking:,} of {plural(self.asked_count, 'explained row')} left out: the model "
            "answered no number to them, or to some of their values among a background row's"
        )

    @property
    def positive(self) -> str:
        """The class of the only output of two; "" where it has no name."""
        label = next(iter(self.rows), "")
        return label if self.is_one_of_two and label not in unnamed_labels(2) else ""

    def only(self, label: str) -> Explained:
        """Return one of two outputs."""
        rows, expected = {label: self.rows[label]}, {label: self.expected[label]}
        return replace(self, rows=rows, expected=expected, is_one_of_two=True)


def unnamed_labels(count: int) -> tuple[str, ...]:
    """Name outputs of unknown classes as SageMaker does."""
    return (LABEL,) if count == 1 else tuple(f"label{at}" for at in range(count))


def table_digest(table: pa.Table) -> str:
    """Return a digest of a table's values, 16 hex digits."""
    return hashlib.blake2b(_to_bytes(table), digest_size=8).hexdigest()


def _to_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    plain = table.replace_schema_metadata(None).combine_chunks()
    with ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return sink.getvalue()


def _to_text(table: pa.Table | None) -> str | None:
    return None if table is None else base64.b64encode(_to_bytes(table)).decode()


def _from_text(text: str | None) -> pa.Table | None:
    return None if text is None else ipc.open_stream(base64.b64decode(text)).read_all()
