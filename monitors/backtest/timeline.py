"""A backtest's alarms as a short timeline, for text or a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# Whether a window alarms; None: it could not be judged.
Flag = bool | None
# None alarms, some do, all do, none could be judged.
SIGNS, PLAIN_SIGNS = ("·", "▪", "█", "?"), (".", "+", "#", "?")


def is_judged(window: Mapping[str, Any]) -> bool:
    """Whether any column of a window of `Backtest.as_dict` could have alarmed."""
    return window["state"] in ("alarm", "quiet")


def alarm_flags(found: Mapping[str, Any]) -> list[Flag]:
    """Return which windows of `Backtest.as_dict` alarm."""
    return [bool(one["alarms"]) if is_judged(one) else None for one in found["windows"]]


def loudness(flags: Sequence[Flag], places: int) -> list[float | None]:
    """Distribute the windows over slots, in order."""
    found: list[float | None] = []
    for low, high in pairwise(_cuts(len(flags), places)):
        judged = [flag for flag in flags[low:high] if flag is not None]
        found.append(sum(judged) / len(judged) if judged else None)
    return found


def strip(flags: Sequence[Flag], places: int, *, plain: bool = False) -> str:
    """Draw the windows as one line of characters, which `legend` explains."""
    quiet, some, every, unjudged = PLAIN_SIGNS if plain else SIGNS
    return "".join(
        unjudged if share is None else quiet if not share else every if share == 1 else some
        for share in loudness(flags, places)
    )


def legend(flags: Sequence[Flag], places: int, *, plain: bool = False) -> str:
    """Return the meaning of the characters of `strip`."""
    quiet, some, every, unjudged = PLAIN_SIGNS if plain else SIGNS
    sizes = sorted({high - low for low, high in pairwise(_cuts(len(flags), places))})
    is_folded = sizes[-1:] > [1]
    signs = [f"{quiet} quiet", f"{every} alarm"]
    if is_folded:
        signs = [f"{quiet} quiet", f"{some} some alarm", f"{every} all alarm"]
    if None in flags:
        signs.append(f"{unjudged} not judged")
    span = " or ".join(f"{size:,}" for size in sizes)
    return f"one sign is {span} window{'s' * is_folded}: {', '.join(signs)}"


def _cuts(count: int, places: int) -> list[int]:
    """Return the slots' starts, and the end of the last one."""
    width = min(places, count)
    return [count * at // width for at in range(width + 1)] if width else []
