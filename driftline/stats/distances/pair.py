"""Reference and window of one column, brought together once for every distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from driftline.stats.distances.bins import Bins, bins_of
from driftline.stats.distances.counts import EmptyDistributionError
from driftline.stats.distances.curves import Curves
from driftline.stats.distances.sample import Sample, SampleKind


@dataclass(frozen=True)
class Pair:
    """Two sides of one kind.

    Parameters
    ----------
    reference, window
        What is taken as good, and what is compared with it; levels with the codes of both.
    """

    reference: Sample
    window: Sample

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
