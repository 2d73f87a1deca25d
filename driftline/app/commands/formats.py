"""The forms in which a check's result is printed and written, several at once if asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import StrEnum

import typer

from driftline.app.commands.output import harmless, show_json
from driftline.app.commands.verdict import print_report, print_reports, print_sentence
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.results.notes import notes_of


class Format(StrEnum):
    """How a result is told."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"
    JUNIT = "junit"


def formats_of(given: str, *, as_json: bool, output: str | None) -> tuple[Format, ...]:
    """Read ``--format text,html``; ``--json`` puts JSON first."""
    names = [one.strip().lower() for one in given.split(",") if one.strip()]
    known = ", ".join(Format)
    try:
        found = [Format(name) for name in names]
    except ValueError as error:
        raise InputError(f"--format {given}: {error}; expected some of {known}") from error
    if not found:
        raise InputError(f'--format "{given}": expected some of {known}')
    if as_json:
        # Text alone is only what nobody asked otherwise.
        found = [Format.JSON, *(one for one in found if one is not Format.TEXT)]
    formats = tuple(dict.fromkeys(found))
    if len(formats) > 1 and output is None:
        raise InputError(
            f"--format {','.join(formats)}: standard output has room for one; "
            "add -o FOLDER for the others"
        )
    if formats == (Format.HTML,) and output is None and sys.stdout.isatty():
        raise InputError(
            "--format html: a terminal shows no page; add -o FOLDER, or send it to a file"
        )
    return formats


def show(report: Report | Reports, formats: tuple[Format, ...], output: str | None) -> None:
    """Print one form on standard output; write pages and test results into the folder.

    Text and JSON are for standard output, where the first of them goes, if one was asked for. The
    folder has report.json anyhow; a page or test results of an earlier run are taken out of it,
    so that none stands beside a report that it is not of.
    """
    written = _write(report, formats, output) if output is not None else []
    spoken = [one for one in formats if one not in FILES]
    if not spoken and written:
        if report.decided:  # Otherwise the error says it.
            typer.echo(harmless(f"{', '.join(written)}: {report.headline}"))
    elif not spoken:
        typer.echo(harmless(FILES[formats[0]][1](report)), nl=False)
    elif spoken[0] is Format.JSON:
        show_json(report.to_dict())
    elif isinstance(report, Reports):
        if report.decided or report.violations:  # Otherwise the error says it.
            print_sentence(report.headline)
        print_reports(report)
    else:
        if report.decided:  # Otherwise the error says why.
            print_sentence(report.headline)
        print_report(report)
        for note in notes_of(report.details):
            print_sentence(note)
        if report.decided and report.unjudged:
            print_sentence(report.unjudged_text)


def _write(report: Report | Reports, formats: tuple[Format, ...], output: str) -> list[str]:
    """Write what belongs into the folder, remove what does not, and name what is written."""
    place = locate(output)
    shown = []
    for form, (name, write) in FILES.items():
        if form in formats:
            (place / name).write(write(report).encode())
            shown.append((place / name).shown)
        else:
            (place / name).remove_file()
    return shown


def _html(report: Report | Reports) -> str:
    return report.html()


def _junit(report: Report | Reports) -> str:
    from driftline.app.commands.junit import junit  # A check in text needs no XML.

    if isinstance(report, Report):
        return junit([report])
    return junit(report.values(), report.refused)


FILES: Mapping[Format, tuple[str, Callable[[Report | Reports], str]]] = {
    Format.HTML: ("report.html", _html),
    Format.JUNIT: ("junit.xml", _junit),
}
