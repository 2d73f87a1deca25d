"""A report as one HTML page: what is violated, in words and pictures, then every feature.

The page needs no other file and asks no other host; its own policy forbids both. Its words, tables
and first pictures are there without the script, which a kept page of a CI server may not run; the
script adds sorting, filters, and a picture of every feature (docs/why/root-cause.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np

from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.pictures import (
    comparison_bars,
    interval_line,
    name_html,
    scale_of,
    shape_line,
)
from driftline.monitors.report.ranking import Finding, ViolatedFeature, state_of, violated_features
from driftline.monitors.report.side_tables import SideTable, side_tables
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.unjudged import note_words
from driftline.monitors.results.violation import FeatureResult, JsonValue, percent, plural

# Pictures that are drawn without the script, and features that have a frame of their own; the rest
# is told in one line each. The page stays one that opens at once.
FIGURES_MAX = 12
FRAMES_MAX = 50
POINTERS_SHOWN = 5
BLAME_TOLD = 0.005
FINDINGS_MAX = 6
# Rows that are there without the script.
ROWS_MAX = 100
# Digits of a share for the script: a hundred-thousandth is no bar that could be seen.
DIGITS = 5
# Title, class of the cells, and whether the script may sort by it.
COLUMNS = (
    ("feature", "", True),
    ("type", "less", True),
    ("then and now", "", False),
    ("x bound", "number", True),
    ("strongest set", "set", False),
    ("reference", "number less", True),
    ("now", "number", True),
    ("missing", "number less", True),
    ("unfit", "number less", True),
    ("note", "less", True),
)
HEADING = re.compile("(</?h)([1-5])(?=[ >])")
NUMBERS = ("now", "95% interval", "reference", "bound")  # Of a metric.
STATES = {"violated": "Violated", "kept": "Kept", "unjudged": "Not judged"}


def report_page(report: CheckResult) -> str:
    """Draw a report as a whole document; every text of the data is escaped."""
    features = FeatureList.of(report)
    about = [("kind", report.kind), ("baseline", report.baseline_version)]
    title = title_of(report)
    parts = [_head(report, title, about, "driftline"), *_parts(report, features)]
    return scripted_document(title, parts, features)


def kind_section(report: CheckResult, features: FeatureList, anchor: str) -> str:
    """Draw a report as a part of a page of several: as on its own page, headings a level lower.

    A page has one table of features, whose list is given; of other reports it is empty.
    """
    title = f"{escape(report.kind)}: {title_of(report)}"
    parts = "".join([_head(report, title), *_parts(report, features)])
    # No text of the data can be meant: each "<" of them is escaped.
    lowered = HEADING.sub(lambda found: f"{found[1]}{int(found[2]) + 1}", parts)
    return f'<section id="{anchor}">{lowered}</section>'


def _parts(report: CheckResult, features: FeatureList) -> list[str]:
    return [
        _violations(report, features),
        *(_side_table(one) for one in side_tables(report)),
        _metrics(report.shown_metrics),
        features_section(features),
    ]


def scripted_document(title: str, parts: Sequence[str], features: FeatureList) -> str:
    """Return a whole page with the script that its table of features works by."""
    style, script, digest = assets()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    scripts = (
        f'<script type="application/json" id="driftline-data">{features.data}</script>'
        f"<script>{script}</script>"
    )
    return html_document(title, parts, style, policy=policy, scripts=scripts)


def html_document(
    title: str, parts: Sequence[str], style: str, *, policy: str, scripts: str = ""
) -> str:
    """Return a whole page that needs no other file; the policy says what it may do."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} – driftline</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}</main>{scripts}</body></html>\n"
    )


@cache
def assets() -> tuple[str, str, str]:
    """Read style and script, and what names the script in the page's policy."""
    folder = Path(__file__).parents[1] / "assets"
    style, script = ((folder / name).read_text("utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return style, script, digest


def title_of(report: CheckResult) -> str:
    """Return the verdict in a few words, with the number of rows."""
    verdict = plural(report.violation_count, "violation") if report.violations else "No violations"
    if not report.decided:
        verdict = "Too few rows to judge" if report.insufficient_data else "Could not be judged"
    left = f"; {len(report.unjudged):,} not judged" if report.decided and report.unjudged else ""
    return f"{verdict} in {plural(report.row_count, 'row')}{left}"


def mood_of(report: CheckResult) -> str:
    """Return the class that colours a verdict."""
    return "page" if report.page_count else "good" if report.passed else "ticket"


def _head(
    report: CheckResult, title: str, about: Sequence[tuple[str, str]] = (), what: str = ""
) -> str:
    """Draw the result, and what was judged against what."""
    judged = sum(result.ratio is not None for result in report.results)
    tickets = report.violation_count - report.page_count
    facts = [
        *about,
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
    return headline(what, title, mood_of(report), facts) + notes(report)


def notes(report: CheckResult) -> str:
    """Return paragraphs on what was not judged, and what else there is to know; "" for none."""
    sentences = [report.unjudged_text, *notes_of(report.details)]
    return "".join(f"<p>{escape(one[0].upper())}{escape(one[1:])}.</p>" for one in sentences if one)


def headline(what: str, title: str, mood: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return a page's heading, and below it the facts that are known."""
    told = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value
    )
    above = f'<p class="quiet">{what}</p>' if what else ""
    below = f'<dl class="facts">{told}</dl>' if told else ""
    return f'{above}<h1 class="{mood}">{title}</h1>{below}'


def _violations(report: CheckResult, features: FeatureList) -> str:
    broken = violated_features(report.violations)
    if not broken:
        return ""
    frames, drawn = [], 0
    for feature in broken[:FRAMES_MAX]:
        found = report.comparison(feature.feature) if drawn < FIGURES_MAX else None
        if found is None:
            frames.append(_frame(feature, "", ""))
            continue
        drawn += 1
        picture = _figure(found, features.pictures.get(feature.feature))
        frames.append(_frame(feature, shape_line(found.shape, moved=True), picture))
    rest = "".join(
        f'<li><span class="tag {feature.severity}">{feature.severity}</span> '
        f"{name_html(feature.feature)}: "
        f"{escape('; '.join(finding.cause for finding in feature.findings))}</li>"
        for feature in broken[FRAMES_MAX:]
    )
    more = f"<ul>{rest}</ul>" if rest else ""
    return f"<h2>What is violated</h2>{''.join(frames)}{more}"


def _frame(one: ViolatedFeature, shape: str, figure: str) -> str:
    """Draw one feature: its severity, what happened, and where the rows are."""
    findings = [_finding(finding) for finding in one.findings]
    told, left = "".join(findings[:FINDINGS_MAX]), findings[FINDINGS_MAX:]
    if left:  # Such as the same in each of fifty segments.
        told += f"<details><summary>{len(left)} more</summary>{''.join(left)}</details>"
    kind = f"{one.severity}-violation{' drawn' * bool(figure)}"
    return (
        f'<article class="{kind}"><div><h3><span class="tag {one.severity}">{one.severity}</span>'
        f" {name_html(one.feature)}</h3>{told}{shape}</div>{figure}</article>"
    )


def _finding(finding: Finding) -> str:
    first = finding.first
    quiet = [", ".join(finding.checks)]
    if first.row_count:
        quiet.append(f"{plural(first.row_count, 'row')} behind it")
    # Of a segment that was judged apart, the cause says so.
    if first.segment and not first.within and str(first.segment) not in finding.cause:
        quiet.append(str(first.segment))
    if first.share_of_blame >= BLAME_TOLD:
        quiet.append(f"{first.share_of_blame:.0%} of the blame")
    if first.first_rows:
        found = ["/".join(str(one) for one in row.values()) for row in first.first_rows]
        quiet.append(f"first rows: {', '.join(found[:POINTERS_SHOWN])}")
    return f'<p>{escape(finding.cause)}</p><p class="checks">{escape("; ".join(quiet))}</p>'


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
    groups = groupby(metrics, key=lambda metric: (metric.facet, metric.facet_value, metric.label))
    heads = "".join(f'<th class="number">{title}</th>' for title in NUMBERS)
    tables = []
    for (facet, value, label), found in groups:
        lines = list(found)
        named = " = ".join(part for part in (facet, value) if part) or label
        title = escape(named) if named else "Metrics"
        rows = "".join(_metric(line) for line in lines)
        tables.append(
            # Where it is wider than the screen, it scrolls by keyboard, too.
            f'<h2>{title}</h2><div class="wide" tabindex="0" role="group" aria-label="{title}">'
            f'<table class="list side"><thead><tr><th>metric</th>{heads}<th>then and now</th>'
            f"<th>note</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        "".join(tables) + '<p class="quiet">Lines: the reference as a band, now as a dot with its '
        "95% interval, where a violation begins as a dashed line.</p>"
    )


def _metric(one: MetricResult) -> str:
    interval = escape(one.unbounded)
    if one.low is not None and one.high is not None:
        interval = f"{one.low:.4g} to {one.high:.4g}"
    name = escape(one.name)
    if one.severity is not None:
        name = f'<span class="tag {one.severity}">{one.severity}</span> {name}'
    numbers = (_number(one.value), interval, _number(one.reference), _number(one.bound))
    cells = "".join(
        f'<td class="number" data-title="{title}">{number}</td>'
        for title, number in zip(NUMBERS, numbers, strict=True)
    )
    line = interval_line(one, scale_of([one]))
    return (
        f'<tr><th scope="row">{name}</th>{cells}<td data-title="">{line}</td>'
        f'<td data-title="">{escape(note_words(one.note))}</td></tr>'
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class FeatureList:
    """Every feature of a report, what matters first; by itself none."""

    rows: tuple[str, ...] = ()  # One HTML row for each.
    states: tuple[str, ...] = ()  # See `state_of`.
    # What the script sorts by: one list for each sortable column, as long as `rows`.
    keys: tuple[list[JsonValue], ...] = ()
    # By feature: the place of its bars among `drawings`.
    pictures: Mapping[str, int] = field(default_factory=dict)
    drawings: tuple[JsonValue, ...] = ()

    @classmethod
    def of(cls, report: CheckResult) -> FeatureList:
        """Gather the features of a report."""
        results = report.ranked_results
        broken = frozenset(violation.feature_name for violation in report.violations)
        pictures: dict[str, int] = {}
        drawings: list[JsonValue] = []
        rows = []
        for number, one in enumerate(results):
            found = report.comparison(one.feature)
            if found is not None:
                pictures[one.feature] = len(drawings)
                drawings.append(_drawing(found))
            rows.append(_row(one, found, number, is_broken=one.feature in broken))
        keys = zip(*(_keys(result) for result in results), strict=True)
        return cls(
            tuple(rows),
            tuple(state_of(result, broken) for result in results),
            tuple(list(column) for column in keys),
            pictures,
            tuple(drawings),
        )

    @property
    def data(self) -> str:
        """What the script reads, as JSON that can stand inside HTML."""
        value = {
            "rows": self.rows[ROWS_MAX:],
            "states": self.states,
            "keys": self.keys,
            "drawn": self._drawn(),
            "pictures": self.drawings,
        }
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")  # No text of the data can end the element.

    def _drawn(self) -> list[int | None]:
        names = self.keys[0] if self.keys else []
        return [self.pictures.get(str(name)) for name in names]


def features_section(features: FeatureList) -> str:
    """Draw the table: the rows that are there without the script, and the script's controls."""
    if not features.rows:
        return ""
    heads, sortable = [], 0
    for title, kind, sorts in COLUMNS:
        named = f' class="{kind}"' if kind else ""
        key = f' data-key="{sortable}"' if sorts else ""
        sortable += sorts
        heads.append(f"<th{named}{key}>{title}</th>")
    left = len(features.rows) - ROWS_MAX
    rest = f"<noscript>{plural(left, 'more feature')} with scripts, or in report.json.</noscript>"
    return (
        f"<h2>All features</h2>{_controls(features)}"
        f'<div class="wide"><table class="list" id="feature-table"><thead><tr>{"".join(heads)}'
        f"</tr></thead><tbody>{''.join(features.rows[:ROWS_MAX])}</tbody></table></div>"
        f'<div id="end">{rest if left > 0 else ""}</div>'
        '<p class="quiet">Violated first, then those nearest to their bound. Small pictures: the '
        "reference as ground, now as a line, each from its first to its last hundredth.</p>"
    )


def _controls(features: FeatureList) -> str:
    """Make what the script shows and works with: a search, and one button for each state."""
    buttons = [("all", "All", len(features.rows))]
    buttons += [(key, title, features.states.count(key)) for key, title in STATES.items()]
    shown = "".join(
        f'<button type="button" data-state="{key}" aria-pressed="{str(key == "all").lower()}">'
        f"{title} {count:,}</button>"
        for key, title, count in buttons
        if count
    )
    return (
        '<div class="controls" id="controls" hidden><input type="search" '
        f'placeholder="Find a feature" aria-label="Find a feature">{shown}'
        '<span class="quiet" id="shown" role="status"></span></div>'
    )


def _row(one: FeatureResult, found: Comparison | None, number: int, *, is_broken: bool) -> str:
    cells = (
        escape(one.type),
        "" if found is None else shape_line(found.shape, moved=is_broken),
        "" if one.ratio is None else f"{one.ratio:.2f}",
        escape("; ".join(filter(None, (one.moved, one.change)))),
        "" if one.share_reference is None else percent(one.share_reference),
        "" if one.share_now is None else percent(one.share_now),
        _count(one.missing_count, one.row_count),
        _count(one.unfit_count, one.row_count),
        escape(one.note.replace("_", " ")),
    )
    told = "".join(
        f'<td class="{kind}">{cell}</td>' if kind else f"<td>{cell}</td>"
        for (_, kind, _), cell in zip(COLUMNS[1:], cells, strict=True)
    )
    state = ' class="broken"' if is_broken else ""
    return (
        f'<tr{state} data-row="{number}"><th scope="row">{name_html(one.feature)}</th>{told}</tr>'
    )


def _count(count: int, rows: int) -> str:
    return percent(count / max(1, rows)) if count else ""


def _keys(one: FeatureResult) -> Sequence[JsonValue]:
    """Return what a row is sorted by, in the order of the sortable columns."""
    rows = max(1, one.row_count)
    return (
        one.feature,
        one.type,
        _rounded(one.ratio),
        _rounded(one.share_reference),
        _rounded(one.share_now),
        _rounded(one.missing_count / rows),
        _rounded(one.unfit_count / rows),
        one.note,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _drawing(found: Comparison) -> JsonValue:
    """Return one column's bars as plain values; the script finds the intervals itself."""
    return {
        "labels": list(found.labels),
        "then": _shares(found.reference),
        "now": _shares(found.window),
        "moved": [int(place) for place in np.flatnonzero(found.moved)],
        "rows": [found.reference_rows, found.window_rows],
        "ordered": found.ordered,
    }


def _shares(shares: np.ndarray) -> list[JsonValue]:
    return [round(float(share), DIGITS) for share in shares]
