"""Judged columns, of all rows and of segments: one line of a table each."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from driftline.monitors.results.violation import JsonValue, percent
from driftline.monitors.state import State, reason_words

# Roles of columns that are described, but whose values need not be judged.
DESCRIBED = frozenset({"label", "id", "timestamp", "excluded", "weight"})


@dataclass(frozen=True, slots=True)
class FeatureResult:
    """One line of the table of features: distance and bound."""

    # From the signature.
    feature: str
    type: str = ""
    role: str = ""
    # Rows of the window, those without a value, those whose value does not fit the type.
    row_count: int = 0
    missing_count: int = 0
    unfit_count: int = 0
    # The strongest set of rows: |share - reference share|, where a violation begins, and the chance
    # of so much in any set without drift; None when drift was not judged. Of a column whose
    # constraints name a distance: that distance and its limit.
    distance: float | None = None
    bound: float | None = None
    p_value: float | None = None
    method: str = ""  # The distance that decided, such as ``wasserstein``; "" for the drift test.
    set: str | None = None  # That set in words, such as ``below 12.3``; None: none moved.
    # Its shares, and the 95% interval of the window's.
    share_reference: float | None = None
    share_window: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    # How many windows, this one the last, the distance and ``share_window`` are of, all rows
    # together; and this window's own share. None where no set moved, or an older version wrote it.
    window_count: int | None = None
    share_alone: float | None = None
    # How many times more it varies from window to window than independent rows would.
    design_effect: float | None = None
    # PSI (nats) and Jensen-Shannon distance (base 2) over the cells, corrected for sample size.
    stability: float | None = None
    jensen_shannon: float | None = None
    share_of_blame: float = 0.0  # 0-1; 0 without a violation.
    # How far a column that drifted lies from its reference: numbers as share and in robust sd of
    # the reference, texts as share.
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    total_variation: float | None = None
    # The same in words, of numbers, such as ``about 0.25 sd higher``; "" without drift.
    change: str = ""
    state: State = State.JUDGED
    # Why it was not judged, or what would help, such as a longer reference.
    why: str = ""

    @property
    def judged(self) -> bool:
        """Whether its values were compared, and could have been a violation."""
        is_judged = self.state in (State.JUDGED, State.BY_DAYS, State.TOO_VARIABLE_GAPS)
        return is_judged and self.distance is not None

    @property
    def reason(self) -> str:
        """Why it was not judged, in words; "" where nothing lacks."""
        return reason_words(self.state, self.why)

    @property
    def share_now(self) -> float | None:
        """The window's own share of the set, where the document has it."""
        return self.share_window if self.share_alone is None else self.share_alone

    @property
    def pooled(self) -> str:
        """The windows behind the decisive share, in words; "" for this one."""
        if self.share_window is None or self.window_count in (None, 1):
            return ""
        return f"{percent(self.share_window)} of the last {self.window_count} windows"

    @property
    def moved(self) -> str:
        """The change in words: the decisive distance, if named, and the set."""
        evidence = f" ({self.pooled})" if self.pooled else ""
        words = [] if self.set is None else [f"{self.set}{evidence}"]
        if self.method and self.distance is not None and self.bound is not None:
            words.insert(0, distance_words(self.method, self.distance, self.bound))
        return "; ".join(words)

    @property
    def ratio(self) -> float | None:
        """Distance over bound; above 1 is a violation; None when there is none, or no bound."""
        if self.distance is None or not self.bound:
            return None
        return self.distance / self.bound


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """One line of the table of segments."""

    name: str  # ``origin = "EWR"``.
    column: str
    level: str  # A value, "other" or "empty".
    row_count: int
    share_of_rows: float  # 0-1.
    reference_count: int
    violation_count: int
    max_drift_ratio: float | None  # Largest distance over its bound; None when no drift was judged.
    state: State  # Whether its drift was judged.
    results: tuple[FeatureResult, ...]

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        found: dict[str, JsonValue] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "results"
        }
        found["features"] = [{**asdict(result), "ratio": result.ratio} for result in self.results]
        return found


def distance_words(method: str, value: float, bound: float) -> str:
    """Return a distance that decided, with its limit: ``wasserstein 0.62 (limit 0.5)``."""
    return f"{method} {value:.3g} (limit {bound:.3g})"


def column_state(note: str, remedy: str = "") -> tuple[State, str]:
    """Return the state of a column and the reason, by its note: a state, or a reason in words."""
    if note in [*State]:
        state = State(note)
        return state, remedy if state.is_unjudged else ""
    return (State.SHOWN, note) if note else (State.JUDGED, "")
