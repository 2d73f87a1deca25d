"""How often a year's drift is told: the demo's daily windows, by the count that an alarm watches.

The flights of the demo with its planted fault, without server and model, each day judged against
the first quarter as the service does, with what it remembers of the days before. Prints Markdown:
``python bench/one_cause.py > bench/one_cause.md``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from textwrap import shorten

from driftline.app.demo import bug
from driftline.app.demo.flights import (
    EVENT_TIME,
    LABEL,
    YEAR_DAYS,
    YEAR_END,
    Flights,
    load,
)
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.report.report import Report
from driftline.monitors.results.cause_identity import (
    REMEMBERED_WINDOWS,
    lasting_since,
    told_causes,
    with_first_windows,
)
from driftline.monitors.results.violation import DRIFT_CHECK
from driftline.monitors.rows import Rows, WindowFacts

DAY = timedelta(days=1)
EARLIER, CAUSE_WIDTH = 63, 150
RULES = (
    ("drifted_features, 3 of 7", 7, 3), ("drifted_features, 1 of 8", 8, 1),
    ("tickets, 1 of 1", 1, 1), ("new_tickets, 1 of 1", 1, 1), ("new_tickets, 1 of 7", 7, 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What one day's report says."""

    start: datetime
    counts: Mapping[str, int]
    cause: str
    lasting: datetime | None


def year() -> Iterator[Told]:
    """Judge each day of the year."""
    flights = load(YEAR_END)
    baseline = Baseline.fit(flights.reference().drop_columns([LABEL]), timestamp=EVENT_TIME)
    planted = bug.plant(flights.table, flights.shift).table.drop_columns([LABEL])
    cache, counts = DriftTestCache(), list[WindowCounts]()
    told: list[Mapping[str, datetime]] = []
    for number in range(YEAR_DAYS):
        start = flights.start + number * DAY
        past = told[-REMEMBERED_WINDOWS:]
        found = judged(baseline, replace(flights, table=planted), start, counts, cache)
        report = replace(found, violations=with_first_windows(found.violations, past))
        assert report.counts is not None
        counts.append(report.counts)
        told.append(told_causes(report.violations, start))
        drifted = {
            one.feature_name
            for one in report.violations
            if one.constraint_check_type == DRIFT_CHECK
        }
        numbers = {
            "drifted_features": len(drifted),
            "tickets": report.violation_count - report.page_count,
            "new_tickets": report.new_ticket_count,
        }
        yield Told(start, numbers, report.cause, lasting_since(past))


def judged(
    baseline: Baseline,
    flights: Flights,
    start: datetime,
    counts: Sequence[WindowCounts],
    cache: DriftTestCache,
) -> Report:
    """Judge one day, with the days before it."""
    window = Window(start, start + DAY)
    batches = flights.between(window.start, window.end).combine_chunks().to_batches()
    rows = Rows(lambda: iter(batches), facts=WindowFacts(window))
    past = PastWindows(tuple(counts[-EARLIER:]), drift_tests=cache)
    return evaluate(CheckContext(baseline, rows, past=past))


def alarm(days: Sequence[Told], name: str, periods: int, least: int) -> tuple[int, list[Told]]:
    """Return the days in ALARM, and those on which it began."""
    breaches = [bool(one.counts[name]) for one in days]
    states = [
        sum(breaches[max(0, at + 1 - periods) : at + 1]) >= least for at in range(len(breaches))
    ]
    began = [days[at] for at, is_on in enumerate(states) if is_on and not (at and states[at - 1])]
    return sum(states), began


def incidents(began: Sequence[Told]) -> int:
    """Count incidents as `alerts/notify/incidents.py` joins them: over after a day."""
    count, closed = 0, None
    for one in began:
        if closed is None or one.lasting is None or closed < one.lasting:
            count += 1
        closed = one.start + 2 * DAY
    return count


def main() -> None:
    """Print the tables."""
    days = list(year())
    print("# One cause, told once\n")
    print(f"`bench/one_cause.py`, Python {platform.python_version()}: {len(days)} daily windows.\n")
    for name in ("drifted_features", "tickets", "new_tickets"):
        values = [one.counts[name] for one in days]
        print(f"- `{name}`: {sum(values)}, on {sum(map(bool, values))} days")
    print("\n| alarm | windows in ALARM | messages | incidents |\n|---|---|---|---|")
    for words, periods, least in RULES:
        name = words.partition(",")[0]
        windows, began = alarm(days, name, periods, least)
        found = incidents(began) if name == "new_tickets" else len(began)
        print(f"| {words} | {windows} | {len(began)} | {found} |")
    for words, periods, least in (RULES[0], RULES[3]):
        print(f"\nMessages of `{words}`:\n")
        for one in alarm(days, words.partition(",")[0], periods, least)[1]:
            print(f"- {one.start:%d %B}: {shorten(one.cause, CAUSE_WIDTH, placeholder=' …')}")


if __name__ == "__main__":
    main()
