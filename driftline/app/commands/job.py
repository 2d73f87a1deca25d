"""Commands about transform jobs of a server: files scored by a model in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read_resources
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNDECIDED
from driftline.app.progress import progress
from driftline.errors import InputError, UnavailableError

job = options.Group(help="Score files in the background of a server.")

POLL_S = 1.0
_ENDED = ("Completed", "Failed", "Stopped")


@job.command("create")
def job_create(
    client: Client,
    file: Annotated[Path, typer.Argument(help="YAML or JSON: CreateTransformJob's fields.")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the job has ended.")
    ] = True,
) -> Answer:
    """Have the server score files; paths are those of the server's machine.

    Example: driftline job create march.yaml
    """
    found = read_resources(file)
    if len(found) != 1:
        raise InputError(f"{file}: {len(found)} jobs; expected one")
    created = client.create_transform_job(found[0])
    return job_answer(_follow(client, created) if wait else created)


@job.command("get")
def job_get(
    client: Client,
    name: Annotated[str, typer.Argument(help="Job; `driftline job list` names them.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="First wait until the job has ended.")
    ] = False,
) -> Answer:
    """Show one transform job: its status, and how far it is.

    Example: driftline job get march --follow
    """
    found = client.transform_job(name)
    return job_answer(_follow(client, found) if follow else found)


def _follow(client: Client, found: Mapping[str, Any]) -> Mapping[str, Any]:
    name = found["transform_job_name"]
    with progress(f"job {name}", unit="files") as advance:
        while found["transform_job_status"] not in _ENDED:
            if (counts := found["progress"]) is not None:
                advance(counts["files_done"], counts["files"])
            time.sleep(POLL_S)
            try:
                found = client.transform_job(name)
            except UnavailableError as error:
                raise UnavailableError(
                    f'{error}; then job "{name}" goes on: driftline job get {name} --follow'
                ) from error
    return found


def job_answer(found: Mapping[str, Any]) -> Answer:
    """Show a job; exit code 3 when it failed or was stopped."""
    is_well = found["transform_job_status"] not in ("Failed", "Stopped")
    return Answer(found, _lines(found), 0 if is_well else UNDECIDED)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    counts = found["progress"] or {"records": 0, "files_done": 0, "files": 0}
    yield (
        f"{found['transform_job_status']}: {counts['records']:,} records, "
        f"{counts['files_done']:,} of {counts['files']:,} files in "
        f"{found['transform_output']['s3_output_path']}"
    )
    if found["failure_reason"]:
        yield found["failure_reason"]


add_operations(job, "job", {"stop": lambda found, _: _lines(found)})
