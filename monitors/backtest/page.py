"""A backtest as one page: the timeline of each rule, the alarms with their causes, the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from driftline.monitors.backtest.timeline import loudness
from driftline.monitors.violation import plural

__all__ = ["backtest_page"]

PLACES, PLACE_WIDTH, HEIGHT = 365, 2, 18
ALARMS_SHOWN = 200


def backtest_page(found: Mapping[str, Any]) -> str:
    """Draw what `Backtest.as_dict` gives as a whole document; every text of the data is escaped."""
    windows = found["windows"]
    span = f"{_day(windows[0]['start'])} to {_day(windows[-1]['end'])}"
    loud = [one for one in windows if one["alarms"]]
    title = f"{plural(len(loud), 'alarming window')} of {len(windows):,}"
    facts = [
        ("monitor", found["monitor"]),
        ("windows", f"{len(windows):,} of {found['window']}, {span}"),
        ("columns judged", f"{len(found['columns']):,}"),
        ("too small to judge", f"{found['insufficient_count']:,}"),
        ("accepted false alarms a year", f"{found['false_alarms_per_year']:g}"),
        ("on the reference's own days", _resampled(found["resampled"])),
        ("rows without a time", f"{found['undated_count']:,}" if found["undated_count"] else ""),
        ("marks", _marks(found["marks"])),
        ("baseline", found["baseline_version"]),
    ]
    told = "".join(
        f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts if value
    )
    mood = "ticket" if loud else "good"
    parts = [
        f'<p class="quiet">driftline backtest</p><h1 class="{mood}">{title}</h1>'
        f'<dl class="facts">{told}</dl>',
        _rules(found["rules"]),
        _alarms(loud),
        _changes(found["detectable"]),
        _advice(found["advice"]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} – driftline</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _resampled(rate: Mapping[str, Any] | None) -> str:
    """Tell how calm the rule is where nothing changes; empty when that was not tried."""
    if rate is None:
        return ""
    span = f"{rate['per_year_low']:.2g} to {rate['per_year_high']:.2g} a year"
    return f"{plural(rate['count'], 'alarm')} in {rate['years']:.2g} years ({span})"


def _marks(marks: Mapping[str, int] | None) -> str:
    """Tell how the rule did on what people marked; empty without marks."""
    if marks is None:
        return ""
    return (
        f"{marks['found_count']} of {marks['harmful_count']} harmful spans found, "
        f"{marks['needless_count']} of {marks['expected_count']} expected ones alarmed"
    )


@cache
def _style() -> str:
    return (Path(__file__).parents[1] / "assets" / "report.css").read_text("utf-8")


def _rules(rules: Sequence[Mapping[str, Any]]) -> str:
    lines, notes = [], []
    for rule in rules:
        rate, name = rule["rate"], escape(rule["name"])
        number = (
            f"{rate['per_year']:.3g} ({rate['per_year_low']:.3g} to {rate['per_year_high']:.3g})"
        )
        lines.append(
            f'<tr><th scope="row" style="white-space:nowrap">{name}</th>'
            f'<td>{_timeline(rule["alarms"])}</td><td class="number">{rate["count"]:,}</td>'
            f'<td class="number">{rule["episode_count"]:,}</td>'
            f'<td class="number">{number}</td></tr>'
        )
        often = f" Most often: {_often(rule['columns'])}." if rule["columns"] else ""
        notes.append(f"<li>{name}: {escape(rule['title'])}.{often}</li>")
    heads = ("rule", "when it alarms", "windows>", "episodes>", "windows a year (95 %)>")
    table = _table("Rules on the same windows", heads, "".join(lines))
    return f'{table}<ul class="quiet">{"".join(notes)}</ul>'


def _often(columns: Mapping[str, int]) -> str:
    """Name the columns that alarm most often."""
    return escape(", ".join(f"{name} {count:,}" for name, count in list(columns.items())[:5]))


def _timeline(alarms: Sequence[Sequence[str]]) -> str:
    """Draw the windows from left to right: a bar where some alarm, as high as the share of them."""
    shares = loudness([bool(one) for one in alarms], PLACES)
    width = len(shares) * PLACE_WIDTH
    bars = "".join(
        f'<rect class="moved" x="{at * PLACE_WIDTH}" y="{HEIGHT * (1 - share):.1f}" '
        f'width="{PLACE_WIDTH}" height="{HEIGHT * share:.1f}"/>'
        for at, share in enumerate(shares)
        if share
    )
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{sum(map(bool, alarms))} of {len(alarms)} windows alarm" '
        f'style="width:min(34rem,60vw);height:{HEIGHT}px"><line class="axis" x1="0" x2="{width}" '
        f'y1="{HEIGHT}" y2="{HEIGHT}"/>{bars}</svg>'
    )


def _alarms(loud: Sequence[Mapping[str, Any]]) -> str:
    if not loud:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{_time(one["start"])}</th><td class="number">{one["row_count"]:,}'
        f"</td><td>{'<br>'.join(escape(alarm['cause']) for alarm in one['alarms'])}</td></tr>"
        for one in loud[:ALARMS_SHOWN]
    )
    left = len(loud) - ALARMS_SHOWN
    more = f'<p class="quiet">{left:,} more in the JSON.</p>' if left > 0 else ""
    return _table("When it would have alarmed", ("window", "rows>", "cause"), lines) + more


def _changes(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return ""
    spans = list(dict.fromkeys(one["within"] for one in findings))
    by_column: dict[str, dict[str, Mapping[str, Any]]] = {}
    for one in findings:
        by_column.setdefault(one["column"], {})[one["within"]] = one
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="number">{_change(own.get(span))}</td>' for span in spans)
        + "</tr>"
        for name, own in by_column.items()
    )
    return _table(
        "Smallest change that is found", ("column", *(f"within {one}>" for one in spans)), lines
    )


def _change(finding: Mapping[str, Any] | None) -> str:
    if finding is None or finding["share"] is None:
        return "none"
    sd = "" if finding["deviations"] is None else f" ({finding['deviations']:.2f} sd)"
    return f"{finding['share']:.1%} of rows{sd}"


def _advice(advice: Sequence[Mapping[str, Any]]) -> str:
    if not advice:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{one["length_h"]:g} h{" (suggested)" * one["is_suggested"]}</th>'
        f'<td class="number">{one["tolerance"]:g}</td><td class="number">{one["row_count"]:,.0f}'
        f'</td><td class="number">{_share(one["first_share"])}</td>'
        f'<td class="number">{_share(one["week_share"])}</td></tr>'
        for one in advice
    )
    heads = ("window", "tolerance>", "rows>", "found in one window>", "within a week>")
    return _table("Other windows and tolerances", heads, lines)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _table(title: str, heads: Sequence[str], lines: str) -> str:
    """Make a table; a head that ends in ">" stands over numbers."""
    cells = "".join(
        f"<th{' class=number' * head.endswith('>')}>{head.removesuffix('>')}</th>" for head in heads
    )
    return (
        f'<h2>{title}</h2><div class="wide"><table class="list"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _day(moment: str) -> str:
    return escape(moment[:10])


def _time(moment: str) -> str:
    return escape(moment[:16].replace("T", " "))
