"""A report in a notebook: without script, style sheet or SVG, which an untrusted notebook loses.

See `driftline.baseline.display` for what stays there. The page has more: ``report.to_html``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from driftline.baseline.display import html_table, number_words, text_bars
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.page import notes, title_of
from driftline.monitors.report.ranking import ViolatedFeature, violated_features
from driftline.monitors.report.reports_page import KIND_HEADS, kind_lines, reports_title
from driftline.monitors.report.side_tables import SideTable, side_tables
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.unjudged import note_words
from driftline.monitors.results.violation import Severity, percent

if TYPE_CHECKING:
    from driftline.monitors.report.reports import Reports  # It lies above.

BROKEN_MAX = 30
FIGURES_MAX = 5
ROWS_MAX = 100
BARS = 12
FINDINGS_MAX = 4
# White text on these is read on a light and on a dark page; bars stand out from both.
GROUNDS: dict[Severity, str] = {"page": "#b3261e", "ticket": "#8a6100"}
THEN, NOW, MOVED = "#4a90c2", "#8a929c", "#d9661f"


def report_cell(report: CheckResult) -> str:
    """Draw a report for a notebook's cell; every text of the data is escaped."""
    about = [report.kind, "" if report.window is None else str(report.window)]
    if report.baseline_version:
        about.append(f"baseline {report.baseline_version}")
    head = f"<p><b>{title_of(report)}</b> {escape(', '.join(one for one in about if one))}</p>"
    broken = violated_features(report.violations)
    return "".join(
        (
            "<div>",
            head,
            notes(report),
            _violations(report, broken),
            *_figures(report, broken),
            *(_side_table(one) for one in side_tables(report)),
            _metrics(report.shown_metrics),
            _features(report),
            "</div>",
        )
    )


def reports_cell(reports: Reports) -> str:
    """Draw the reports of several kinds for a notebook's cell: a line each, folded up the rest."""
    lines = [(escape(one.kind), *map(escape, one.cells)) for one in kind_lines(reports)]
    folded = (
        f"<details><summary>{escape(name)}</summary>{report_cell(report)}</details>"
        for name, report in reports.items()
    )
    head = f"<p><b>{reports_title(reports)}</b> baseline {escape(reports.baseline_version)}</p>"
    return f"<div>{head}{html_table(KIND_HEADS, lines)}{''.join(folded)}</div>"


def _violations(report: CheckResult, broken: Sequence[ViolatedFeature]) -> str:
    if not broken:
        return ""
    rows = []
    for feature in broken[:BROKEN_MAX]:
        about = (
            _tag(feature.severity),
            f"<b>{escape(feature.feature)}</b>",
            *_side_bars(report.comparison(feature.feature)),
        )
        # A line of the table for each, so that its number stands beside it however it wraps.
        for number, finding in enumerate(feature.findings[:FINDINGS_MAX]):
            count = f"{finding.first.row_count:,}" if finding.first.row_count else ""
            front = ("",) * len(about) if number else about
            rows.append((*front, escape(finding.cause), count))
        if len(feature.findings) > FINDINGS_MAX:
            told = f"{len(feature.findings) - FINDINGS_MAX} more"
            rows.append((*("",) * len(about), told, ""))
    left = len(broken) - BROKEN_MAX
    more = f"<p>{left:,} more: report.features, report.to_html(…)</p>" if left > 0 else ""
    heads = [("", False), ("feature", False), ("reference", False), ("now", False),
             ("what happened", False), ("rows", True)]  # fmt: skip
    return html_table(heads, rows) + more


def _tag(severity: Severity) -> str:
    ground = GROUNDS[severity]
    style = f"background-color:{ground};color:#ffffff;padding:1px 6px;border-radius:3px"
    return f'<span style="{style}">{severity}</span>'


def _side_bars(found: Comparison | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    then, now = (text_bars(side, BARS, ordered=found.ordered) for side in found.shape)
    return then, now


def _figures(report: CheckResult, broken: Sequence[ViolatedFeature]) -> Iterator[str]:
    """Draw the bars of the first few features, folded up."""
    drawn = 0
    for feature in broken:
        found = report.comparison(feature.feature)
        if found is None or drawn >= FIGURES_MAX:
            continue
        drawn += 1
        yield f"<details><summary>{escape(feature.feature)}: bars</summary>{_bars(found)}</details>"


def _bars(found: Comparison) -> str:
    most = max(float(found.reference.max()), float(found.window.max()), 1e-9)
    rows = []
    for number, label in enumerate(found.labels):
        then, now = float(found.reference[number]), float(found.window[number])
        moved = bool(found.moved[number])
        bars = _bar(then / most, THEN) + _bar(now / most, MOVED if moved else NOW)
        name = f"<b>{escape(label)}</b>" if moved else escape(label)
        rows.append((name, f'<div style="width:260px">{bars}</div>', percent(then), percent(now)))
    heads = [("", False), ("share of rows", False), ("reference", True), ("now", True)]
    return html_table(heads, rows)


def _bar(share: float, colour: str) -> str:
    return f'<div style="width:{100 * share:.1f}%;height:8px;background-color:{colour}"></div>'


def _side_table(table: SideTable) -> str:
    """List the segments, or the rules, folded up; what is broken is bold."""
    rows = []
    for row, is_broken in zip(table.rows, table.broken, strict=True):
        name, *cells = (escape(cell) for cell in row)
        rows.append((f"<b>{name}</b>" if is_broken else name, *cells))
    title = f"{table.title}: {sum(table.broken):,} of {len(rows):,} violated"
    return f"<details><summary>{title}</summary>{html_table(table.heads, rows)}</details>"


def _metrics(metrics: Sequence[MetricResult]) -> str:
    if not metrics:
        return ""
    rows = []
    for metric in metrics[:ROWS_MAX]:
        interval = escape(metric.unbounded)
        if metric.low is not None and metric.high is not None:
            interval = f"{number_words(metric.low)} to {number_words(metric.high)}"
        mark = "" if metric.severity is None else _tag(metric.severity)
        value, reference, bound = map(_number, (metric.value, metric.reference, metric.bound))
        cells = (mark, escape(metric.shown), value, interval, reference, bound)
        rows.append((*cells, escape(note_words(metric.note))))
    heads = [("", False), ("metric", False), ("now", True), ("95% interval", True),
             ("reference", True), ("bound", True), ("note", False)]  # fmt: skip
    return html_table(heads, rows)


def _features(report: CheckResult) -> str:
    """List the features, folded up: what is violated stands above."""
    results = report.ranked_results
    if not results:
        return ""
    rows = [
        (
            escape(result.feature),
            *_side_bars(report.comparison(result.feature)),
            _number(result.ratio),
            escape(result.moved),
            "" if result.share_reference is None else percent(result.share_reference),
            "" if result.share_now is None else percent(result.share_now),
            f"{result.missing_count:,}" if result.missing_count else "",
            escape(result.note.replace("_", " ")),
        )
        for result in results[:ROWS_MAX]
    ]
    heads = [("feature", False), ("reference", False), ("now", False), ("x bound", True),
             ("strongest set", False), ("reference", True), ("now", True), ("missing", True),
             ("note", False)]  # fmt: skip
    left = len(results) - len(rows)
    more = f"<p>{left:,} more: report.features</p>" if left > 0 else ""
    title = f"{len(results):,} features, those nearest to their bound first"
    return f"<details><summary>{title}</summary>{html_table(heads, rows)}{more}</details>"


def _number(value: float | None) -> str:
    return "" if value is None else number_words(value)
