"""A report on the terminal, and as JUnit XML for those who show test results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from textwrap import fill, shorten
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftline.monitors.metric import INSUFFICIENT, MetricResult
from driftline.monitors.report import Report
from driftline.monitors.violation import FeatureResult, Violation

__all__ = ["junit", "print_report"]

# Characters of a cause on the terminal; the documents and --json have it whole.
CAUSE_WIDTH = 400
# Features that keep the rules and are shown nevertheless: those nearest to their bound.
QUIET_SHOWN = 5
# Metrics that are neither violated nor judged, and are shown nevertheless.
OTHERS_SHOWN = 8
BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*%#"
BAR_COUNT = 8
INDENT = 7
STYLES = {"page": "bold red", "ticket": "yellow"}


def print_report(report: Report, console: Console | None = None) -> None:
    """Print what is violated, then the numbers, what matters first, at most 80 columns wide."""
    shown = console or Console(highlight=False)
    for violation in sorted(report.violations, key=lambda one: one.severity != "page"):
        shown.print(_violation(violation, shown.width))
    if report.metrics:
        shown.print(_metrics(report.metrics))
    elif any(one.ratio is not None for one in report.results):
        shown.print(_features(report, _blocks(shown)))


def _violation(violation: Violation, width: int) -> Text:
    line = Text()
    line.append(f"{violation.severity.upper():<{INDENT}}", STYLES[violation.severity])
    line.append(violation.feature_name, "bold")
    line.append(f"  {violation.constraint_check_type}", "dim")
    if violation.row_count:
        line.append(f"  {violation.row_count:,} rows", "dim")
    cause = violation.cause or violation.description
    told = fill(
        shorten(cause, CAUSE_WIDTH, placeholder=" …"),
        max(width, 2 * INDENT + 1),
        initial_indent=" " * INDENT,
        subsequent_indent=" " * INDENT,
    )
    line.append(f"\n{told}")
    return line


def _features(report: Report, blocks: str) -> Table:
    """Show drift by feature: how far over the bound, and how the values lie, then and now."""
    table = _table("feature", "x bound>", "strongest set", "then>", "now>", "reference", "window")
    broken = {one.feature_name for one in report.violations}
    judged = sorted(
        (one for one in report.results if one.ratio is not None),
        key=lambda one: (one.feature not in broken, -(one.ratio or 0.0)),
    )
    shown = [one for one in judged if one.feature in broken]
    shown += [one for one in judged if one.feature not in broken][:QUIET_SHOWN]
    for one in shown:
        table.add_row(*_feature(one, report, blocks, is_broken=one.feature in broken))
    return _with_rest(table, len(report.results) - len(shown))


def _feature(one: FeatureResult, report: Report, blocks: str, *, is_broken: bool) -> Iterator[Text]:
    style = "bold" if is_broken else "dim"
    comparison = report.comparison(one.feature)
    yield Text(_cut(one.feature, 18), style)
    yield Text(f"{one.ratio:.2f}", style)
    yield Text(_cut(one.set or "", 14), style)
    for share in (one.share_reference, one.share_window):
        yield Text("" if share is None else f"{share:.1%}", style)
    for side in (None, None) if comparison is None else (comparison.reference, comparison.window):
        yield Text("" if side is None else _bars(side, blocks), style)


def _metrics(metrics: Sequence[MetricResult]) -> Table:
    """Show each number with its interval beside the reference's; what was judged first."""
    table = _table("metric", "now>", "95 % interval", "reference>", "bound>", "note")
    ranked = sorted(metrics, key=lambda one: (not one.violated, one.bound is None))
    judged = sum(one.violated or one.bound is not None for one in metrics)
    shown = ranked[: judged + OTHERS_SHOWN]
    for one in shown:
        group = "=".join(part for part in (one.facet, one.facet_value) if part) or one.label
        interval = "" if one.low is None or one.high is None else f"{one.low:.3g}…{one.high:.3g}"
        table.add_row(
            Text(_cut(f"{group} {one.name}".strip(), 24), STYLES.get(one.severity or "", "")),
            _number(one.value),
            interval,
            _number(one.reference),
            _number(one.bound),
            _cut(one.note, 16),
        )
    return _with_rest(table, len(metrics) - len(shown))


def _table(*columns: str) -> Table:
    """Make a table without lines; a name that ends in ">" heads numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.endswith(">") else "left"
        table.add_column(name.removesuffix(">"), justify=justify, no_wrap=True)
    return table


def _with_rest(table: Table, left: int) -> Table:
    if left:
        table.caption = f"{left} more with --json or --format html"
        table.caption_justify = "left"
    return table


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _bars(shares: np.ndarray, blocks: str) -> str:
    """Draw shares as one line of blocks, neighbours joined to at most BAR_COUNT."""
    joined = [part.sum() for part in np.array_split(shares, min(BAR_COUNT, len(shares)))]
    most = max(*joined, 1e-9) if len(joined) > 1 else 1.0
    return "".join(blocks[round(share / most * (len(blocks) - 1))] for share in joined)


def _blocks(console: Console) -> str:
    """Give characters of growing height that the terminal can show."""
    return BLOCKS if (console.encoding or sys.stdout.encoding or "").startswith("utf") else PLAIN


def junit(report: Report) -> str:
    """Write a report as JUnit XML: one case for each feature or metric, a failure a violation."""
    # A violated metric is a case under the name that its violation has.
    names = [one.feature for one in report.results]
    names += [one.shown for one in report.metrics if not one.violated]
    broken: dict[str, list[Violation]] = {}
    for violation in report.violations:
        broken.setdefault(violation.feature_name, []).append(violation)
    cases = list(dict.fromkeys([*names, *broken]))
    skipped = dict.fromkeys(report.insufficient, INSUFFICIENT)
    skipped |= {one.shown: one.note for one in report.metrics if one.note and not one.violated}
    suite = ElementTree.Element(
        "testsuite",
        name=f"driftline {report.kind}",
        tests=str(len(cases)),
        failures=str(len(broken)),
        errors="0",
        skipped=str(len(skipped.keys() - broken.keys())),
    )
    for name in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=report.kind, name=_clean(name))
        for violation in broken.get(name, []):
            failure = ElementTree.SubElement(
                case, "failure", type=violation.constraint_check_type,
                message=_clean(violation.description),
            )  # fmt: skip
            failure.text = _clean(violation.cause)
        if name in skipped and name not in broken:
            ElementTree.SubElement(case, "skipped", message=skipped[name])
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(sign for sign in text if sign in "\t\n" or " " <= sign < "\ud800" or
                   "\ue000" <= sign <= "�" or sign >= "\U00010000")  # fmt: skip
