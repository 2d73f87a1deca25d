"""A backtest as one page: the timeline, the alarms with their causes, the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from driftline.monitors.backtest.timeline import Flag, alarm_flags, is_judged, loudness
from driftline.monitors.report.page import assets, headline, html_document
from driftline.monitors.results.violation import plural

PLACES, PLACE_WIDTH, HEIGHT, UNJUDGED_HEIGHT = 365, 2, 18, 4
ALARMS_SHOWN = 200
UNDATED_REFERENCE = "the reference has no times, so nobody knows how much its windows vary"


def backtest_page(found: Mapping[str, Any]) -> str:
    """Draw what `Backtest.as_dict` gives as a whole document; every text of the data is escaped."""
    windows = found["windows"]
    span = f"{_day(windows[0]['start'])} to {_day(windows[-1]['end'])}"
    loud = [window for window in windows if window["alarms"]]
    title = f"{plural(len(loud), 'alarming window')} of {len(windows):,}"
    is_any_judged = any(map(is_judged, windows))
    if not is_any_judged:
        title = f"No window could be judged: {unjudged_windows(found)}"
    facts = [
        ("monitor", found["monitor"]),
        ("windows", f"{len(windows):,} of {found['window']}, {span}"),
        ("columns judged", f"{len(found['columns']) - len(found['unjudged']):,}"),
        ("in no window judged", ", ".join(found["unjudged"])),
        ("windows not judged", unjudged_windows(found)),
        ("episodes", f"{found['episode_count']:,}"),
        ("columns that alarm", _often(found["alarms_by_column"])),
        ("accepted false alarms a year", f"{found['false_alarms_per_year']:g}"),
        ("rows without a time", f"{found['undated_count']:,}" if found["undated_count"] else ""),
        ("baseline", found["baseline_version"]),
        ("note", "" if found["reference_dated"] else UNDATED_REFERENCE),
    ]
    mood = "ticket" if loud or not is_any_judged else "good"
    parts = [
        headline("driftline backtest", title, mood, facts),
        _timeline(alarm_flags(found)),
        _alarms(loud),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return html_document(title, parts, assets()[0], policy=policy)


def unjudged_windows(found: Mapping[str, Any]) -> str:
    """Count the windows that could not be judged, by why; empty where there are none."""
    counts = {
        "with too few rows to judge": found["insufficient_count"],
        "of which every column varies too much to judge": found["undecidable_count"],
    }
    return ", ".join(f"{plural(count, 'window')} {why}" for why, count in counts.items() if count)


def _often(columns: Mapping[str, int]) -> str:
    """Name the columns that alarm most often."""
    return ", ".join(f"{name} {count:,}" for name, count in list(columns.items())[:5])


def _timeline(flags: Sequence[Flag]) -> str:
    """Draw the windows from left to right: a bar where some alarm, as high as the share of them.

    Where none could be judged there is a low grey one.
    """
    shares = loudness(flags, PLACES)
    width = len(shares) * PLACE_WIDTH
    bars = "".join(_bar(at, share) for at, share in enumerate(shares) if share != 0)
    left = flags.count(None)
    words = f"{sum(map(bool, flags))} of {len(flags)} windows alarm" + (
        f", {left} could not be judged" if left else ""
    )
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}" style="width:min(34rem,80vw);height:{HEIGHT}px">'
        f'<line class="axis" x1="0" x2="{width}" y1="{HEIGHT}" y2="{HEIGHT}"/>{bars}</svg>'
    )


def _bar(at: int, share: float | None) -> str:
    height = UNJUDGED_HEIGHT if share is None else HEIGHT * share
    return (
        f'<rect class="{"now" if share is None else "moved"}" x="{at * PLACE_WIDTH}" '
        f'y="{HEIGHT - height:.1f}" width="{PLACE_WIDTH}" height="{height:.1f}"/>'
    )


def _alarms(loud: Sequence[Mapping[str, Any]]) -> str:
    if not loud:
        return ""
    rows = [
        (
            _time(one["start"]),
            f"{one['row_count']:,}",
            "<br>".join(escape(alarm["cause"]) for alarm in one["alarms"]),
        )
        for one in loud[:ALARMS_SHOWN]
    ]
    left = len(loud) - ALARMS_SHOWN
    more = f'<p class="quiet">{left:,} more in the JSON.</p>' if left > 0 else ""
    return _table("When it would have alarmed", ("window", "rows>", "cause"), rows) + more


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table of HTML; a head that ends in ">" stands over numbers.

    On a phone the heads go, and each number is told by its own.
    """
    names = [head.removesuffix(">") for head in heads]
    classes = [' class="number"' * head.endswith(">") for head in heads]
    top = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(classes, names, strict=True))
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(
            f'<td{kind} data-title="{name if kind else ""}">{cell}</td>'
            for kind, name, cell in zip(classes[1:], names[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<h2>{title}</h2><div class="wide"><table class="list side"><thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _day(moment: str) -> str:
    return escape(moment[:10])


def _time(moment: str) -> str:
    return escape(moment[:16].replace("T", " "))
