"""Violations and judged features, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from textwrap import shorten
from typing import Literal

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.significance import blame
from driftline.stats.distances.units import UnitChange

Severity = Literal["page", "ticket"]
_HIDDEN = '"…"'
_MARK = "\0"
DRIFT_CHECK = "baseline_drift_check"
# Days differ from what hour, weekday and season lead to expect.
DAY_CHECK = "day_drift_check"
# Stands in the place of a feature's name.
MISSING_COLUMNS = "Missing columns"
# Columns that differ from a reference without times, before its first windows are over.
BASELINE_FIT_CHECK = "baseline_fit_check"
# Characters of what a prompt or a log shows of an object.
REPR_WIDTH = 200
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


# The loss whose mean is a share of rows: those answered wrong.
ERROR_SHARE = "error"
# Before a rate of which nothing earlier is known.
NOW = "now "


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """A segment's part of a change.

    Rates are of rows that meet the violation's condition, 0-1; of model quality, mean losses.
    """

    share: float  # Of the change, 0-1.
    # Rates in the segment and beside it, in the reference (None: not known) and in the window.
    before: float | None
    now: float
    before_elsewhere: float | None
    now_elsewhere: float
    is_all: bool = False  # Whether nothing changed elsewhere, but for chance.
    is_loss: bool = False  # Whether rows that meet the condition became fewer.
    # Where the segment merely grew: its share of the reference's rows.
    grew_from: float | None = None
    loss: str = ""  # The loss whose mean the rates are, such as ``Brier score``.

    @property
    def what(self) -> str:
        """What changed: ``increase``, ``decrease`` or ``added loss``."""
        return "added loss" if self.loss else "decrease" if self.is_loss else "increase"

    def span(self, before: float | None, now: float) -> str:
        """Return two rates in words: ``from 2% to 12%``; ``now 12%`` where the first is None."""
        if before is None:
            return f"{NOW}{percent(now)}"
        if self.loss in ("", ERROR_SHARE):
            return f"from {percent(before)} to {percent(now)}"
        return f"from {before:.3g} to {now:.3g}"


@dataclass(frozen=True, slots=True)
class Segment:
    """The segment in which a violation's rows are concentrated."""

    # All that its rows meet: a level, some levels, a range, or two of these.
    conditions: tuple[Predicate, ...]
    share_of_culprits: float  # Share of the rows behind the violation that lie in it, 0-1.
    share_of_rows: float  # Share of all rows that lie in it, 0-1.
    change: SegmentChange | None = None  # None where it was not measured.

    @property
    def column(self) -> str:
        """The column of the first condition."""
        return self.conditions[0].column

    @property
    def level(self) -> str:
        """The value of the first condition, or its words where it has not one text."""
        first = self.conditions[0]
        return first.value if isinstance(first.value, str) else first.phrase

    @property
    def words(self) -> str:
        """The segment in words: ``carrier = "UA" and origin = "EWR"``."""
        return " and ".join(
            f"{one.column} = " + " or ".join(f'"{level}"' for level in one.values)
            if one.op == "in" else str(one)
            for one in self.conditions
        )  # fmt: skip

    @property
    def texts(self) -> tuple[str, ...]:
        """The values of rows quoted in the words."""
        return tuple(text for condition in self.conditions for text in _texts_of(condition))

    def __str__(self) -> str:
        rows, change = f"{percent(self.share_of_rows)} of all rows", self.change
        if change is None:
            return f"{self.words} holds {percent(self.share_of_culprits)} of them ({rows})"
        if change.grew_from is not None and not self.share_of_rows:
            return f"because {self.words} is gone ({percent(change.grew_from)} of rows before)"
        if change.grew_from is not None:
            verb = "grew" if self.share_of_rows > change.grew_from else "shrank"
            span = f"from {percent(change.grew_from)} to {percent(self.share_of_rows)}"
            return f"because {self.words} {verb} {span} of rows, nothing changed within it"
        there = f"{change.span(change.before, change.now)} there"
        there = " ".join(one for one in (change.loss, there) if one)
        if change.is_all:
            where = f"{self.words} ({there})" if change.loss else f"{self.words} ({rows}, {there})"
            return f"all of the {change.what} where {where}, nothing changed elsewhere"
        beside = change.span(change.before_elsewhere, change.now_elsewhere).removeprefix(NOW)
        share = percent(change.share)
        return f"{share} of the {change.what} where {self.words} ({there}, {beside} elsewhere)"

    def counted(self, rows: int, matching: int, inside: int, both: int) -> Segment:
        """Return it with shares of other rows: all, those that match, those inside, and both."""
        change = self.change and replace(
            self.change,
            now=both / max(inside, 1),
            now_elsewhere=(matching - both) / max(rows - inside, 1),
        )
        return replace(
            self,
            share_of_culprits=both / max(matching, 1),
            share_of_rows=inside / max(rows, 1),
            change=change,
        )

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        found: dict[str, JsonValue] = {
            "column": self.column,
            "level": self.level,
            "share_of_culprits": self.share_of_culprits,
            "share_of_rows": self.share_of_rows,
        }
        if self.change is not None:
            found["change"] = {**asdict(self.change)}
        found["conditions"] = [condition.to_dict() for condition in self.conditions]
        return {**found, "text": str(self)}


@dataclass(frozen=True, slots=True)
class Onset:
    """The time span of a fault."""

    # First block of it, aware UTC; None when it was there from the first row on.
    start: datetime | None
    # Where it ended, aware UTC; None when it lasts to the end of what was seen.
    end: datetime | None
    # Of the rows inside and outside of the span, those that are guilty, 0-1.
    share_inside: float
    share_outside: float

    def __str__(self) -> str:
        first = "" if self.start is None else f"{self.start:%Y-%m-%d %H:%M}"
        if self.end is None:
            return f"since {first} UTC"
        last = f"{self.end:%Y-%m-%d %H:%M} UTC"
        if self.start is None:
            return f"until {last}"
        if self.start.date() == self.end.date():
            last = f"{self.end:%H:%M} UTC"
        return f"from {first} to {last}"

    def to_dict(self) -> dict[str, str | float | None]:
        """Return plain JSON values in a fixed order; times in ISO 8601."""
        return {
            "start": None if self.start is None else self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
            "share_inside": self.share_inside,
            "share_outside": self.share_outside,
            "text": str(self),
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """The kind of fault recognised in a column's values."""

    kind: str  # Such as ``columns_exchanged``.
    text: str  # What it says, for the sentence of the violation.
    columns: tuple[str, ...] = ()  # All that have a part in it, where these are several.

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {"kind": self.kind, "columns": list(self.columns), "text": self.text}


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint that the data break.

    Parameters
    ----------
    feature_name, constraint_check_type, description
        SageMaker's three fields, its texts. Of other kinds than data quality, `feature_name` is
        what is violated in words, such as "auc" or "sex = Female: DPPL".
    severity
        "page": cannot be a season (type, missing column, gaps, unseen values, change of unit);
        "ticket": a shift within what the reference knows.
    ratio
        Distance over bound, above 1; None for checks without a distance.
    share_of_blame
        This feature's share of all evidence, 0-1; the violations of one feature carry the same. Of
        a segment that was judged on its own: within it, times its share of the rows.
    predicate
        The condition that the rows behind the violation meet; None when no row is behind it.
    row_count
        How many rows of this window meet it; of windows judged together, those of the last.
    cause
        What happened, in words, without the feature's name.
    segment
        Where those rows are concentrated, if they are; of a segment that was judged on its own,
        that one.
    unit
        The change of unit that would explain them, if one would.
    fault
        What kind of fault it is, where the values say so.
    values
        The most frequent values of a text column among those rows, at most three.
    first_rows
        Pointers to the first of them: event id and row index, or the row's number from 0.
    onset
        The span of time in which it happened, if it was not there all the while.
    first_window
        When the window began in which a monitor told the same cause first; None: it is news.
    within
        The segment that was judged on its own, in words such as ``origin = "EWR"``; "": all rows.
    fields
        SageMaker's fields where a kind has others than the three, such as ``metric_name``.
    kind
        Of the monitor, where violations of several kinds stand together; else "".
    """

    feature_name: str
    constraint_check_type: str
    description: str
    severity: Severity = "page"
    ratio: float | None = None
    share_of_blame: float = 0.0
    predicate: Condition | None = None
    row_count: int = 0
    cause: str = ""
    segment: Segment | None = None
    unit: UnitChange | None = None
    fault: Fault | None = None
    values: tuple[str, ...] = ()
    first_rows: tuple[Mapping[str, str | int], ...] = ()
    fields: Mapping[str, str] | None = None
    within: str = ""
    onset: Onset | None = None
    first_window: datetime | None = None
    kind: str = ""

    @property
    def document(self) -> dict[str, str]:
        """The entry of constraint_violations.json, in the fields of the kind."""
        if self.fields is not None:
            return dict(self.fields)
        found = {
            "feature_name": self.feature_name,
            "constraint_check_type": self.constraint_check_type,
            "description": self.description,
        }
        # A key of ours, which SageMaker's readers do not look for.
        return {**found, "segment": self.within} if self.within else found

    @property
    def words(self) -> str:
        """The cause, or the document's own text."""
        return self.cause or self.description

    @property
    def named(self) -> str:
        """The finding with its metric."""
        is_named = self.feature_name in self.words
        return self.words if is_named else f"{self.feature_name}: {self.words}"

    @property
    def is_ticket(self) -> bool:
        """Whether it is less grave than a page."""
        return self.severity != "page"

    @property
    def brief(self) -> str:
        """The finding without the location of its rows."""
        return self.words.removesuffix(f", {self.segment}" if self.segment else "")

    @property
    def plain_cause(self) -> str:
        """The cause without values of rows, for those who may not read them."""
        own = () if self.segment is None else self.segment.texts
        return hide_values(self.cause, (*self.values, *own, *_texts_of(self.predicate)))

    def __repr__(self) -> str:
        """Return one line; `to_dict` has everything."""
        what = f"{self.feature_name}: {self.constraint_check_type}, {self.severity}: {self.cause}"
        what = f"{self.kind}: {what}" if self.kind else what
        return f"<Violation {shorten(what, REPR_WIDTH, placeholder=' …')}>"

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {
            "feature_name": self.feature_name,
            "constraint_check_type": self.constraint_check_type,
            "description": self.description,
            "severity": self.severity,
            "ratio": self.ratio,
            "share_of_blame": self.share_of_blame,
            "cause": self.cause,
            "segment": None if self.segment is None else self.segment.to_dict(),
            "onset": None if self.onset is None else {**self.onset.to_dict()},
            "within": self.within,
            "first_window": None if self.first_window is None else self.first_window.isoformat(),
            "unit": None if self.unit is None else asdict(self.unit),
            "fault": None if self.fault is None else self.fault.to_dict(),
            "values": list(self.values),
            "predicate": None if self.predicate is None else self.predicate.to_dict(),
            "row_count": self.row_count,
            "first_rows": [dict(row) for row in self.first_rows],
        }


@dataclass(frozen=True, slots=True)
class Draft:
    """A violation before its rows are known."""

    # SageMaker's three fields.
    feature: str
    check: str
    description: str
    what: str  # What happened, in words, without the feature's name.
    # The rows behind it, and their share in the reference, 0-1.
    predicate: Condition | None = None
    share_reference: float = 0.0
    ratio: float | None = None  # Distance over bound, for drift.
    share: float = 1.0  # Share of the window's rows that are at fault, 0-1.
    surprising: bool = True  # Whether so many cannot be chance, by the monitor's budget.
    unit: UnitChange | None = None  # The changed unit that would explain it.
    fault: Fault | None = None  # The kind of fault that its values show.
    # How grave it is, where that is known already; None leaves it to what is found.
    severity: Severity | None = None
    # When the first window begins, where it took more than the judged one to find it.
    since: datetime | None = None


def share_blame(violations: Iterable[tuple[Violation, float]]) -> tuple[Violation, ...]:
    """Share contributions among features by their evidence beyond the critical value, in nats."""
    pairs = list(violations)
    excess: dict[str, float] = {}
    for one, nats in pairs:
        excess[one.feature_name] = max(excess.get(one.feature_name, 0.0), nats)
    shares = blame(excess)
    shared = (replace(one, share_of_blame=shares[one.feature_name]) for one, _ in pairs)
    return tuple(sorted(shared, key=lambda one: -one.share_of_blame))


def hide_values(text: str, known: Iterable[str] = ()) -> str:
    """Remove quoted values of rows from a whole sentence.

    Values may hold quotes themselves, so pairs of quotes prove nothing. Known values are removed as
    they are; with any other quote left, everything from the first to the last quote is removed.
    """
    left = text
    for value in sorted(set(known), key=len, reverse=True):
        left = left.replace(f'"{value}"', _MARK)
    if '"' not in left:
        return left.replace(_MARK, _HIDDEN)
    start, end = text.index('"'), text.rindex('"')
    return text[:start] + _HIDDEN + (text[end + 1 :] if end > start else "")


def _texts_of(condition: Condition | None) -> Iterator[str]:
    while isinstance(condition, Predicate):
        yield from condition.values
        if isinstance(condition.value, str):
            yield condition.value
        condition = condition.within


def percent(share: float) -> str:
    """Write a share for people: ``33.1%``, ``100%``, ``0%``; never rounds a trace to 0."""
    if 0 < share < 0.0005:
        return "under 0.1%"
    return f"{round(100 * share, 1):g}%"


def plural(count: int, noun: str) -> str:
    """Write a number with its noun: ``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
