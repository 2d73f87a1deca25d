"""statistics.json: a profile as SageMaker's document, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.errors import InputError
from driftline.formats.json.jackson import read_json, to_jackson

BUCKETS = 10
# Deequ's default; the analyzer's own number is not published.
CATEGORICAL_CAP = 120


class Statistics(Mapping[str, Any]):
    """A statistics document, readable like a dict; written in the analyzer's layout.

    Parameters
    ----------
    document
        As in the file; keys that we do not know survive.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        features = document.get("features")
        if not isinstance(features, list) or not all(
            isinstance(entry, Mapping) and isinstance(entry.get("name"), str) for entry in features
        ):
            raise InputError('statistics: expected an object with a list "features" of named ones')
        dataset = document.get("dataset", {})
        rows = dataset.get("item_count", 0) if isinstance(dataset, Mapping) else None
        if not isinstance(rows, int | float) or not 0 <= rows < math.inf:
            raise InputError('statistics: "dataset" tells no "item_count" of 0 or more rows')
        self._document = dict(document)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  # JSON values of any kind.
        return self._document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def to_json(self) -> str:
        """Write the document in the analyzer's layout, without newline at the end."""
        return to_jackson(self._document)

    @property
    def item_count(self) -> int:
        """Number of rows; 0 when the document does not say."""
        return int(self._document.get("dataset", {}).get("item_count", 0))

    @property
    def features(self) -> dict[str, Mapping[str, Any]]:
        """The features' blocks by name, in the document's order."""
        return {entry["name"]: entry for entry in self._document["features"]}

    @classmethod
    def from_json(cls, text: str | bytes) -> Statistics:
        """Read JSON text, in whatever layout."""
        found = read_json(text, "statistics")
        if not isinstance(found, dict):
            raise InputError('statistics: expected an object with a list "features"')
        return cls(found)

    @classmethod
    def from_profile(cls, profile: Profile) -> Statistics:
        """Write a profile as a document."""
        return cls(
            {
                "version": 0.0,
                "dataset": {"item_count": profile.row_count},
                "features": [_feature(column) for column in profile.columns.values()],
            }
        )


def _feature(column: ColumnProfile) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "inferred_type": column.inferred_type}
    common = {"num_present": column.present_count, "num_missing": column.missing_count}
    if column.is_number and column.moments.count:
        found["numerical_statistics"] = _numerical(column, common)
    elif not column.is_number and column.present_count:
        found["string_statistics"] = _string(column, common)
    return found


def _numerical(column: ColumnProfile, common: Mapping[str, int]) -> dict[str, Any]:
    moments, sketch = column.moments, column.sketch
    return {
        "common": common,
        "mean": _finite(moments.mean),
        "sum": _finite(moments.total),
        "std_dev": _finite(moments.deviation),
        "min": moments.minimum,
        "max": moments.maximum,
        "distribution": {
            "kll": {
                "buckets": _buckets(column),
                "sketch": {
                    "parameters": {"c": sketch.shrinking, "k": float(sketch.items)},
                    "data": [level.tolist() for level in sketch.levels],
                },
            }
        },
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else "NaN"


def _buckets(column: ColumnProfile) -> list[dict[str, float]]:
    """Cut [min, max] into ten equal parts; the last one includes its upper end."""
    low, high = column.moments.minimum, column.moments.maximum
    bounds = [low + (high - low) * i / BUCKETS for i in range(BUCKETS + 1)]
    ranks = column.sketch.ranks(np.asarray(bounds), inclusive=False)
    ranks[-1] = column.sketch.count
    counts = np.diff(ranks).tolist()
    return [
        {"lower_bound": bounds[i], "upper_bound": bounds[i + 1], "count": counts[i]}
        for i in range(BUCKETS)
    ]


def _string(column: ColumnProfile, common: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"common": common, "distinct_count": float(column.distinct_count)}
    levels = column.levels
    if levels.is_exact and 0 < len(levels.values) <= CATEGORICAL_CAP:
        buckets = [{"value": value, "count": count} for value, count in levels.ranked()]
        found["distribution"] = {"categorical": {"buckets": buckets}}
    return found
