"""Commands that write resource files: of data of one's own, and of monitors of SageMaker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import lines_of
from driftline.app.commands.output import Answer, Table
from driftline.roles import Roles

if TYPE_CHECKING:
    from driftline.app.from_sagemaker.mapping import Importer


def init(
    data: options.Data,
    name: Annotated[str | None, "Name of the endpoint; default: the file's."] = None,
    output: Annotated[Path | None, "-o --output", "File to write; default: NAME.yaml."] = None,
    channel: Annotated[str | None, "--channel URL", "Webhook that the alarms notify."] = None,
    overwrite: Annotated[bool, "--overwrite", "Write over the file if it is there."] = False,
    *,
    roles: Roles,
) -> Answer:
    """Write the resources that monitor data like these.

    A flag says what a column is for; what no flag says is a feature, and the file lists the rest as
    a TODO. The file declares an endpoint that an app of your own answers (captured by dl.Capture,
    dl.Logger or driftline proxy), its baseline, monitors and alarms. One check shows what such a
    monitor says.

    Example: driftline init orders.parquet --label late
    """
    # The work is imported where it begins: the options need none of it.
    from driftline.app.commands.documents import told
    from driftline.app.commands.verdict import report_lines
    from driftline.app.drafts import draft_resources, endpoint_name
    from driftline.app.init import draft_text, try_out, write_draft
    from driftline.formats.source import open_source

    options.open_places(*data)
    endpoint = endpoint_name(Path(data[0]), name)
    file = output or Path(f"{endpoint}.yaml")
    trial = try_out(open_source(data), roles)  # Before the file: it shows whether the roles hold.
    places = [one if "://" in one else os.path.abspath(one) for one in data]  # noqa: PTH100 - globs stay globs
    reference = places if len(places) > 1 else places[0]
    resources = draft_resources(endpoint, roles, reference=reference, channel_url=channel)
    write_draft(file, draft_text(resources, file=file), overwrite=overwrite)
    value = {
        "file": str(file),
        "endpoint": endpoint,
        "resources": resources,
        "compared": trial.note,
        "check": trial.report.to_dict(),
    }
    kinds = [one["spec"]["kind"] for one in resources if one["kind"] == "Monitor"]
    is_judged = trial.report.decided or trial.report.violations
    lines = [
        *told(trial.baseline),
        f"\n{file}: endpoint, baseline, monitors of {', '.join(kinds)}, alarms",
        f"\nchecked {trial.note}:",
        *([] if is_judged else [trial.report.undecided_line]),
        *report_lines(trial.report),
    ]
    if "# TODO" in file.read_text(encoding="utf-8"):
        typer.echo(f"{file} lists as TODO what no flag said", err=True)
    if channel is None:
        typer.echo("its alarms notify nobody: name a webhook with --channel URL", err=True)
    typer.echo(f"next: driftline up, then: driftline apply -f {file}", err=True)
    return Answer(value, lines)


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
        "remarks": imported.remarks,
        "commands": imported.commands,
    }
    return Answer(value, _shown(imported, output))


def _text(imported: Importer, file: Path) -> str:
    import yaml

    head = [
        "# Written by `driftline import sagemaker`.",
        *("# " + " ".join(f"{one['what']}: {one['todo']}".split()) for one in imported.remarks),
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
        yield from lines_of(imported.remarks)
    yield from (
        f"next: {command}" for command in [f"driftline apply -f {file}", *imported.commands]
    )
