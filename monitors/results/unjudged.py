"""Names what a check could not judge: columns or numbers, the reason, and what would help.

Features, predictions and probabilities are judged or named here, and each number with a bound.
Labels are not needed by data quality. Ids, times, excluded columns and row origins (file, batch,
key) identify a row and have no distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from textwrap import shorten

from driftline.monitors.results.feature import DESCRIBED, FeatureResult
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import JsonValue, plural
from driftline.monitors.state import State, reason_words

CHECKED = "types and ranges were checked"
"""What holds for a column all the same."""

# So many names are told; of more, how many.
NAMED = 3
# A first line has room for so much of a reason; all of it is told below.
LONGEST_HELP = 96


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A column, or a number of another kind, without a verdict."""

    name: str
    state: State
    why: str = ""  # In more words, or what would help.

    @property
    def words(self) -> str:
        """Why there is no verdict, and what would help."""
        return reason_words(self.state, self.why)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return asdict(self)


def unjudged(
    metrics: Iterable[Measured] = (), columns: Iterable[FeatureResult] = ()
) -> tuple[Unjudged, ...]:
    """Return the numbers and the columns of which a verdict was asked for, and none was given."""
    numbers = (Unjudged(one.shown, one.state, one.why) for one in metrics)
    compared = (
        Unjudged(one.feature, one.state, one.why) for one in columns if one.role not in DESCRIBED
    )
    return tuple(one for one in (*numbers, *compared) if one.state.is_unjudged)


def unjudged_sentence(unjudged: Sequence[Unjudged], noun: str = "column") -> str:
    """Return what was not judged, grouped by reason, and what would help; "" for nothing.

    For columns that the data have it adds what was checked nevertheless.
    """
    groups: dict[Unjudged, list[str]] = {}
    for one in unjudged:
        groups.setdefault(replace(one, name=""), []).append(one.name)
    found: list[str] = []
    missing: list[str] = []
    for one, names in groups.items():
        is_gap, is_lacking = one.state == State.TOO_VARIABLE_GAPS, one.state == State.LACKING
        is_there = noun == "column" and not is_lacking
        what = ("empty values of " if is_gap else "drift of ") if is_there else ""
        told = missing if is_lacking else found
        told.append(f"{what}{_named(names)} could not be judged ({one.words})")
    checked = [f"their {CHECKED}"] if found and noun == "column" else []
    return "; ".join([*found, *checked, *missing])


def _named(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED:,} more" * (len(names) > NAMED)


def unjudged_count_line(unjudged: Sequence[Unjudged], judged_count: int, noun: str) -> str:
    """Return the number of unjudged columns or metrics, with the best remedy; "" for none."""
    if not unjudged:
        return ""
    whole = plural(judged_count + len(unjudged), noun)
    return f"{len(unjudged):,} of {whole} could not be judged ({main_help(unjudged)})"


def main_help(unjudged: Sequence[Unjudged]) -> str:
    """Return the most frequent reason, with what would help if a line has room for it."""
    ((most, _),) = Counter(replace(one, name="") for one in unjudged).most_common(1)
    if len(most.words) <= LONGEST_HELP:
        return most.words
    return most.state.words or shorten(most.words, LONGEST_HELP, placeholder=" …")
