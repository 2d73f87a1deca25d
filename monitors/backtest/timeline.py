"""A row of windows as few marks: where each rule alarms, for a line of text or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["loudness", "strip"]

# No window, none alarms, some do, all do.
SIGNS, PLAIN_SIGNS = " ·▪█", " .+#"


def loudness(flags: Sequence[bool], places: int) -> list[float]:
    """Share the windows out among places, in order: the share that alarms in each.

    Parameters
    ----------
    flags
        For each window whether it alarms.
    places
        How many places there are; with fewer windows, one each.
    """
    count, width = len(flags), min(places, len(flags))
    cuts = [count * at // width for at in range(width + 1)] if width else []
    return [sum(flags[low:high]) / (high - low) for low, high in pairwise(cuts)]


def strip(flags: Sequence[bool], places: int, *, plain: bool = False) -> str:
    """Draw the windows as one line of signs: a dot for quiet ones, a block for alarms."""
    signs = PLAIN_SIGNS if plain else SIGNS
    return "".join(
        signs[1] if not share else signs[3] if share == 1 else signs[2]
        for share in loudness(flags, places)
    )
