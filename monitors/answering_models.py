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
    models: frozenset[str]  # Their digests.
    # When the change to them began: baselines made from then on are theirs. None: at `since`.
    begun: datetime | None = None


def answered_in(served: Sequence[Served], window: Window) -> list[Served]:
    """Return which models answered in a window, as far as that is known."""
    ends = [*(one.since for one in served[1:]), window.end]
    return [
        one
        for one, end in zip(served, ends, strict=False)
        if one.since < window.end and end > window.start
    ]


def are_known(answered: Sequence[Served], known: Sequence[Served]) -> bool:
    """Whether what was learnt while some models answered holds of those that answered then."""
    return all(one.models <= each.models for one in answered for each in known)


def known_from(served: Sequence[Served], answered: Sequence[Served]) -> datetime | None:
    """Return from when on anything may hold of models that answered; None: at any time.

    Nothing but their own window where no other ever was of all of them.
    """
    if not answered:
        return None
    return min((one.since for one in served if are_known(answered, [one])), default=None) or max(
        one.since for one in answered
    )
