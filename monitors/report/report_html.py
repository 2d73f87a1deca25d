"""A report as HTML: a notebook's cell, and a self-contained page.

An untrusted notebook strips scripts, style sheets and SVG, so pictures are characters and plain
boxes (`driftline.baseline.display`). The page adds a style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.baseline.display import html_table, number_words, text_bars
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.ranking import Finding, ViolatedFeature, violated_features
from driftline.monitors.report.side_tables import SideTable, side_tables
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.unjudged import note_words
from driftline.monitors.results.violation import Severity, percent, plural

if TYPE_CHECKING:
    from driftline.monitors.report.reports import Reports  # It lies above.

VIOLATED_MAX = 50
FIGURES_MAX = 5
ROWS_MAX = 200
BARS = 12
FINDINGS_MAX = 6
ROWS_NAMED = 5
LEAST_BLAME = 0.005
# White text on these is readable on a light and on a dark page; bars stand out from both.
GROUNDS: dict[Severity, str] = {"page": "#b3261e", "ticket": "#8a6100"}
THEN, NOW, MOVED, QUIET = "#4a90c2", "#8a929c", "#d9661f", "#7d858e"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_document(title: str, body: str) -> str:
    """Return a self-contained page that may run no script."""
    style = (Path(__file__).parents[1] / "assets" / "report.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} – driftline</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def title_of(report: CheckResult) -> str:
    """Return the verdict in a few words, with the number of rows."""
    verdict = plural(report.violation_count, "violation") if report.violations else "No violations"
    if not report.decided:
        verdict = "Too few rows to judge" if report.insufficient_data else "Could not be judged"
    left = f"; {len(report.unjudged):,} not judged" if report.decided and report.unjudged else ""
    return f"{verdict} in {plural(report.row_count, 'row')}{left}"


def report_html(report: CheckResult) -> str:
    """Return a report as HTML; every text of the data is escaped."""
    about = [report.kind, "" if report.window is None else str(report.window)]
    if report.baseline_version:
        about.append(f"baseline {report.baseline_version}")
    judged = sum(result.ratio is not None for result in report.results)
    if report.results:
        about.append(f"{judged:,} of {plural(len(report.results), 'feature')} judged")
    notes = [report.unjudged_text, *notes_of(report.details)]
    broken = violated_features(report.violations)
    return "".join(
        (
            "<div>",
            f"<p><b>{title_of(report)}</b> {escape(', '.join(one for one in about if one))}</p>",
            *(f"<p>{escape(one[0].upper())}{escape(one[1:])}.</p>" for one in notes if one),
            _violations(report, broken),
            *_figures(report, broken),
            *(_side_table(one) for one in side_tables(report)),
            _metrics(report.shown_metrics),
            _features(report),
            "</div>",
        )
    )


@dataclass(frozen=True, slots=True)
class KindLine:
    """A kind in the table of kinds."""

    kind: str
    verdict: str
    count: str  # Of violations; "" where nothing was decided.
    words: str  # What is violated first, or why nothing was judged.


def kind_lines(reports: Reports) -> Iterator[KindLine]:
    """Return a line for each kind, those that are not judged last."""
    for name, report in reports.items():
        verdict = "violated" if report.violations else "passed" if report.passed else "not judged"
        words = "" if report.decided else report.summary
        if first := next(iter(violated_features(report.violations)), None):
            words = f"{first.feature}: {first.findings[0].cause}"
        yield KindLine(name, verdict, f"{report.violation_count:,}" * report.decided, words)
    for name, why in reports.refused.items():
        yield KindLine(name, "not judged", "", why)
    for name, why in reports.left_out.items():
        yield KindLine(name, "left out", "", why)


def reports_title(reports: Reports) -> str:
    """Return the verdict in a few words."""
    rows = plural(reports.row_count, "row")
    broken = sum(bool(report.violations) for report in reports.values())
    verdict = f"No violations in {rows}"
    if broken:
        count = plural(reports.violation_count, "violation")
        verdict = f"{count} in {rows}, by {broken} of {plural(reports.decided_count, 'kind')}"
    elif not reports.decided_count:
        return f"{rows} could not be judged"
    undecided = plural(len(reports.undecided), "kind")
    return f"{verdict}; {undecided} could not be judged" if reports.undecided else verdict


def reports_html(reports: Reports) -> str:
    """Return the reports of several kinds: a line each, and each report folded."""
    heads = (("kind", False), ("verdict", False), ("violations", True), ("what", False))
    lines = [
        tuple(map(escape, (one.kind, one.verdict, one.count, one.words)))
        for one in kind_lines(reports)
    ]
    head = f"<p><b>{reports_title(reports)}</b> baseline {escape(reports.baseline_version)}</p>"
    folded = (_folded(name, report_html(report)) for name, report in reports.items())
    return f"<div>{head}{html_table(heads, lines)}{''.join(folded)}</div>"


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _violations(report: CheckResult, broken: Sequence[ViolatedFeature]) -> str:
    if not broken:
        return ""
    rows = []
    for feature in broken[:VIOLATED_MAX]:
        about = (
            _tag(feature.severity),
            f"<b>{escape(feature.feature)}</b>",
            *_side_bars(report.comparison(feature.feature)),
        )
        # A line of the table for each, so that its number stands beside it however it wraps.
        for number, finding in enumerate(feature.findings[:FINDINGS_MAX]):
            count = f"{finding.first.row_count:,}" if finding.first.row_count else ""
            front = ("",) * len(about) if number else about
            rows.append((*front, _finding(finding), count))
        if len(feature.findings) > FINDINGS_MAX:
            more = f"{len(feature.findings) - FINDINGS_MAX} more"
            rows.append((*("",) * len(about), more, ""))
    left = len(broken) - VIOLATED_MAX
    rest = f"<p>{left:,} more: report.features, report.json</p>" if left > 0 else ""
    heads = [("", False), ("feature", False), ("reference", False), ("now", False),
             ("what happened", False), ("rows", True)]  # fmt: skip
    return html_table(heads, rows) + rest


def _finding(finding: Finding) -> str:
    """Return the cause, and below it the checks, the segment, the contribution, the first rows."""
    first = finding.first
    quiet = [", ".join(finding.checks)]
    # Of a segment that was judged apart, the cause says so.
    if first.segment and not first.within and str(first.segment) not in finding.cause:
        quiet.append(str(first.segment))
    if first.share_of_blame >= LEAST_BLAME:
        quiet.append(f"{first.share_of_blame:.0%} of the blame")
    if first.first_rows:
        rows = ["/".join(str(one) for one in row.values()) for row in first.first_rows]
        quiet.append(f"first rows: {', '.join(rows[:ROWS_NAMED])}")
    below = f'<span style="color:{QUIET}">{escape("; ".join(quiet))}</span>'
    return f"{escape(finding.cause)}<br>{below}"


def _tag(severity: Severity) -> str:
    ground = GROUNDS[severity]
    style = "color:#ffffff;padding:1px 6px;border-radius:3px;white-space:nowrap"
    return f'<span style="background-color:{ground};{style}">{severity}</span>'


def _side_bars(found: Comparison | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    then, now = (text_bars(side, BARS, ordered=found.ordered) for side in found.shape)
    return then, now


def _figures(report: CheckResult, broken: Sequence[ViolatedFeature]) -> Iterator[str]:
    """Draw the bars of the first few violated features."""
    drawn = 0
    for feature in broken:
        found = report.comparison(feature.feature)
        if found is None or drawn >= FIGURES_MAX:
            continue
        drawn += 1
        yield f"<p><b>{escape(feature.feature)}</b></p>{_bars(found)}"


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
    return _folded(title, html_table(table.heads, rows))


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
            escape("; ".join(filter(None, (result.moved, result.change)))),
            "" if result.share_reference is None else percent(result.share_reference),
            "" if result.share_now is None else percent(result.share_now),
            f"{result.missing_count:,}" if result.missing_count else "",
            f"{result.unfit_count:,}" if result.unfit_count else "",
            escape(result.note.replace("_", " ")),
        )
        for result in results[:ROWS_MAX]
    ]
    heads = [("feature", False), ("reference", False), ("now", False), ("x bound", True),
             ("strongest set", False), ("reference", True), ("now", True), ("missing", True),
             ("unfit", True), ("note", False)]  # fmt: skip
    left = len(results) - len(rows)
    more = f"<p>{left:,} more: report.features</p>" if left > 0 else ""
    title = f"{len(results):,} features, those nearest to their bound first"
    return _folded(title, html_table(heads, rows) + more)


def _number(value: float | None) -> str:
    return "" if value is None else number_words(value)
