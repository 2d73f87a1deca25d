"""A report on the terminal: what is violated, then the numbers, what matters first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill, shorten
from typing import Literal

import typer
from rich.cells import cell_len, set_cell_size
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
from driftline.monitors.results.violation import FeatureResult, percent, plural

# Characters of a cause on the terminal; the documents and --json have it whole.
CAUSE_WIDTH = 400
# Violated features that are told; a screen holds no five thousand.
BROKEN_SHOWN = 20
# What happened to one of them, such as the same in each of fifty segments.
FINDINGS_SHOWN = 4
# Lines of the table of segments, or of rules.
SIDE_SHOWN, NAME_SHOWN, NAME_LEAST, GAP = 10, 34, 14, 2
# Features that keep the rules and are shown nevertheless: those nearest to their bound.
QUIET_SHOWN = 5
# Metrics that are neither violated nor judged, and are shown nevertheless; of one note, named.
OTHERS_SHOWN = NAMED_SHOWN = 8
PLAIN = "_.-=+*%#"
INDENT = 7
# A broken word is left out where this part of the room stays filled: else groups look alike.
WORDS_LEAST = 0.7
STYLES = {"page": "bold red", "ticket": "yellow"}
# Below this many columns only what a verdict rests on is shown; from the other on, more besides.
NARROW, WIDE = 72, 110
WIDE_BARS, BARS = 12, 8
# What stands beside the names of feature and set, with the gaps.
TAKEN_WIDE, TAKEN, TAKEN_NARROW = 84, 49, 46


def print_report(report: Report, console: Console | None = None) -> None:
    """Print what is violated, then the numbers, what matters first, within the terminal's width."""
    shown = console or Page(highlight=False)
    broken = bool(report.violations)
    _print_violations(report, shown)
    for number, side in enumerate(side_tables(report)):
        if broken or number:
            shown.print()
        shown.print(_side(side, shown.width))
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
    named = broken.feature if len(group) == 1 else plural(len(group), "column")
    for number, finding in enumerate(broken.findings[:FINDINGS_SHOWN]):
        line.append("\n" * bool(number))
        word, name = ("", "") if number else (broken.severity.upper(), named)
        line.append(f"{word:<{INDENT}}", STYLES[broken.severity])
        room = max(width - INDENT, INDENT)
        name = _cut(name, room)
        line.append(name, "bold")
        rows = plural(finding.first.row_count, "row") if finding.first.row_count else ""
        about = "  ".join(part for part in (", ".join(finding.checks), rows) if part)
        if name and cell_len(name) + 2 + len(about) > room:
            line.append(f"\n{' ' * INDENT}")
            name = ""
        line.append(f"{'  ' * bool(name)}{_cut(about, room)}", "dim")
        line.append(f"\n{_told(finding.cause, width)}")
    if len(group) > 1:
        names = ", ".join(one.feature for one in group)
        line.append(f"\n{_told(f'in {names}', width)}", "dim")
    if len(broken.findings) > FINDINGS_SHOWN:
        line.append(f"\n{' ' * INDENT}… and {len(broken.findings) - FINDINGS_SHOWN} more", "dim")
    return line


def _told(cause: str, width: int) -> str:
    return fill(
        shorten(harmless(cause), CAUSE_WIDTH, placeholder=" …"),
        max(width, 2 * INDENT + 1),
        initial_indent=" " * INDENT,
        subsequent_indent=" " * INDENT,
        break_on_hyphens=False,
    )


def _side(side: SideTable, width: int) -> Table:
    """Show the segments, or the rules, the broken ones in full strength."""
    heads = [head for head in side.heads if head[0] != "found"]  # That is told above.
    rows = side.rows[:SIDE_SHOWN]
    takes = [GAP + max(len(title), *(cell_len(row[place]) for row in rows))
             for place, (title, _) in enumerate(heads)]  # fmt: skip
    # A number that is cut reads as another; what there is no room for is left out, notes first.
    while len(heads) > 1 and sum(takes[1 : len(heads)]) + NAME_LEAST > width:
        heads.pop()
    room = min(NAME_SHOWN, max(NAME_LEAST, width - sum(takes[1 : len(heads)])))
    table = _table(*(f"{title}{'>' * is_number}" for title, is_number in heads))
    for row, is_broken in zip(rows, side.broken, strict=False):
        cells = [_cut(row[0], room), *row[1 : len(heads)]]
        style = "bold" if is_broken else "dim"
        table.add_row(*(Text(harmless(cell), style) for cell in cells))
    return _with_rest(table, len(side.rows) - SIDE_SHOWN)


def _features(report: Report, console: Console) -> Table:
    """Show drift by feature: how far over the bound, and how the values lie, then and now."""
    width, blocks = console.width, _blocks(console)
    names = ["feature", "x bound>"]
    names += ["type"] * (width >= WIDE) + ["strongest set"] * (width >= NARROW)
    names += ["then>", "now>"] + ["missing>"] * (width >= WIDE) + ["reference", "window"]
    table = _table(*names)
    severities = {one.feature: one.severity for one in violated_features(report.violations)}
    judged = [one for one in report.ranked_results if one.ratio is not None]
    chosen = [one for one in judged if one.feature in severities][:BROKEN_SHOWN]
    chosen += [one for one in judged if one.feature not in severities][:QUIET_SHOWN]
    room = width - (TAKEN_WIDE if width >= WIDE else TAKEN if width >= NARROW else TAKEN_NARROW)
    longest = max(len("feature"), *(cell_len(one.feature) for one in chosen))
    names_take = min(longest, room if width < NARROW else room // 2)
    for one in chosen:
        style = STYLES.get(severities.get(one.feature, ""), "dim")
        comparison = report.comparison(one.feature)
        cells = _cells(one, comparison, width, blocks, names_take, room - names_take)
        table.add_row(*(Text(cell, style) for cell in cells))
    return _with_rest(table, len(report.results) - len(chosen))


def _cells(
    one: FeatureResult,
    comparison: Comparison | None,
    width: int,
    blocks: str,
    name_width: int,
    set_width: int,
) -> Iterator[str]:
    """Return the cells of one row, as many as the width allows."""
    yield _cut(one.feature, name_width)
    ratio = one.ratio or 0.0
    yield f"{ratio:.2f}" if ratio < 1_000 else f"{ratio:.0f}"
    if width >= WIDE:
        yield one.type
    if width >= NARROW:
        yield _cut(one.moved, set_width)
    for share in (one.share_reference, one.share_now):
        yield "" if share is None else f"{share:.1%}"
    if width >= WIDE:
        yield percent(one.missing_count / max(1, one.row_count)) if one.missing_count else ""
    bars = WIDE_BARS if width >= WIDE else BARS if width >= NARROW else BARS - 2
    for side in (0, 1):
        if comparison is None:
            yield ""
        else:
            shape = comparison.shape[side]
            yield text_bars(shape, bars, ordered=comparison.ordered, blocks=blocks)


def _metrics(metrics: Sequence[MetricResult], width: int) -> Iterator[Table | str]:
    """Show each number with its interval beside the reference's, what was judged first; and notes.

    These stand below in lines of their own: beside the numbers there is room for two words.
    """
    ranked = sorted(metrics, key=lambda one: (not one.violated, one.bound is None))
    judged = sum(one.violated or one.bound is not None for one in metrics)
    shown = ranked[: judged + OTHERS_SHOWN]
    heads = ("now", "95% interval", "reference", "bound")
    numbers = [_metric_cells(one) for one in shown]
    taken = [GAP + max(map(cell_len, cells)) for cells in zip(heads, *numbers, strict=True)]
    # A number that is cut reads as another.
    name_width = max(NAME_LEAST // 2, width - GAP - sum(taken))
    table = _table("metric", "now>", "95% interval", "reference>", "bound>")
    for one, cells in zip(shown, numbers, strict=True):
        name = Text(_metric_name(one, name_width), STYLES.get(one.severity or "", ""))
        table.add_row(name, *(Text(cell) for cell in cells))
    yield _with_rest(table, len(metrics) - len(shown))
    named: dict[str, list[str]] = {}
    for one in shown:
        if note := _metric_note(one):
            named.setdefault(note, []).append(_metric_name(one, width))
    for note, names in named.items():
        more = f" and {len(names) - NAMED_SHOWN:,} more" * (len(names) > NAMED_SHOWN)
        told = f"{', '.join(names[:NAMED_SHOWN])}{more}: {harmless(note)}"
        yield fill(
            told, max(width, 2 * INDENT), subsequent_indent=" " * GAP, break_on_hyphens=False
        )


def _metric_name(one: MetricResult, width: int) -> str:
    """Name a metric and its group; of a long group its value, and of that the first words."""
    group = one.group or one.label
    room = width - len(one.name) - 1
    if cell_len(group) > room:
        group = one.facet_value or group
    group = _cut_words(group, room) if room > 1 else group
    return _cut(f"{group} {one.name}".strip(), width)


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
    """Make a table without lines; a name that ends in ">" heads numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.endswith(">") else "left"
        table.add_column(name.removesuffix(">"), justify=justify, no_wrap=True)
    return table


def _with_rest(table: Table, left: int) -> Table:
    if left > 0:
        table.caption = f"{left:,} more with --json or --format html"
        table.caption_justify = "left"
    return table


def _cut(text: str, width: int) -> str:
    """Return the beginning of a text of the data, in one line; East Asian signs take two places."""
    text = harmless(text).replace("\n", "�")
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1).rstrip()}…"


def _cut_words(text: str, width: int) -> str:
    """Return the first words of a text; the beginning of one that is too long by itself."""
    cut = _cut(text, width)
    whole = cut.removesuffix("…").rpartition(" ")[0].rstrip(" &,")
    is_within = cut != harmless(text) and cut.endswith("…") and text[len(cut) - 1 :][:1] != " "
    return f"{whole}…" if is_within and len(whole) >= WORDS_LEAST * width else cut


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _blocks(console: Console) -> str:
    """Return characters of growing height that the terminal can show."""
    return BLOCKS if (console.encoding or sys.stdout.encoding or "").startswith("utf") else PLAIN
