"""Names what a check could not judge: columns or numbers, the reason, and what would help.

Features, predictions and probabilities are judged or named here, and each number with a bound.
Labels are not needed by data quality. Ids, times, excluded columns and row origins (file, batch,
key) identify a row and have no distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

from driftline.monitors.drift_test.detectability import UNDECIDABLE, UNDECIDABLE_GAPS
from driftline.monitors.results.metric import (
    CANNOT_ESTIMATE,
    INSUFFICIENT,
    TOO_VARIABLE,
    UNDEFINED,
    UNFAIR_LABELS,
    MetricResult,
)
from driftline.monitors.results.violation import FeatureResult, JsonValue, plural

# Roles of columns that are described, but whose values need not be judged.
DESCRIBED = frozenset({"label", "id", "timestamp", "excluded", "weight"})
NO_TIMES = "no_times"
"""Of a column whose reference has no times, while it is unknown how much windows vary."""
UNCOUNTED = "uncounted_values"
"""Of a column of texts whose values are too many to tell that one has become frequent."""
REASONS: Mapping[str, str] = {
    INSUFFICIENT: "too few rows",
    NO_TIMES: "the reference has no times, and the first 14 windows and days are not over",
    UNCOUNTED: "most of its values are too rare to be counted one by one",
    UNDECIDABLE: "the reference varies too much",
    UNDECIDABLE_GAPS: "the reference's share of empty values varies too much",
    TOO_VARIABLE.removesuffix(": "): "too variable",
    UNFAIR_LABELS.removesuffix(": "): "labels so far are not a representative sample",
}
CHECKED = "types and ranges were checked"
"""What holds for a column all the same."""

# So many names are told; of more, how many.
NAMED = 3
# A first line has room for so much of what would help; all of it is told below.
LONGEST_HELP = 48
DOES = " would do"


def note_words(note: str) -> str:
    """Return the displayed note of a metric: its kind in words, then its details."""
    kind, separator, rest = note.partition(": ")
    if " " not in rest:  # Clarify's reasons, such as "no_rows_in_group".
        rest = rest.replace("_", " ")
    return f"{REASONS.get(kind, kind)}{separator}{rest}"


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A column, or a number of another kind, without a verdict."""

    name: str
    reason: str  # A key of `REASONS`, or "undefined: …".
    remedy: str = ""  # What would help; "" when it is not known.

    @property
    def words(self) -> str:
        """The reason and the remedy."""
        why = note_words(self.reason).removeprefix(UNDEFINED)
        return f"{why}: {self.remedy}" if self.remedy else why

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {"name": self.name, "reason": self.reason, "remedy": self.remedy}


def unjudged_columns(results: Iterable[FeatureResult]) -> tuple[Unjudged, ...]:
    """Return the columns whose values were not compared with the reference's."""
    return tuple(
        Unjudged(one.feature, one.note, one.remedy)
        for one in results
        if one.note in REASONS and one.role not in DESCRIBED
    )


def unjudged_metrics(metrics: Iterable[MetricResult]) -> tuple[Unjudged, ...]:
    """Return the numbers without a verdict.

    They have too few rows, unfair labels, no value, or a bound that nothing could exceed.
    """
    found = []
    for one in metrics:
        told = next(
            (kind for kind in (TOO_VARIABLE, UNFAIR_LABELS) if one.note.startswith(kind)), ""
        )
        if told:
            remedy = one.note.removeprefix(told)
            found.append(Unjudged(one.shown, told.removesuffix(": "), remedy))
        elif one.note.startswith((INSUFFICIENT, CANNOT_ESTIMATE)) or (
            one.operator and one.note.startswith(UNDEFINED)
        ):
            found.append(Unjudged(one.shown, one.note))
    return tuple(found)


def unjudged_sentence(unjudged: Sequence[Unjudged], noun: str = "column") -> str:
    """Return what was not judged, grouped by reason, and what would help; "" for nothing.

    For columns it adds what was checked nevertheless.
    """
    groups: dict[str, list[str]] = {}
    for one in unjudged:
        groups.setdefault(one.words, []).append(one.name)
    parts = []
    for words, names in groups.items():
        shown = _named(names)
        is_gap = words.startswith(REASONS[UNDECIDABLE_GAPS])
        what = ("empty values of " if is_gap else "drift of ") if noun == "column" else ""
        parts.append(f"{what}{shown} could not be judged ({words})")
    checked = f"; their {CHECKED}" * (noun == "column")
    return "; ".join(parts) + checked * bool(parts)


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
    """Return, in a few words, the most frequent remedy, or else the reason."""
    often = Counter((one.remedy, one.reason) for one in unjudged)
    ((remedy, reason), _) = often.most_common(1)[0]
    if 0 < len(remedy) <= LONGEST_HELP:
        return remedy if remedy.endswith(DOES) else remedy + DOES
    return shorten(note_words(reason).removeprefix(UNDEFINED), 2 * LONGEST_HELP, placeholder=" …")
