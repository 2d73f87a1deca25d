"""The command that brings monitors of other services here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError

if TYPE_CHECKING:
    from driftline.app.from_sagemaker.mapping import Imported

import_ = typer.Typer(
    help="Bring monitors of another service here.", no_args_is_help=True, name="import"
)


@import_.callback()
def _services() -> None:
    """Keep the service's name although there is one."""


@import_.command()
@options.answers
def sagemaker(
    folder: Annotated[
        Path, typer.Argument(help="Folder with what aws sagemaker describe-… printed, as JSON.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File of resources to write.")
    ] = Path("sagemaker.yaml"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over the file if it is there.")
    ] = False,
    places: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="URI=FOLDER", help="Where a copy of a bucket's folder lies."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME=PLACE", help="Rows that a schedule's baseline is of."),
    ] = None,
    compat: Annotated[
        bool, typer.Option("--compat", help="Let monitors judge as SageMaker does.")
    ] = False,
) -> Answer:
    """Make resources of saved schedules, job definitions, endpoints and alarms of SageMaker.

    Reads the JSON of describe-monitoring-schedule, describe-…-job-definition, describe-endpoint,
    describe-endpoint-config, describe-processing-job (of the baseline) and cloudwatch
    describe-alarms, in any files under FOLDER. Writes what to apply, says what is left to do, and
    which commands bring captured data and labels.

    Example: driftline import sagemaker saved/ --map s3://bucket=copy/ -o flights.yaml
    """
    from driftline.app.from_sagemaker.descriptions import read_descriptions
    from driftline.app.from_sagemaker.mapping import resources_of
    from driftline.app.from_sagemaker.places import Places
    from driftline.app.init.scaffold import require_free, write_draft

    if not overwrite:
        require_free(output)
    known = Places.of(places or ())
    found = read_descriptions(folder, known)
    imported = resources_of(found, known, _named(data or ()), compat=compat)
    write_draft(output, _text(imported, output))
    value = {
        "file": str(output),
        "resources": imported.resources,
        "remarks": [{"subject": one.subject, "text": one.text} for one in imported.remarks],
        "commands": imported.commands,
    }
    return Answer(value, _shown(imported, output))


def _named(texts: list[str] | tuple[()]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, separator, place = text.partition("=")
        if not separator or not name or not place:
            raise InputError(f'--data "{text}"; expected NAME=PLACE such as flights=train.csv')
        found[name] = place if "://" in place else str(Path(place).resolve())
    return found


def _text(imported: Imported, file: Path) -> str:
    import yaml

    head = [
        "# Written by `driftline import sagemaker`.",
        *(f"# {' '.join(f'{one.subject}: {one.text}'.split())}" for one in imported.remarks),
        f"# Change below what is wrong, then: driftline apply -f {file.name}",
    ]
    documents = yaml.safe_dump_all(
        imported.resources, sort_keys=False, allow_unicode=True, width=100, explicit_start=True
    )
    return "\n".join(head) + "\n" + (documents if imported.resources else "")


def _shown(imported: Imported, file: Path) -> Iterator[str | Table]:
    rows: list[dict[str, Any]] = [
        {"kind": one["kind"], "name": one["name"]} for one in imported.resources
    ]
    yield Table(["kind", "name"], rows, title=f"{file}: resources, {len(rows)} in all")
    if imported.remarks:
        yield Table(
            ["what", "left to do"],
            [{"what": one.subject, "left to do": one.text} for one in imported.remarks],
        )
    yield from (
        f"next: {command}" for command in [f"driftline apply -f {file}", *imported.commands]
    )
