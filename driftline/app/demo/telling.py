"""What the demo says to somebody who sees it for the first time: pages, the planted fault, the end.

Everything else that it prints is the progress of its stages and the table of accounts.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from driftline.app.demo import bug
from driftline.app.demo.flights import WEATHER, is_between
from driftline.app.demo.receiver import Page

# Below the words of a stage, and below the name of an alarm.
STAGE_INDENT = 10
PAGE_INDENT = 8


def tell(console: Console, text: str) -> None:
    """Print some sentences below a stage, wrapped at the terminal's width."""
    console.print(_wrapped(console, text, STAGE_INDENT), soft_wrap=True)


def show_page(console: Console, page: Page) -> None:
    """Print what somebody on call would read."""
    rings = page.state == "ALARM"
    word = page.severity.upper() if rings else page.state
    text = Text.assemble((f"{word:<8}", "bold red" if rings else "green"), page.alarm)
    if page.state == "OK" and page.before == "INSUFFICIENT_DATA":
        # The name of an alarm is that of a fault; nobody should think that there was one.
        text.append(" (its first judgement: nothing is wrong)")
    if rings and page.cause:
        text.append("\n" + _wrapped(console, page.cause, PAGE_INDENT))
    if rings and page.link:
        text.append("\n" + " " * PAGE_INDENT + page.link, "dim")
    # A link stays in one piece, so that a terminal can open it.
    console.print(text, soft_wrap=True)


def fault(shift: timedelta, start: datetime) -> str:
    """Return which days of the replay carry the planted fault, and what it is."""
    days = bug.bug_days(shift)
    real = _span([day - shift for day in days], with_year=False)
    where = f"{real} of the real year, here {_span(days)}"
    left = [day for day in days if start <= day]
    if not left:
        return f"no planted fault: its days ({where}) come before the first day replayed"
    cut = "" if left == days else f" (replayed: {_span(left)})"
    return (
        f"planted fault: {where}{cut}: {bug.AIRPORT} sends {' and '.join(bug.CELSIUS_COLUMNS)} in "
        f"Celsius, and the airline {bug.CARRIER} comes as {bug.WRONG_CARRIER}"
    )


def missing_weather(table: pa.Table, end: datetime) -> str:
    """Explain the last day's page when no row of that day has weather; empty otherwise."""
    day = end - timedelta(days=1)
    flights = table.filter(is_between(table, day, end))
    if not len(flights) or any(flights[name].null_count < len(flights) for name in WEATHER):
        return ""
    return (
        f"the empty weather of the last day, {_span([day])}, is real and not planted: "
        "the weather of the data package ends a day before its flights"
    )


def look_on(settings_file: Path, dashboard_url: str) -> str:
    """Return how to look at the demo's installation after it has ended."""
    return f"look on: driftline up -c {shlex.quote(str(settings_file))}, then {dashboard_url}"


def _span(days: Sequence[datetime], *, with_year: bool = True) -> str:
    """Write days that follow each other, such as "5-9 October 2026"."""
    first, last = days[0], days[-1]
    year = " %Y" if with_year else ""
    until = f"{last.day}{last.strftime(f' %B{year}')}"
    if first == last:
        return until
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}-{until}"
    own_year = year if first.year != last.year else ""
    return f"{first.day}{first.strftime(f' %B{own_year}')} - {until}"


def _wrapped(console: Console, text: str, indent: int) -> str:
    return textwrap.fill(
        text,
        # So narrow a terminal is none; textwrap would refuse it.
        width=max(console.width, 2 * indent + 1),
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
