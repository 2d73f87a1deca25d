"""The forms of a check's result: printed on standard output, and written into its folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from textwrap import shorten

import typer

from driftline.app.commands.output import Answer, Table, harmless, print_text
from driftline.baseline.display import text_bars
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.report.ranking import similar_features, violated_features
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
BLANK = " " * INDENT


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
    for form, name in FILES.items() if output is not None else ():
        place = locate(f"{output}") / name
        if form in formats:
            place.write(_document(report, form).encode())
            written.append(place.shown)
        else:
            place.remove_file()
    spoken = next((one for one in formats if one not in FILES), None)
    if spoken is not None:
        value = report.to_dict() if spoken == "json" else None
        Answer(value, _lines(report)).print(as_json=spoken == "json")
    elif written:
        print_text(f"{', '.join(written)}: {report.headline}")
    else:
        typer.echo(harmless(_document(report, formats[0])), nl=False)


def _document(report: Report | Reports, form: str) -> str:
    from driftline.app.commands.junit import junit  # A check in text needs no XML.

    if form == "html":
        return report.html()
    if isinstance(report, Report):
        return junit([report])
    return junit(report.values(), report.refused)


def _lines(report: Report | Reports) -> Iterator[str | Table]:
    """Return a sentence, then what is violated and the numbers, what matters first."""
    if report.decided or report.violations:  # Otherwise the error says why.
        yield report.headline
    if isinstance(report, Report):
        yield from _violations(report)
        for side in side_tables(report):
            yield from _rows([head for head, _ in side.heads], side.rows, SIDE_SHOWN)
        if report.metrics:
            yield from _metrics(report.shown_metrics)
        elif any(one.ratio is not None for one in report.results):
            yield from _features(report)
        yield from notes_of(report.details)
        if report.decided and report.unjudged:
            yield report.unjudged_text
        return
    for name, one in report.items():
        yield f"\n{name}"
        yield one.headline if one.decided else one.summary
        yield from _violations(one)
        if one.decided and one.unjudged:
            yield one.unjudged_text
    for what, reasons in (("not judged", report.refused), ("left out", report.left_out)):
        for name, why in reasons.items():
            yield f"{name} {what}: {why}"


def _violations(report: Report) -> Iterator[str]:
    """Describe features, each with those that are alike: how loud, what happened, checks, rows."""
    groups = similar_features(violated_features(report.violations))
    for group in groups[:BROKEN_SHOWN]:
        broken = group[0]
        name = broken.feature if len(group) == 1 else plural(len(group), "column")
        first = f"{broken.severity.upper():{INDENT}}{' '.join(name.split())}  "
        for finding in broken.findings[:FINDINGS_SHOWN]:
            rows = plural(finding.first.row_count, "row") if finding.first.row_count else ""
            yield first + "  ".join(filter(None, (", ".join(finding.checks), rows)))
            yield BLANK + shorten(harmless(finding.cause), CAUSE_WIDTH, placeholder=" …")
            first = BLANK
        if len(group) > 1:
            yield f"{BLANK}in {', '.join(one.feature for one in group)}"
        if len(broken.findings) > FINDINGS_SHOWN:
            yield f"{BLANK}… and {len(broken.findings) - FINDINGS_SHOWN} more"
    if len(groups) > BROKEN_SHOWN:
        left = plural(sum(map(len, groups[BROKEN_SHOWN:])), "more feature")
        yield f"{BLANK}… and {left}: --json or --format html"


def _rows(
    heads: Sequence[str], rows: Sequence[Sequence[str]], most: int, count: int = 0
) -> Iterator[str | Table]:
    """Return the first rows as a table, and how many more there are."""
    yield ""
    yield Table(heads, [dict(zip(heads, row, strict=True)) for row in rows[:most]])
    if max(count, len(rows)) > most:
        yield f"{max(count, len(rows)) - most:,} more with --json or --format html"


def _features(report: Report) -> Iterator[str | Table]:
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
    yield from _rows(heads, rows, len(rows), len(report.results))


def _metrics(metrics: Sequence[MetricResult]) -> Iterator[str | Table]:
    """Show each number with its interval, what was judged first; and what is noted of them."""
    ranked = sorted(metrics, key=lambda one: (not one.violated, one.bound is None))
    most = sum(one.violated or one.bound is not None for one in metrics) + OTHERS_SHOWN
    rows, notes = [], dict[str, list[str]]()
    for one in ranked:
        name = f"{one.group or one.label} {one.name}".strip()
        interval = "none" if one.unbounded else ""
        if one.low is not None and one.high is not None:
            interval = f"{one.low:.3g}…{one.high:.3g}"
        now, reference, bound = (
            "" if value is None else f"{value:.3g}"
            for value in (one.value, one.reference, one.bound)
        )
        rows.append((name, now, interval, reference, bound))
        note = note_words(one.note) or one.unbounded.removeprefix(UNBOUNDED)
        if note and len(rows) <= most:
            notes.setdefault(note, []).append(name)
    yield from _rows(("metric", "now", "95% interval", "reference", "bound"), rows, most)
    for note, names in notes.items():
        more = f" and {len(names) - OTHERS_SHOWN:,} more" * (len(names) > OTHERS_SHOWN)
        yield f"{', '.join(names[:OTHERS_SHOWN])}{more}: {note}"
