"""The forms of a check's result: printed on standard output, and written into its folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from textwrap import shorten

import typer

from driftline.app.commands.output import harmless, show_json
from driftline.app.commands.table import print_table, print_text
from driftline.baseline.display import text_bars
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.report.ranking import (
    ViolatedFeature,
    similar_features,
    violated_features,
)
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.results.metric import UNBOUNDED, MetricResult
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.unjudged import note_words
from driftline.monitors.results.violation import plural

FILES = {"html": "report.html", "junit": "junit.xml"}
FORMATS = ("text", "json", *FILES)

# Characters of a cause on the terminal; the documents and --json have it whole.
CAUSE_WIDTH = 400
# Violated features that are told, and what happened to one, such as the same in fifty segments.
BROKEN_SHOWN, FINDINGS_SHOWN = 20, 4
# Lines of other tables: of segments or rules; of features, and of metrics, that nobody violated.
SIDE_SHOWN, QUIET_SHOWN, OTHERS_SHOWN = 10, 5, 8
INDENT, BARS = 7, 8


def formats_of(given: str, *, as_json: bool, output: str | None) -> list[str]:
    """Read ``--format text,html``; ``--json`` puts JSON first."""
    found = list(dict.fromkeys(one.strip().lower() for one in given.split(",") if one.strip()))
    if not found or set(found) - set(FORMATS):
        raise InputError(f'--format "{given}": expected some of {", ".join(FORMATS)}')
    if as_json:
        # Text is only what nobody asked otherwise.
        found = ["json", *(one for one in found if one not in ("text", "json"))]
    if len(found) > 1 and output is None:
        raise InputError(
            f"--format {','.join(found)}: standard output has room for one; "
            "add -o FOLDER for the others"
        )
    return found


def show(report: Report | Reports, formats: Sequence[str], output: str | None) -> None:
    """Print one form on standard output; write pages and test results into the folder.

    Text and JSON are for standard output, where the first of them goes, if one was asked for. A
    page or test results of an earlier run are taken out of the folder, so that none stands beside
    a report that it is not of.
    """
    written = []
    for form, name in FILES.items():
        if output is None:
            break
        place = locate(output) / name
        if form in formats:
            place.write(_document(report, form).encode())
            written.append(place.shown)
        else:
            place.remove_file()
    spoken = next((one for one in formats if one not in FILES), None)
    if spoken == "json":
        show_json(report.to_dict())
    elif spoken is None and not written:
        typer.echo(harmless(_document(report, formats[0])), nl=False)
    elif spoken is None:
        typer.echo(harmless(f"{', '.join(written)}: {report.headline}"))
    else:
        _print(report)


def _document(report: Report | Reports, form: str) -> str:
    from driftline.app.commands.junit import junit  # A check in text needs no XML.

    if form == "html":
        return report.html()
    if isinstance(report, Report):
        return junit([report])
    return junit(report.values(), report.refused)


def _print(report: Report | Reports) -> None:
    """Print a sentence, then what is violated and the numbers, what matters first."""
    if report.decided or report.violations:  # Otherwise the error says why.
        print_text(report.headline)
    if isinstance(report, Report):
        print_report(report)
        return
    for name, one in report.items():
        typer.echo()
        typer.echo(name)
        print_text(one.headline if one.decided else one.summary)
        _print_violations(one)
        if one.decided and one.unjudged:
            print_text(one.unjudged_text)
    for what, reasons in (("not judged", report.refused), ("left out", report.left_out)):
        for name, why in reasons.items():
            print_text(f"{name} {what}: {why}")


def print_report(report: Report) -> None:
    """Print what is violated, then tables of numbers, and what is to be noted of them."""
    _print_violations(report)
    for side in side_tables(report):
        _print_rows([head for head, _ in side.heads], side.rows, SIDE_SHOWN)
    if report.metrics:
        _print_metrics(report.shown_metrics)
    elif any(one.ratio is not None for one in report.results):
        _print_features(report)
    for note in notes_of(report.details):
        print_text(note)
    if report.decided and report.unjudged:
        print_text(report.unjudged_text)


def _print_violations(report: Report) -> None:
    groups = similar_features(violated_features(report.violations))
    for group in groups[:BROKEN_SHOWN]:
        _print_violated(group)
    if len(groups) > BROKEN_SHOWN:
        left = plural(sum(map(len, groups[BROKEN_SHOWN:])), "more feature")
        print_text(f"… and {left}: --json or --format html", INDENT)


def _print_violated(group: Sequence[ViolatedFeature]) -> None:
    """Describe a feature, or some that are alike: how loud, what happened, checks, rows."""
    broken = group[0]
    name = broken.feature if len(group) == 1 else plural(len(group), "column")
    for number, finding in enumerate(broken.findings[:FINDINGS_SHOWN]):
        rows = plural(finding.first.row_count, "row") if finding.first.row_count else ""
        about = "  ".join(filter(None, (", ".join(finding.checks), rows)))
        if number:
            print_text(about, INDENT)
        else:
            print_text(f"{broken.severity.upper():{INDENT}}{name}  {about}")
        print_text(shorten(harmless(finding.cause), CAUSE_WIDTH, placeholder=" …"), INDENT)
    if len(group) > 1:
        print_text(f"in {', '.join(one.feature for one in group)}", INDENT)
    if len(broken.findings) > FINDINGS_SHOWN:
        print_text(f"… and {len(broken.findings) - FINDINGS_SHOWN} more", INDENT)


def _print_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> None:
    typer.echo()
    print_table(heads, [dict(zip(heads, row, strict=True)) for row in rows[:most]])
    if len(rows) > most:
        typer.echo(f"{len(rows) - most:,} more with --json or --format html")


def _print_features(report: Report) -> None:
    """Show drift by feature: how far over the bound, and how the values lie, then and now."""
    broken = {one.feature for one in violated_features(report.violations)}
    judged = [one for one in report.ranked_results if one.ratio is not None]
    chosen = [one for one in judged if one.feature in broken][:BROKEN_SHOWN]
    chosen += [one for one in judged if one.feature not in broken][:QUIET_SHOWN]
    heads = ["feature", "x bound", "strongest set", "then", "now", "reference", "window"]
    rows = []
    for one in chosen:
        shares = (
            "" if one is None else f"{one:.1%}" for one in (one.share_reference, one.share_now)
        )
        found = report.comparison(one.feature)
        bars = ["", ""]
        if found is not None and len(found.shape):
            bars = [text_bars(shape, BARS, ordered=found.ordered) for shape in found.shape]
        rows.append([one.feature, f"{one.ratio:.2f}", one.moved, *shares, *bars])
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        heads, rows = heads[:-2], [row[:-2] for row in rows]  # Bars would be question marks.
    _print_rows(heads, rows, len(rows))
    if len(report.results) > len(rows):
        typer.echo(f"{len(report.results) - len(rows):,} more with --json or --format html")


def _print_metrics(metrics: Sequence[MetricResult]) -> None:
    """Show each number with its interval, what was judged first; and what is noted of them."""
    ranked = sorted(metrics, key=lambda one: (not one.violated, one.bound is None))
    most = sum(one.violated or one.bound is not None for one in metrics) + OTHERS_SHOWN
    heads = ("metric", "now", "95% interval", "reference", "bound")
    rows, notes = [], dict[str, list[str]]()
    for one in ranked:
        name = f"{one.group or one.label} {one.name}".strip()
        interval = "none" if one.unbounded else ""
        if one.low is not None and one.high is not None:
            interval = f"{one.low:.3g}…{one.high:.3g}"
        now, reference, bound = map(_number, (one.value, one.reference, one.bound))
        rows.append((name, now, interval, reference, bound))
        note = note_words(one.note) or one.unbounded.removeprefix(UNBOUNDED)
        if note and len(rows) <= most:
            notes.setdefault(note, []).append(name)
    _print_rows(heads, rows, most)
    for note, names in notes.items():
        more = f" and {len(names) - OTHERS_SHOWN:,} more" * (len(names) > OTHERS_SHOWN)
        print_text(f"{', '.join(names[:OTHERS_SHOWN])}{more}: {note}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
