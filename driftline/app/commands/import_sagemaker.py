"""The command that brings monitors of other services here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from driftline.app.commands import options
from driftline.app.commands.operations import lines_of
from driftline.app.commands.output import Answer, Table

if TYPE_CHECKING:
    from driftline.app.from_sagemaker.mapping import Importer

import_ = options.Group(help="Bring monitors of another service here.", name="import")


@import_.callback()
def _services() -> None:
    """Keep the service's name although there is one."""


@import_.command()
def sagemaker(
    folder: Annotated[Path, "Folder with what aws sagemaker describe-… printed, as JSON."],
    output: Annotated[Path, "-o --output", "File of resources to write."] = Path("sagemaker.yaml"),
    overwrite: Annotated[bool, "--overwrite", "Write over the file if it is there."] = False,
    places: Annotated[
        list[str] | None, "--map URI=FOLDER", "Where a copy of a bucket's folder lies."
    ] = None,
    data: Annotated[
        list[str] | None, "--data NAME=PLACE", "Rows that a schedule's baseline is of."
    ] = None,
    compat: Annotated[bool, "--compat", "Let monitors judge as SageMaker does."] = False,
) -> Answer:
    """Make resources of saved schedules, job definitions, endpoints and alarms of SageMaker.

    Reads the JSON of describe-monitoring-schedule, describe-…-job-definition, describe-endpoint,
    describe-endpoint-config, describe-processing-job (of the baseline) and cloudwatch
    describe-alarms, in any files under FOLDER. Writes what to apply, says what is left to do, and
    which commands bring captured data and labels.

    Example: driftline import sagemaker saved/ --map s3://bucket=copy/ -o flights.yaml
    """
    from driftline.app.from_sagemaker.descriptions import Places, read_descriptions
    from driftline.app.from_sagemaker.mapping import Importer
    from driftline.app.init import write_draft

    known = Places.of(places or ())
    named = {
        name: place if "://" in place else str(Path(place).resolve())
        for name, place in options.pairs(data, "--data").items()
    }
    imported = Importer(read_descriptions(folder), known, named, compat).run()
    write_draft(output, _text(imported, output), overwrite=overwrite)
    value = {
        "file": str(output),
        "resources": imported.resources,
        "remarks": [asdict(one) for one in imported.remarks],
        "commands": imported.commands,
    }
    return Answer(value, _shown(imported, output))


def _text(imported: Importer, file: Path) -> str:
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


def _shown(imported: Importer, file: Path) -> Iterator[str | Table]:
    title = f"{file}: resources, {len(imported.resources)} in all"
    yield from lines_of(imported.resources, "kind name", title)
    if imported.remarks:
        yield from lines_of([asdict(one) for one in imported.remarks], "what=subject todo=text")
    yield from (
        f"next: {command}" for command in [f"driftline apply -f {file}", *imported.commands]
    )
