"""The reports of several kinds as one HTML page: a line for each kind, then what its page has.

The parts are those of `driftline.monitors.report.page`; so is the script, and what it may do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from driftline.monitors.report.page import (
    FeatureList,
    headline,
    kind_section,
    mood_of,
    scripted_document,
)
from driftline.monitors.report.ranking import violated_features
from driftline.monitors.results.violation import plural

if TYPE_CHECKING:
    from driftline.monitors.report.reports import Reports  # It lies above.

# Of the table of kinds: titles, and whether numbers stand below them.
KIND_HEADS = (("kind", False), ("verdict", False), ("violations", True), ("what", False))


@dataclass(frozen=True, slots=True)
class KindLine:
    """A kind in the table of kinds."""

    kind: str
    verdict: str
    count: str  # Of violations; "" where nothing was decided.
    told: str  # What is violated first, or why nothing was judged.
    mood: str  # Class that colours the verdict.
    is_judged: bool = True  # Whether it has a report.

    @property
    def cells(self) -> tuple[str, str, str]:
        """What stands beside the kind's name."""
        return self.verdict, self.count, self.told


def reports_page(reports: Reports) -> str:
    """Draw the reports as a whole document; every text of the data is escaped."""
    pages, tickets = reports.page_count, reports.violation_count - reports.page_count
    facts = [
        ("rows", f"{reports.row_count:,}"),
        ("baseline", reports.baseline_version),
        ("kinds judged", f"{reports.decided_count:,}"),
        ("pages", f"{pages:,}" if reports.violation_count else ""),
        ("tickets", f"{tickets:,}" if reports.violation_count else ""),
    ]
    mood = "page" if pages else "good" if reports.passed else "ticket"
    title = reports_title(reports)
    # The kind that judges columns has the table that the script sorts; a page has one such.
    tabled = next((name for name, report in reports.items() if report.results), None)
    features = FeatureList() if tabled is None else FeatureList.of(reports[tabled])
    parts = [headline("driftline", title, mood, facts), _table(reports)]
    for name, report in reports.items():
        drawn = features if name == tabled else FeatureList()
        parts.append(kind_section(report, drawn, _anchor(name)))
    return scripted_document(title, parts, features)


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


def kind_lines(reports: Reports) -> Iterator[KindLine]:
    """Return a line for each kind, those that are not judged last."""
    for name, report in reports.items():
        verdict = "violated" if report.violations else "passed" if report.passed else "not judged"
        told = "" if report.decided else report.summary
        if first := next(iter(violated_features(report.violations)), None):
            told = f"{first.feature}: {first.findings[0].cause}"
        count = f"{report.violation_count:,}" if report.decided else ""
        yield KindLine(name, verdict, count, told, mood_of(report))
    for name, why in reports.refused.items():
        yield KindLine(name, "not judged", "", why, "ticket", is_judged=False)
    for name, why in reports.left_out.items():
        yield KindLine(name, "left out", "", why, "quiet", is_judged=False)


def _table(reports: Reports) -> str:
    """Draw the table of kinds, each name a link to its part."""
    lines = []
    for one in kind_lines(reports):
        name = escape(one.kind)
        name = f'<a href="#{_anchor(one.kind)}">{name}</a>' if one.is_judged else name
        verdict = f'<span class="tag {one.mood}">{one.verdict}</span>'
        lines.append(
            f'<tr><th scope="row">{name}</th><td data-title="">{verdict}</td>'
            f'<td class="number" data-title="violations">{one.count}</td>'
            f'<td data-title="">{escape(one.told)}</td></tr>'
        )
    heads = "".join(
        f'<th class="number">{title}</th>' if is_number else f"<th>{title}</th>"
        for title, is_number in KIND_HEADS
    )
    return (
        '<h2>Kinds</h2><div class="wide"><table class="list side kinds">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _anchor(kind: str) -> str:
    return f"kind-{escape(kind)}"
