"""Numbers, times and states as people read them; one way to say each thing on every page."""

from __future__ import annotations

import math
import re
from contextvars import ContextVar
from datetime import datetime, time, timedelta, tzinfo

from driftline.alerts.evaluation.explain_rule import OPERATORS
from driftline.capture.windows.window import Window
from driftline.monitors.schedule import schedule_words

STATES = {
    "ok": ("✓", "OK", "ok"),
    "violations": ("▲", "Violations", "alarm"),
    "worse": ("◇", "Worse", "soft"),
    "failed": ("✕", "Failed", "failed"),
    "insufficient": ("?", "Too little data", "none"),
    "partly": ("⊙", "Partly judged", "none"),
    "stopped": ("■", "Stopped", "none"),
    "empty": ("∅", "No data", "none"),
    "unlabelled": ("◐", "Waiting for labels", "none"),
    "waiting": ("–", "No window yet", "none"),
    "overdue": ("◷", "Overdue", "soft"),
    "OK": ("✓", "OK", "ok"),
    "ALARM": ("▲", "Alarm", "alarm"),
    "INSUFFICIENT_DATA": ("?", "Insufficient data", "none"),
}
"""Glyph, word and colour class of each state: a state is never told by colour alone."""

DELIVERIES = {
    "pending": "waiting to be sent",
    "sending": "being sent",
    "delivered": "✓ delivered",
    "failed": "✕ failed",
    "muted": "◌ suppressed by a silence",
    "superseded": "listed in a newer notification",
}
"""Statuses of messages that do not say by themselves what they mean."""

RATIO = "the greatest of its features' distances, each divided by its bound; above 1 a violation"
"""What the drift of a whole window is."""

WITHIN_BOUND = "than the reference (intervals apart), within the bound"
"""What stands between none and a violation: no chance, and no more than the bound leaves room."""

_TITLE = re.compile(r"^(?:Thresholds? Crossed|Insufficient Data): (\w)")
_ARN = re.compile(r"arn:aws:cloudwatch:[^:\s]*:[^:\s]*:alarm:")

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


ZONE: ContextVar[tzinfo | None] = ContextVar("zone", default=None)
"""In which times are written: that of the browser whose page asks for it; None for UTC."""


def local(time: datetime) -> datetime:
    """Return a time as the clock of the zone shows it in which times are written."""
    zone = ZONE.get()
    try:
        return time if zone is None or time.tzinfo is None else time.astimezone(zone)
    except OverflowError:  # Where the calendar ends.
        return time


def zone_name() -> str:
    """Return the name of the zone in which times are written."""
    return str(ZONE.get() or "UTC")


def window_tone(state: str, hard_count: int) -> str:
    """Return the tone of a window's state: soft where season could explain all its violations."""
    return "soft" if state == "violations" and not hard_count else STATES[state][2]


def moment(time: datetime, *, seconds: bool = False) -> str:
    """Write a time as ``18 Nov 2013 06:00``; the page says once in which zone times are."""
    time = local(time)
    text = f"{time.day} {time:%b} {time.year} {time:%H:%M}"
    return f"{text}:{time:%S}" if seconds else text


def span(run: Window) -> str:
    """Write a window: ``Mon 18 Nov 2013``, ``18–24 Nov 2013``, any other by start and length."""
    start, end = local(run.start), local(run.end)
    days = (end.date() - start.date()).days  # Of 23 or 25 hours where clocks change.
    if days > 0 and start.time() == end.time() == time():
        one = f"{start:%a} {start.day} {start:%b} {start.year}"
        return one if days == 1 else _days(start, end - timedelta(days=1))
    return f"{moment(run.start)} + {duration(run.end - run.start)}"


def _days(first: datetime, last: datetime) -> str:
    """Write a span of whole days, the last one included, without saying anything twice."""
    end = f"{last.day} {last:%b} {last.year}"
    if first.year != last.year:
        return f"{first.day} {first:%b} {first.year} – {end}"
    if first.month != last.month:
        return f"{first.day} {first:%b} – {end}"
    return f"{first.day}–{end}"


def duration(length: timedelta) -> str:
    """Write a length of time in its two largest units: ``3 d 4 h``, ``12 min``, ``8 s``."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    words: list[str] = []
    for unit, size in _UNITS:
        amount, seconds = divmod(seconds, size)
        if amount or words:
            words.append(f"{amount} {unit}" if amount else "")
        if len(words) == 2:
            break
    return " ".join(word for word in words if word)


def age(time: datetime, now: datetime) -> str:
    """Return how long ago something was; a time ahead of the clock is ``now``."""
    length = now - time
    return "now" if length < timedelta(seconds=1) else f"{duration(length)} ago"


def count(value: int | None) -> str:
    """Write a count with groups of three: ``336,776``; missing is a dash."""
    return "–" if value is None else f"{value:,}"


def plural(value: int, noun: str, many: str | None = None) -> str:
    """Write a count with its noun: ``1 row``, ``2 rows``."""
    return f"{count(value)} {noun if value == 1 else many or noun + 's'}"


def percent(share: float | None) -> str:
    """Write a share (0–1) in percent with three figures at most: ``33.1%``, ``0.04%``."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    if value == 0 or value >= 99.95:
        return f"{value:.0f}%"
    digits = 1 if value >= 0.095 else 2
    return "<0.01%" if value < 0.005 else f"{value:.{digits}f}%"


def number(value: float | None, figures: int = 3) -> str:
    """Write a number with so many significant figures; missing is a dash."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:.{figures}g}"
        return text if "e" not in text else f"{value:.0f}"
    return f"{value:.{figures - 1}e}".replace("e-0", "e-").replace("e+0", "e+")


def probability(value: float | None) -> str:
    """Write a p-value; below one in a million it only says so."""
    if value is None or not math.isfinite(value):
        return "–"
    return "<1e-6" if value < 1e-6 else number(value, 2)


def schedule_text(schedule: str, time_zone: str = "UTC") -> str:
    """Return a schedule in words where its form is common, else as it is."""
    text = schedule_words(schedule)
    return text if time_zone == zone_name() else f"{text} ({time_zone})"


def sentence(text: str) -> str:
    """Begin with a capital letter and end with a full stop; the command line needs neither."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".")


def mid_sentence(word: str) -> str:
    """Return a word as it stands within a sentence: without its capital, unless it has others."""
    return word if word.isupper() else word.lower()


def delivery_words(status: str) -> str:
    """Return the status of a notification in words."""
    return DELIVERIES.get(status, status)


def short_reason(text: str) -> str:
    """Return CloudWatch's sentence without its title, names of alarms in place of their ARNs."""
    return _ARN.sub("", _TITLE.sub(lambda found: found[1].upper(), text))


def limit_words(operator: str, threshold: float | None) -> str:
    """Return on which condition a value breaches: ``above 0.5``, or how it lies to its band."""
    words = OPERATORS[operator]
    return words if threshold is None else f"{words} {number(threshold)}"
