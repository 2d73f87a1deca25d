"""A report on the terminal: what is violated, then the numbers, what matters first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill, shorten
from typing import Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftline.app.commands.output import harmless
from driftline.app.commands.table import Page
from driftline.baseline.display import BLOCKS, text_bars
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.ranking import (
    ViolatedFeature,
    similar_features,
    violated_features,
)
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.report.side_tables import SideTable, side_tables
from driftline.monitors.results.metric import UNBOUNDED, MetricResult
from driftline.monitors.results.unjudged import note_words
from driftline.monitors.results.violation import FeatureResult, plural

# Characters of a cause on the terminal; the documents and --json have it whole.
CAUSE_WIDTH = 400
# Violated features that are told; a screen holds no five thousand.
BROKEN_SHOWN = 20
# What happened to one of them, such as the same in each of fifty segments.
FINDINGS_SHOWN = 4
# Lines of the table of segments, or of rules.
SIDE_SHOWN, GAP = 10, 2
# Features that keep the rules and are shown nevertheless: those nearest to their bound.
QUIET_SHOWN = 5
# Metrics that are neither violated nor judged, and are shown nevertheless; of one note, named.
OTHERS_SHOWN = NAMED_SHOWN = 8
PLAIN = "_.-=+*%#"
INDENT = 7
STYLES = {"page": "bold red", "ticket": "yellow"}
# Below this many columns the strongest set of a feature is not shown; numbers need the other.
NARROW, LEAST = 72, 60
BARS = 8
# Behind the title of a column of numbers, or of what else must stand in one line; names are folded.
NUMBERS, WHOLE = ">", "|"


def print_report(report: Report, console: Console | None = None) -> None:
    """Print what is violated, then the numbers, what matters first, within the terminal's width."""
    shown = console or Page(highlight=False)
    shown.width = max(shown.width, LEAST)
    broken = bool(report.violations)
    _print_violations(report, shown)
    for number, side in enumerate(side_tables(report)):
        if broken or number:
            shown.print()
        shown.print(_side(side))
    numbers: Iterable[Table | str] = ()
    if report.metrics:
        numbers = _metrics(report.shown_metrics, shown.width)
    elif any(one.ratio is not None for one in report.results):
        numbers = (_features(report, shown),)
    for number, part in enumerate(numbers):
        if not number and (broken or side_tables(report)):
            shown.print()
        shown.print(part, markup=False, soft_wrap=isinstance(part, str))


def print_reports(reports: Reports) -> None:
    """Print of each kind what is violated, and its result in a sentence."""
    shown = Page(highlight=False)
    shown.width = max(shown.width, LEAST)
    for name, report in reports.items():
        shown.print(Text(harmless(name), "bold"))
        print_sentence(report.headline if report.decided else report.summary)
        _print_violations(report, shown)
        if report.decided and report.unjudged:
            print_sentence(report.unjudged_text)
        shown.print()
    for what, reasons in (("not judged", reports.refused), ("left out", reports.left_out)):
        for name, why in reasons.items():
            print_sentence(f"{name} {what}: {why}")


def _print_violations(report: Report, shown: Console) -> None:
    groups = similar_features(violated_features(report.violations))
    for group in groups[:BROKEN_SHOWN]:
        shown.print(_violated(group, shown.width), soft_wrap=True)
    if len(groups) > BROKEN_SHOWN:
        left = plural(sum(map(len, groups[BROKEN_SHOWN:])), "more feature")
        shown.print(f"{' ' * INDENT}… and {left}: --json or --format html")


def print_sentence(text: str) -> None:
    """Print a sentence in lines as wide as the terminal; whole where no width is asked for."""
    page, text = Page(), harmless(text)
    if page.has_width:
        text = fill(text, max(page.width, 2 * INDENT), break_on_hyphens=False)
    typer.echo(text)


def _violated(group: Sequence[ViolatedFeature], width: int) -> Text:
    """Describe a feature, or some that are alike: how loud, what happened, checks, rows."""
    line, broken = Text(), group[0]
    name = _plain(broken.feature) if len(group) == 1 else plural(len(group), "column")
    line.append(f"{broken.severity.upper():<{INDENT}}", STYLES[broken.severity])
    line.append(name, "bold")
    for number, finding in enumerate(broken.findings[:FINDINGS_SHOWN]):
        rows = plural(finding.first.row_count, "row") if finding.first.row_count else ""
        about = _plain("  ".join(part for part in (", ".join(finding.checks), rows) if part))
        is_beside = not number and INDENT + cell_len(name) + GAP + len(about) <= width
        line.append(f"  {about}" if is_beside else f"\n{_indented(about, width)}", "dim")
        line.append(f"\n{_told(finding.cause, width)}")
    if len(group) > 1:
        names = ", ".join(one.feature for one in group)
        line.append(f"\n{_told(f'in {names}', width)}", "dim")
    if len(broken.findings) > FINDINGS_SHOWN:
        line.append(f"\n{' ' * INDENT}… and {len(broken.findings) - FINDINGS_SHOWN} more", "dim")
    return line


def _told(cause: str, width: int) -> str:
    return _indented(shorten(harmless(cause), CAUSE_WIDTH, placeholder=" …"), width)


def _indented(text: str, width: int) -> str:
    indent = " " * INDENT
    return fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _side(side: SideTable) -> Table:
    """Show the segments, or the rules, the broken ones in full strength."""
    heads = [head for head in side.heads if head[0] != "found"]  # That is told above.
    table = _table(*(f"{title}{NUMBERS * is_number}" for title, is_number in heads))
    for row, is_broken in zip(side.rows[:SIDE_SHOWN], side.broken, strict=False):
        style = "bold" if is_broken else "dim"
        table.add_row(*(Text(_plain(cell), style) for cell in row[: len(heads)]))
    return _with_rest(table, len(side.rows) - SIDE_SHOWN)


def _features(report: Report, console: Console) -> Table:
    """Show drift by feature: how far over the bound, and how the values lie, then and now."""
    blocks, has_set = _blocks(console), console.width >= NARROW
    moved = ["strongest set"] * has_set
    table = _table("feature", "x bound>", *moved, "then>", "now>", "reference|", "window|")
    severities = {one.feature: one.severity for one in violated_features(report.violations)}
    judged = [one for one in report.ranked_results if one.ratio is not None]
    chosen = [one for one in judged if one.feature in severities][:BROKEN_SHOWN]
    chosen += [one for one in judged if one.feature not in severities][:QUIET_SHOWN]
    for one in chosen:
        style = STYLES.get(severities.get(one.feature, ""), "dim")
        cells = _cells(one, report.comparison(one.feature), blocks, has_set=has_set)
        table.add_row(*(Text(_plain(cell), style) for cell in cells))
    return _with_rest(table, len(report.results) - len(chosen))


def _cells(
    one: FeatureResult, comparison: Comparison | None, blocks: str, *, has_set: bool
) -> Iterator[str]:
    """Return the cells of one row."""
    yield one.feature
    ratio = one.ratio or 0.0
    yield f"{ratio:.2f}" if ratio < 1_000 else f"{ratio:.0f}"
    if has_set:
        yield one.moved
    for share in (one.share_reference, one.share_now):
        yield "" if share is None else f"{share:.1%}"
    if comparison is not None:
        for shape in comparison.shape:
            yield text_bars(shape, BARS, ordered=comparison.ordered, blocks=blocks)


def _metrics(metrics: Sequence[MetricResult], width: int) -> Iterator[Table | str]:
    """Show each number with its interval beside the reference's, what was judged first; and notes.

    These stand below in lines of their own: beside the numbers there is room for two words.
    """
    ranked = sorted(metrics, key=lambda one: (not one.violated, one.bound is None))
    judged = sum(one.violated or one.bound is not None for one in metrics)
    shown = ranked[: judged + OTHERS_SHOWN]
    table = _table("metric", "now>", "95% interval|", "reference>", "bound>")
    for one in shown:
        name = Text(_metric_name(one), STYLES.get(one.severity or "", ""))
        table.add_row(name, *(Text(cell) for cell in _metric_cells(one)))
    yield _with_rest(table, len(metrics) - len(shown))
    named: dict[str, list[str]] = {}
    for one in shown:
        if note := _metric_note(one):
            named.setdefault(note, []).append(_metric_name(one))
    for note, names in named.items():
        more = f" and {len(names) - NAMED_SHOWN:,} more" * (len(names) > NAMED_SHOWN)
        told = f"{', '.join(names[:NAMED_SHOWN])}{more}: {harmless(note)}"
        yield fill(
            told, max(width, 2 * INDENT), subsequent_indent=" " * GAP, break_on_hyphens=False
        )


def _metric_name(one: MetricResult) -> str:
    """Name a metric and its group."""
    return _plain(f"{one.group or one.label} {one.name}".strip())


def _metric_cells(one: MetricResult) -> tuple[str, ...]:
    """Return a metric's numbers in words."""
    interval = "none" if one.unbounded else ""
    if one.low is not None and one.high is not None:
        interval = f"{one.low:.3g}…{one.high:.3g}"
    return _number(one.value), interval, _number(one.reference), _number(one.bound)


def _metric_note(one: MetricResult) -> str:
    """Return what is to be said of a metric: that it was not judged, or why it has no interval."""
    return note_words(one.note) or one.unbounded.removeprefix(UNBOUNDED)


def _table(*columns: str) -> Table:
    """Make a table without lines, of columns with their names as `NUMBERS` and `WHOLE` say."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
    for name in columns:
        title = name.rstrip(NUMBERS + WHOLE)
        justify: Literal["left", "right"] = "right" if name.endswith(NUMBERS) else "left"
        table.add_column(title, justify=justify, no_wrap=title != name, overflow="fold")
    return table


def _with_rest(table: Table, left: int) -> Table:
    if left > 0:
        table.caption = f"{left:,} more with --json or --format html"
        table.caption_justify = "left"
    return table


def _plain(text: str) -> str:
    """Return a text of the data in one line."""
    return harmless(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _blocks(console: Console) -> str:
    """Return characters of growing height that the terminal can show."""
    return BLOCKS if (console.encoding or sys.stdout.encoding or "").startswith("utf") else PLAIN
