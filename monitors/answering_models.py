"""Which models answered the rows of a window, and whether what is known of some is of others, too.

Variants share an endpoint's callers by weights that may change at any time, so that what is known
of several models together is taken to hold of each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from driftline.capture.windows.window import Window


@dataclass(frozen=True, slots=True)
class Served:
    """Which models an endpoint answered with from a moment on, until the next."""

    since: datetime
    models: frozenset[str]  # Their digests; none before there was the variant that is asked for.
    # When the change to them began: baselines made from then on are theirs. None: at `since`.
    begun: datetime | None = None
    # Those of all variants that callers got; None: the same.
    callers: frozenset[str] | None = None

    @property
    def baselines(self) -> frozenset[str]:
        """What baselines of the time are of: nobody knows of which variant's answers."""
        return self.models if self.callers is None else self.callers


def changes(served: Sequence[Served]) -> list[Served]:
    """Return what was served without lines on which the models that are asked for stay the same."""
    there = [one for one in served if one.models]
    return [
        one
        for before, one in zip([None, *there], there, strict=False)
        if before is None or before.models != one.models
    ]


def answered_in(served: Sequence[Served], window: Window) -> list[Served]:
    """Return which models answered in a window, as far as that is known, the first one first."""
    ends = [*(one.since for one in served[1:]), window.end]
    return [
        one
        for one, end in zip(served, ends, strict=False)
        if one.since < window.end and end > window.start
    ]


def are_known(answered: Sequence[Served], known: Sequence[frozenset[str]]) -> bool:
    """Whether what was learnt of some models, time after time, holds of those that answered."""
    return all(one.models <= models for one in answered for models in known)
