"""One line of the table of segments: what one value of a column came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from driftline.monitors.results.violation import FeatureResult, JsonValue


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """One line of the table of segments.

    Parameters
    ----------
    name
        In words: ``origin = "EWR"``.
    column, level
        Which: the level is a value, "other" or "empty".
    row_count, share_of_rows, reference_count
        Its rows, their share of all, 0-1, and its rows in the reference.
    violation_count
        How many violations it has.
    max_drift_ratio
        Largest distance over its bound; None when no drift was judged.
    note
        "no_reference" or "insufficient_data"; "" when drift was judged.
    results
        One line for each column.
    """

    name: str
    column: str
    level: str
    row_count: int
    share_of_rows: float
    reference_count: int
    violation_count: int
    max_drift_ratio: float | None
    note: str
    results: tuple[FeatureResult, ...]

    def to_dict(self) -> dict[str, JsonValue]:
        """Give plain JSON values in a fixed order."""
        found: dict[str, JsonValue] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "results"
        }
        found["features"] = [{**asdict(one), "ratio": one.ratio} for one in self.results]
        return found
