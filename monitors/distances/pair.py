"""Reference and window of one column, brought together once for every distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.errors import InputError
from driftline.monitors.distances.bins import Bins, bins_of
from driftline.monitors.distances.counts import EmptyDistributionError
from driftline.monitors.distances.curves import Curves
from driftline.monitors.distances.sample import Sample, SampleKind, sample_of


@dataclass(frozen=True)
class Pair:
    """Two sides of one kind.

    Parameters
    ----------
    reference, window
        What is taken as good, and what is compared with it.
    """

    reference: Sample
    window: Sample

    @classmethod
    def of(cls, reference: object, window: object) -> Pair:
        """Take two columns: rows, or their profiles; see `sample_of`.

        Rows are counted on the cells of the other side's profile, so that both fit.

        Raises
        ------
        InputError
            When a side is no column, or one holds numbers and the other texts.
        """
        first = sample_of(reference, "reference", cells=_cells_of(window))
        second = sample_of(window, "window", cells=_cells_of(reference))
        if None not in (first.kind, second.kind) and first.kind != second.kind:
            raise InputError(
                f"reference holds {_words(first)} and the window {_words(second)}; expected "
                "columns of the same type"
            )
        return cls(first, second)

    @property
    def kind(self) -> SampleKind | None:
        """What both sides hold; None when neither holds anything."""
        return self.reference.kind or self.window.kind

    @cached_property
    def curves(self) -> Curves:
        """Both cumulative distributions.

        Raises
        ------
        EmptyDistributionError
            When a side holds no finite number.
        """
        first, second = self.reference.numbers, self.window.numbers
        if first is None or second is None or not first.count or not second.count:
            raise EmptyDistributionError("distance of no numbers; expected some on both sides")
        return Curves.of(first, second)

    @cached_property
    def bins(self) -> Bins:
        """Both sides on common bins.

        Raises
        ------
        EmptyDistributionError
            When a side holds no value.
        """
        return bins_of(self.reference, self.window)


def _cells_of(other: object) -> Cells | None:
    return other.cells if isinstance(other, ColumnProfile) else None


def _words(side: Sample) -> str:
    return "numbers" if side.kind == "numbers" else "texts or truth values"
