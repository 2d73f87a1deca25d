"""Whether a number of a window was judged, and if not, why."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What became of a number: judged, only shown, or not judged for a reason."""

    JUDGED = "judged"
    # Of a column that varies too much for the distance of a window, but whose days are judged.
    BY_DAYS = "judged_by_days"
    SHOWN = "shown"  # Nobody asked for a verdict.
    ABSENT = "not_in_the_data"
    NO_REFERENCE = "no_reference"
    # From here on a verdict was asked for, and there is none.
    INSUFFICIENT = "insufficient_data"
    LACKING = "column_missing"  # The reference has the column, the data lack it.
    UNDEFINED = "undefined"  # There is no value, here or in the reference.
    TOO_VARIABLE = "too_variable"  # No value could be a violation.
    # Of a column whose values are judged: no rise of its empty ones could be a violation.
    TOO_VARIABLE_GAPS = "too_variable_gaps"
    NO_TIMES = "no_times"
    UNCOUNTED = "uncounted_values"
    UNFAIR_LABELS = "unrepresentative_labels"

    @property
    def words(self) -> str:
        """The state for people; "" where the reason beside it says all."""
        return WORDS[self]

    @property
    def is_unjudged(self) -> bool:
        """Whether a verdict was asked for that could not be given."""
        return self in UNJUDGED

    @property
    def is_absent(self) -> bool:
        """Whether the data lack the column."""
        return self in (State.ABSENT, State.LACKING)


WORDS = {
    State.JUDGED: "",
    State.BY_DAYS: "judged by its days, as a window alone varies too much",
    State.SHOWN: "",
    State.ABSENT: "not in the data",
    State.NO_REFERENCE: "not in the baseline",
    State.INSUFFICIENT: "too few rows",
    State.LACKING: "not in the data",
    State.UNDEFINED: "",
    State.TOO_VARIABLE: "varies too much",
    State.TOO_VARIABLE_GAPS: "the share of empty values varies too much",
    State.NO_TIMES: "the reference has no times, and the first 14 windows and days are not over",
    State.UNCOUNTED: "most of its values are too rare to be counted one by one",
    State.UNFAIR_LABELS: "labels so far are not a representative sample",
}
UNJUDGED = frozenset(
    {
        *(State.INSUFFICIENT, State.UNDEFINED, State.TOO_VARIABLE, State.TOO_VARIABLE_GAPS),
        *(State.NO_TIMES, State.UNCOUNTED, State.UNFAIR_LABELS, State.LACKING),
    }
)


def reason_words(state: State, why: str) -> str:
    """Return in words why there is no verdict, or no interval; "" where nothing lacks."""
    if " " not in why:  # Clarify's reasons, such as "no_rows_in_group".
        why = why.replace("_", " ")
    return ": ".join(filter(None, (state.words, why)))
