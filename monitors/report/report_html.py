"""A report as HTML: a notebook's cell, and a self-contained page.

Both come from the macros of assets/report.html; the page adds a style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline.baseline.display import number_words, text_bars
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.ranking import Finding, ViolatedFeature, violated_features
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.violation import percent, plural

if TYPE_CHECKING:
    from driftline.monitors.report.reports import Reports  # It lies above.

ASSETS = Path(__file__).parents[1] / "assets"
FIGURES_MAX = 5
BARS = 12
ROWS_NAMED = 5
LEAST_BLAME = 0.005
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_document(title: str, body: str) -> str:
    """Return a self-contained page that may run no script."""
    style = (ASSETS / "report.css").read_text("utf-8")
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
        verdict = "Could not be judged"
    left = f"; {len(report.unjudged):,} not judged" if report.decided and report.unjudged else ""
    return f"{verdict} in {plural(report.row_count, 'row')}{left}"


def report_html(report: CheckResult) -> str:
    """Return a report as HTML; every text of the data is escaped."""
    return str(_template().one_report(report))


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
    return str(_template().all_reports(reports))


@cache
def _template() -> Any:  # noqa: ANN401 - the macros of a jinja2 template are its attributes
    # Slow to import, and only needed for pages.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "about": _about,
        "compared": _compared,
        "count": lambda count: f"{count:,}" if count else "",
        "details": _details,
        "kind_lines": kind_lines,
        "notes": _notes,
        "number": lambda value: "" if value is None else number_words(value),
        "percent": lambda share: "" if share is None else percent(share),
        "reports_title": reports_title,
        "side_bars": _side_bars,
        "side_tables": side_tables,
        "title_of": title_of,
        "violated": lambda report: violated_features(report.violations),
    }
    return environment.get_template("report.html").module


def _about(report: CheckResult) -> str:
    """Return the kind, the window, the baseline and how many features were judged."""
    parts = [report.kind, "" if report.window is None else str(report.window)]
    if report.baseline_version:
        parts.append(f"baseline {report.baseline_version}")
    if report.results:
        judged = sum(result.ratio is not None for result in report.results)
        parts.append(f"{judged:,} of {plural(len(report.results), 'feature')} judged")
    return ", ".join(filter(None, parts))


def _notes(report: CheckResult) -> list[str]:
    return list(filter(None, (report.unjudged_text, *notes_of(report.details))))


def _details(finding: Finding) -> str:
    """Return the checks, the segment, the contribution and the first rows of a finding."""
    first = finding.first
    parts = [", ".join(finding.checks)]
    # Of a segment that was judged apart, the cause says so.
    if first.segment and not first.within and str(first.segment) not in finding.cause:
        parts.append(str(first.segment))
    if first.share_of_blame >= LEAST_BLAME:
        parts.append(f"{first.share_of_blame:.0%} of the blame")
    if first.first_rows:
        rows = ["/".join(str(one) for one in row.values()) for row in first.first_rows]
        parts.append(f"first rows: {', '.join(rows[:ROWS_NAMED])}")
    return "; ".join(parts)


def _side_bars(report: CheckResult, feature: str) -> tuple[str, str]:
    """Draw a feature's reference and window as characters."""
    found = report.comparison(feature)
    if found is None:
        return "", ""
    then, now = (text_bars(side, BARS, ordered=found.ordered) for side in found.shape)
    return then, now


def _compared(report: CheckResult, broken: Sequence[ViolatedFeature]) -> list[Comparison]:
    """Return the comparisons of the first few violated features."""
    found = (report.comparison(one.feature) for one in broken)
    return list(islice((one for one in found if one is not None), FIGURES_MAX))
