"""The forms of a check's result: printed on standard output, and written into its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten

import typer

from driftline.app.commands.output import Answer, Table, harmless, print_text
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.report.ranking import similar_features, violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.notes import notes_of

FILES = {"html": "report.html", "junit": "junit.xml"}
FORMATS = ("text", "json", *FILES)

# Characters of a cause on the terminal, and lines of a table; the documents and --json have all.
CAUSE_WIDTH, SHOWN = 400, 20


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

    Those of an earlier run are removed, so that none stands beside a report that it is not of.
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
        Answer(value, report_lines(report)).print(as_json=spoken == "json")
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


def report_lines(report: Report | Reports) -> Iterator[str | Table]:
    """Return a sentence, then what is violated and the numbers, what matters first."""
    if report.decided or report.violations:  # Otherwise the error says why.
        yield report.headline
    if isinstance(report, Report):
        yield from _violations(report)
        for side in side_tables(report):
            yield from _rows([one.removeprefix("#") for one in side.titles], side.rows)
        if report.metrics:
            yield from _metrics(report.metrics)
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


def _violations(report: Report) -> Iterator[str | Table]:
    rows = []
    for group in similar_features(violated_features(report.violations)):
        broken, names = group[0], ", ".join(one.feature for one in group)
        for finding in broken.findings:
            cause = shorten(harmless(finding.cause), CAUSE_WIDTH, placeholder=" …")
            count = f"{finding.first.row_count:,}" if finding.first.row_count else ""
            name = shorten(harmless(names), CAUSE_WIDTH, placeholder=" …")
            what = f"{cause} ({', '.join(finding.checks)})"
            rows.append((broken.severity.upper(), name, count, what))
    yield from _rows(("severity", "feature", "rows", "cause (checks)"), rows)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str | Table]:
    if rows:
        yield ""
        yield Table(heads, [dict(zip(heads, row, strict=True)) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        yield f"{len(rows) - SHOWN:,} more: --json"


def _features(report: Report) -> Iterator[str | Table]:
    rows = [
        (
            one.feature,
            f"{one.ratio:.2f}",
            one.moved,
            *map(_percent, (one.share_reference, one.share_now)),
        )
        for one in report.ranked_results
        if one.ratio is not None
    ]
    heads = ("feature", "x bound", "strongest set", "then", "now")
    yield from _rows(heads, rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _metrics(metrics: Sequence[Measured]) -> Iterator[str | Table]:
    rows = []
    for one in sorted(metrics, key=lambda one: (not one.violated, one.bound is None)):
        interval = f"{one.low:.3g}…{one.high:.3g}" if one.has_interval else ""
        numbers = (one.value, one.reference, one.bound)
        now, reference, bound = ("" if number is None else f"{number:.3g}" for number in numbers)
        name = f"{one.group or one.label} {one.name}".strip()
        rows.append((name, now, interval, reference, bound, one.reason))
    yield from _rows(("metric", "now", "95% interval", "reference", "bound", "note"), rows)
