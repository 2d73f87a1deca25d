"""A report as one HTML page: what is violated, in words and pictures, then every feature.

The page needs no other file and asks no other host; its own policy forbids both. Its words, tables
and first pictures are there without the script, which a kept page of a CI server may not run; the
script adds sorting, filters, and a picture of every feature (docs/why/report-page.md).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.monitors.report.page_features import FeatureList, features_section
from driftline.monitors.report.pictures import (
    comparison_bars,
    interval_line,
    name_html,
    scale_of,
    shape_line,
)
from driftline.monitors.report.ranking import Broken, Telling, broken_features
from driftline.monitors.report.side_tables import SideTable, side_tables
from driftline.monitors.results.violation import plural

if TYPE_CHECKING:
    from driftline.monitors.report.comparison import Comparison
    from driftline.monitors.report.report import Report
    from driftline.monitors.results.metric import MetricResult

# Pictures that are drawn without the script, and features that have a frame of their own; the rest
# is told in one line each. The page stays one that opens at once.
FIGURES_MAX = 12
FRAMES_MAX = 50
POINTERS_SHOWN = 5
BLAME_TOLD = 0.005
TELLINGS_MAX = 6


def report_page(report: Report) -> str:
    """Draw a report as a whole document; every text of the data is escaped."""
    style, script, digest = _assets()
    features = FeatureList.of(report)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts = [
        _head(report),
        _violations(report, features),
        *(_side_table(one) for one in side_tables(report)),
        _metrics(report.metrics),
        features_section(features),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title_of(report)} – driftline</title><style>{style}</style></head>"
        f'<body><main>{"".join(parts)}</main><script type="application/json" id="driftline-data">'
        f"{features.data}</script><script>{script}</script></body></html>\n"
    )


@cache
def _assets() -> tuple[str, str, str]:
    """Read style and script, and what names the script in the page's policy."""
    folder = Path(__file__).parents[1] / "assets"
    style, script = ((folder / name).read_text("utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return style, script, digest


def title_of(report: Report) -> str:
    """Give the verdict in a few words, with the number of rows."""
    verdict = plural(report.violation_count, "violation") if report.violations else "No violations"
    if not report.decided:
        verdict = "Too few rows to judge" if report.insufficient_data else "Could not be judged"
    return f"{verdict} in {plural(report.row_count, 'row')}"


def _head(report: Report) -> str:
    """Say the verdict, and what was judged against what."""
    mood = "good" if report.passed else "ticket"
    mood = "page" if report.page_count else mood
    judged = sum(one.ratio is not None for one in report.results)
    tickets = report.violation_count - report.page_count
    facts = [
        ("kind", report.kind),
        ("baseline", report.baseline_version),
        ("window", "" if report.window is None else str(report.window)),
        ("pages", f"{report.page_count:,}" if report.violations else ""),
        ("tickets", f"{tickets:,}" if report.violations else ""),
        ("features judged", f"{judged:,} of {len(report.results):,}" if report.results else ""),
        (
            "too small to judge",
            f"{len(report.insufficient_data):,}" if report.insufficient_data else "",
        ),
        ("vary too much to judge", f"{len(report.undecidable):,}" if report.undecidable else ""),
    ]
    told = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value
    )
    return (
        f'<p class="quiet">driftline</p><h1 class="{mood}">{title_of(report)}</h1>'
        f'<dl class="facts">{told}</dl>'
    )


def _violations(report: Report, features: FeatureList) -> str:
    broken = broken_features(report.violations)
    if not broken:
        return ""
    frames, drawn = [], 0
    for one in broken[:FRAMES_MAX]:
        found = report.comparison(one.feature) if drawn < FIGURES_MAX else None
        if found is None:
            frames.append(_frame(one, "", ""))
            continue
        drawn += 1
        picture = _figure(found, features.pictures.get(one.feature))
        frames.append(_frame(one, shape_line(found.shape, moved=True), picture))
    rest = "".join(
        f'<li><span class="tag {one.severity}">{one.severity}</span> {name_html(one.feature)}: '
        f"{escape('; '.join(telling.cause for telling in one.tellings))}</li>"
        for one in broken[FRAMES_MAX:]
    )
    more = f"<ul>{rest}</ul>" if rest else ""
    return f"<h2>What is violated</h2>{''.join(frames)}{more}"


def _frame(one: Broken, shape: str, figure: str) -> str:
    """Tell of one feature: how loud, what happened, and where the rows are."""
    tellings = [_telling(telling) for telling in one.tellings]
    told, left = "".join(tellings[:TELLINGS_MAX]), tellings[TELLINGS_MAX:]
    if left:  # Such as the same in each of fifty segments.
        told += f"<details><summary>{len(left)} more</summary>{''.join(left)}</details>"
    kind = f"{one.severity}-violation{' drawn' * bool(figure)}"
    return (
        f'<article class="{kind}"><div><h3><span class="tag {one.severity}">{one.severity}</span>'
        f" {name_html(one.feature)}</h3>{told}{shape}</div>{figure}</article>"
    )


def _telling(telling: Telling) -> str:
    first = telling.first
    quiet = [", ".join(telling.checks)]
    if first.row_count:
        quiet.append(f"{plural(first.row_count, 'row')} behind it")
    # Of a segment that was judged apart, the cause says so.
    if first.segment and not first.within and str(first.segment) not in telling.cause:
        quiet.append(str(first.segment))
    if first.share_of_blame >= BLAME_TOLD:
        quiet.append(f"{first.share_of_blame:.0%} of the blame")
    if first.first_rows:
        found = ["/".join(str(one) for one in row.values()) for row in first.first_rows]
        quiet.append(f"first rows: {', '.join(found[:POINTERS_SHOWN])}")
    return f'<p>{escape(telling.cause)}</p><p class="checks">{escape("; ".join(quiet))}</p>'


def _figure(comparison: Comparison, index: int | None) -> str:
    named = "" if index is None else f' data-picture="{index}"'
    return (
        f"<figure{named}>{comparison_bars(comparison)}<figcaption>Share of rows: reference "
        f"({plural(comparison.reference_rows, 'row')}) above, now "
        f"({plural(comparison.window_rows, 'row')}) below.</figcaption></figure>"
    )


def _side_table(table: SideTable) -> str:
    """Draw the table of the segments, or of the rules."""
    classes = [' class="number"' if is_number else "" for _, is_number in table.heads]
    head = "".join(
        f"<th{kind}>{title}</th>" for kind, (title, _) in zip(classes, table.heads, strict=True)
    )
    lines = []
    for row, is_broken in zip(table.rows, table.broken, strict=True):
        # A narrow screen has no heads above the cells, but their titles in them.
        cells = "".join(
            f'<td{kind} data-title="{title}">{escape(cell)}</td>'
            for kind, (title, _), cell in zip(classes[1:], table.heads[1:], row[1:], strict=True)
        )
        state = ' class="broken"' if is_broken else ""
        lines.append(f'<tr{state}><th scope="row">{name_html(row[0])}</th>{cells}</tr>')
    return (
        f'<h2>{table.title}</h2><div class="wide"><table class="list side"><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _metrics(metrics: Sequence[MetricResult]) -> str:
    """Draw every metric as a line: its interval, the reference's band, the bound."""
    if not metrics:
        return ""
    groups = groupby(metrics, key=lambda one: (one.facet, one.facet_value, one.label))
    tables = []
    for (facet, value, label), found in groups:
        lines = list(found)
        named = " = ".join(part for part in (facet, value) if part) or label
        head = f"<h2>{escape(named) if named else 'Metrics'}</h2>"
        rows = "".join(_metric(one) for one in lines)
        tables.append(
            f'{head}<div class="wide"><table class="list"><thead><tr><th>metric</th>'
            '<th class="number">now</th><th class="number">95 % interval</th>'
            '<th class="number">reference</th><th class="number">bound</th><th></th>'
            f"<th>note</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        "".join(tables) + '<p class="quiet">Lines: the reference as a band, now as a dot with its '
        "95 % interval, where a violation begins as a dashed line.</p>"
    )


def _metric(one: MetricResult) -> str:
    interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
    name = escape(one.name)
    if one.severity is not None:
        name = f'<span class="tag {one.severity}">{one.severity}</span> {name}'
    numbers = (_number(one.value), interval, _number(one.reference), _number(one.bound))
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return (
        f'<tr><th scope="row">{name}</th>{cells}<td>{interval_line(one, scale_of([one]))}</td>'
        f"<td>{escape(one.note)}</td></tr>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
