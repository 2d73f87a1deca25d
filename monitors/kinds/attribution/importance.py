"""Importance of features over many rows, and its stored form.

Stored are the rows of absolute attributions, as float32, with how they were made and, when known,
the hour of each: every mean, share and error follows from them. Only attributions made in the same
way are compared.

Shapes: N rows, M features.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from driftline.baseline.folder import from_ipc, to_ipc
from driftline.errors import InputError
from driftline.stats.blocks import HOUR_US

KEY = b"driftline.attributions"
PERMUTED = b"driftline.attributions.permuted"
ATTRIBUTIONS_FORMAT = 2
UNKNOWN = "answer"  # Units of what a function answers.
# What SageMaker Clarify calls the only output of a model.
LABEL = "label0"
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
    # Columns by feature, where a feature is not its column.
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def difference(self, other: Making) -> str:
        """Return why the two cannot be compared; "" when they can.

        The units of another model are its own, and those of a function are unknown.
        """
        names = ["method", "units", "background", "groups"]
        if self.changed_model(other) or UNKNOWN in (self.units, other.units):
            names.remove("units")
        for name in names:
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                shown = "" if name in ("background", "groups") else f' ("{mine}", now "{its}")'
                return f"the reference was explained with another {name.rstrip('s')}{shown}"
        return ""

    def changed_model(self, other: Making) -> str:
        """Describe a change of model; "" for the same model, or an unknown one."""
        units = (self.units, other.units)
        # No model has two units, but those of a function are not known.
        unit = f'in units of "{self.units}", now of "{other.units}"'
        unit *= UNKNOWN not in units and self.units != other.units
        if self.model and other.model:
            if self.model == other.model:
                return ""
            names = f"for model {self.model}, now it is {other.model}"
        elif unit:  # A function in a notebook has no name to go by.
            names = ""
        else:
            return ""
        told = ", and ".join(part for part in (names, unit) if part)
        return f"the model changed: the reference was explained {told}"


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of each feature for one output of a model, with its error."""

    features: tuple[str, ...]
    mean: Numbers  # Mean absolute attribution, shape (M,).
    covariance: Numbers  # Of one row's absolute attributions, shape (M, M).
    count: int  # Rows; 0 when only the means are known, which then count as exact.
    # The rows themselves, shape (N, M); None where only the means and their errors are known.
    rows: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_rows(cls, features: Sequence[str], rows: NDArray[np.float32]) -> Importance:
        """Summarise rows of absolute attributions, shape (N, M)."""
        exact = rows.astype(np.float64)
        width = exact.shape[1]
        spread = np.cov(exact, rowvar=False) if len(exact) > 1 else np.zeros((width, width))
        covariance = spread.reshape(width, width)
        return cls(tuple(features), exact.mean(axis=0), covariance, len(exact), rows)

    @classmethod
    def of_means(cls, means: Mapping[str, float]) -> Importance:
        """Read means from a document, as absolute values: Clarify's `median` is signed."""
        values = np.abs(np.array(list(means.values()), dtype=np.float64))
        return cls(tuple(means), values, np.zeros((len(values), len(values))), 0)

    def only(self, features: Sequence[str]) -> Importance:
        """Keep some features, in this order."""
        at = [self.features.index(name) for name in features]
        covariance = self.covariance[np.ix_(at, at)]
        rows = None if self.rows is None else self.rows[:, at]
        return Importance(tuple(features), self.mean[at], covariance, self.count, rows)

    @property
    def total(self) -> float:
        """Sum over the features: how strongly the model's output depends on its input."""
        return float(self.mean.sum())

    @property
    def shares(self) -> Numbers:
        """Each feature's share of the total, shape (M,); zeros when the total is 0."""
        return np.asarray(self.mean / self.total if self.total > 0 else 0.0 * self.mean)

    @property
    def share_errors(self) -> Numbers:
        """Standard errors of the shares by the delta method, shape (M,)."""
        if not self.count or self.total <= 0:
            return np.zeros(len(self.mean))
        shares, with_all = self.shares, self.covariance.sum(axis=1)
        own = np.diag(self.covariance)
        variance = own - 2 * shares * with_all + shares**2 * with_all.sum()
        return np.asarray(np.sqrt(np.maximum(variance, 0.0) / self.count) / self.total)

    @property
    def total_error(self) -> float:
        """Standard error of the total's logarithm; 0 when the total is 0."""
        if not self.count or self.total <= 0:
            return 0.0
        return float(np.sqrt(max(self.covariance.sum(), 0.0) / self.count)) / self.total


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
    # Some of the rows by permutations, which any model can be asked for: what a model is compared
    # with that does not offer the method. None where that is the method.
    permuted: Attributions | None = None
    # The class that the only output is about, of two; "" where there are not two, or it is unknown.
    positive: str = ""
    # Whether the only output is the second of two that sum to one; of windows it alone counts, too.
    is_one_of_two: bool = False

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
        """The summaries by label."""
        return {label: Importance.of_rows(self.features, self.rows[label]) for label in self.rows}

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
            **({"is_one_of_two": True} if self.is_one_of_two else {}),
            "background": _to_text(self.background),
        }
        columns: dict[str, pa.Array] = {LABEL_COLUMN: labels}
        if self.hours is not None:
            columns[HOUR_COLUMN] = pa.array(np.tile(self.hours, len(self.rows)), pa.int64())
        for name, column in zip(self.features, stacked.T, strict=True):
            columns[name] = pa.array(np.ascontiguousarray(column))
        table = pa.table(columns)
        metadata = {KEY: json.dumps(notes).encode()}
        if self.permuted is not None:
            metadata[PERMUTED] = to_ipc(self.permuted.to_arrow())
        return table.replace_schema_metadata(metadata)

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
        making = notes["making"]
        groups = {name: tuple(columns) for name, columns in making.pop("groups").items()}
        return cls(
            features=features,
            rows=dict(zip(notes["labels"], parts, strict=True)),
            expected=notes["expected"],
            making=Making(**making, groups=groups),
            background=_from_text(notes["background"]),
            hours=None if hours is None else hours[: len(parts[0])],
            permuted=cls.from_arrow(from_ipc(metadata[PERMUTED])) if PERMUTED in metadata else None,
            positive=notes.get("positive", ""),
            is_one_of_two=notes.get("is_one_of_two", False),
        )


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
