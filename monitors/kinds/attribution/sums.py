"""Attributions of many rows as sums by group, from which all numbers of the kind follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.sums import add_up, groups_of, time_blocks


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """Sums of one output's absolute attributions, of M features."""

    features: tuple[str, ...]
    # By group: rows, and each feature's sum, (GROUPS, 1 + M). Of a document's means (1, 1 + M).
    buckets: Array

    @classmethod
    def of_rows(cls, features: Sequence[str], rows: NDArray[np.float32]) -> Importance:
        """Add up rows of attributions, shape (N, M)."""
        return cls(tuple(features), add_up(_columns(rows), groups_of(len(rows))))

    @classmethod
    def of_means(cls, means: Mapping[str, float]) -> Importance:
        """Take means of a document, as absolute values: Clarify's `median` is signed."""
        return cls(tuple(means), np.abs(np.array([[1.0, *means.values()]])))

    def only(self, features: Sequence[str]) -> Importance:
        """Keep some features, in this order."""
        at = [0, *(1 + self.features.index(name) for name in features)]
        return Importance(tuple(features), self.buckets[:, at])

    @property
    def count(self) -> int:
        """Rows; 0 where only means are known."""
        return 0 if len(self.buckets) == 1 else int(self.buckets[:, 0].sum())

    @property
    def mean(self) -> Array:
        """Mean absolute attribution of each feature, (M,)."""
        sums = self.buckets.sum(axis=0)
        return np.asarray(sums[1:] / sums[0])

    @property
    def means(self) -> dict[str, float]:
        """Mean absolute attributions by feature."""
        return dict(zip(self.features, self.mean.tolist(), strict=True))

    @property
    def total(self) -> float:
        """Sum over the features: how strongly the model's output depends on its input."""
        return float(self.mean.sum())

    @property
    def shares(self) -> Array:
        """Each feature's share of the total, (M,); zeros when the total is 0."""
        return np.asarray(self.mean / self.total if self.total > 0 else 0.0 * self.mean)


def joined(importances: Sequence[Importance]) -> Array:
    """Put the sums of several outputs beside each other: (GROUPS, outputs x (1 + M))."""
    return np.concatenate([one.buckets for one in importances], axis=1)


def sums_by_block(
    outputs: Sequence[NDArray[np.float32]], time_us: NDArray[np.int64] | None, block: timedelta
) -> Array | None:
    """Add the rows of several outputs, (N, M) each, up by block of time; None without times."""
    if (blocks := time_blocks(time_us, block)) is None:
        return None
    kept, index, count = blocks
    columns = np.concatenate([_columns(rows[kept]) for rows in outputs], axis=1)
    return add_up(columns, index, count)


def _columns(rows: NDArray[np.float32]) -> Array:
    return np.column_stack([np.ones(len(rows)), np.abs(rows.astype(np.float64))])
