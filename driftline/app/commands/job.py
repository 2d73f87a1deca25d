"""Commands that score files by a model: here, or in the background of a server."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from driftline.app.commands import options
from driftline.app.commands.files import read, read_document
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNDECIDED
from driftline.app.progress import progress
from driftline.errors import InputError, UnavailableError
from driftline.storage import is_remote

if TYPE_CHECKING:
    from driftline.serving.transform.definition import TransformJobSpec
    from driftline.settings.settings import Settings

job = options.Group(help="Score files in the background of a server.")

POLL_S = 1.0
_ENDED = ("Completed", "Failed", "Stopped")
_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".json": "application/json",
    ".parquet": "application/x-parquet",
}


@job.command("create")
def job_create(
    client: Client,
    file: Annotated[Path, "YAML or JSON: CreateTransformJob's fields."],
    wait: Annotated[bool, "--wait/--no-wait", "Wait until the job has ended."] = True,
) -> Answer:
    """Have the server score files; paths are those of the server's machine.

    Example: driftline job create march.yaml
    """
    created = client.create_transform_job(read_document(file))
    return _answer(_follow(client, created) if wait else created)


@job.command("get")
def job_get(
    client: Client,
    name: Annotated[str, "Job; `driftline job list` names them."],
    follow: Annotated[bool, "--follow", "First wait until the job has ended."] = False,
) -> Answer:
    """Show one transform job: its status, and how far it is.

    Example: driftline job get march --follow
    """
    found = client.transform_job(name)
    return _answer(_follow(client, found) if follow else found)


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


def _answer(found: Mapping[str, Any], _asked: object = None) -> Answer:
    """Show a job; exit code 3 when it failed or was stopped."""
    status, counts = found["transform_job_status"], found["progress"]
    counts = counts or {"records": 0, "files_done": 0, "files": 0}
    line = (
        f"{status}: {counts['records']:,} records, {counts['files_done']:,} of "
        f"{counts['files']:,} files in {found['transform_output']['s3_output_path']}"
    )
    shown = filter(None, [line, found["failure_reason"]])
    return Answer(found, shown, UNDECIDED if status in ("Failed", "Stopped") else 0)


def transform(
    model: Annotated[str, "Model file, or a folder with one."],
    data: options.Data,
    output: Annotated[str, "-o --output", "Folder or URI of the outputs."],
    content_type: Annotated[str | None, "Of the files [by their name]."] = None,
    accept: Annotated[str | None, "Of the outputs [as the files]."] = None,
    join_source: Annotated[Literal["Input", "None"], "Input: keep it beside the answer."] = "None",
    input_filter: Annotated[str, "JSONPath: what the model gets."] = "$",
    output_filter: Annotated[str, "JSONPath: what is written."] = "$",
    skip_header: Annotated[
        bool, "--skip-header", "Leave out the first record of each file."
    ] = False,
    signature: Annotated[Path | None, "signature.json of a baseline: names and types."] = None,
    config_file: options.SettingsFile = None,
) -> Answer:
    """Score files by a model: one output a file, in order.

    The model runs in a process of its own, without a server.

    Example: driftline transform model.skops today.csv --skip-header -o scores
    """
    from pydantic import ValidationError

    from driftline.serving.transform.definition import TransformJobSpec
    from driftline.validation import told

    kind = content_type or _type_of(data)
    split = "Line" if kind in ("text/csv", "application/jsonlines") else "None"
    *places, target = [
        one if is_remote(one) else str(Path(one).absolute()) for one in (*data, output)
    ]
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(model).stem).strip("-")[:63] or "model"
    given = {
        "transform_job_name": name,
        "model_name": model,
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": places}},
            "content_type": kind,
            "compression_type": "Gzip" if all(one.endswith(".gz") for one in data) else "None",
            "split_type": split,
            "skip_header": skip_header,
        },
        "transform_output": {"s3_output_path": target, "accept": accept, "assemble_with": split},
        "data_processing": {
            "input_filter": input_filter,
            "output_filter": output_filter,
            "join_source": join_source,
        },
    }
    try:
        job = TransformJobSpec.model_validate(given)
    except ValidationError as error:
        raise InputError(f"transform: {told(error.errors()[0])}") from None
    options.open_places(*places, target, config_file=config_file)
    files, records = _score(job, model, options.load_settings(config_file), signature)
    done = {"transform_job_status": "Completed", "failure_reason": None}
    counts = {"files": files, "files_done": files, "records": records}
    return _answer({**job.model_dump(mode="json"), **done, "progress": counts})


def _score(
    job: TransformJobSpec, model: str, settings: Settings, signature: Path | None
) -> tuple[int, int]:
    """Score the files of a job in this process; return how many files and records they were."""
    # Imported here: what runs models is slow to import.
    from driftline.serving.hosting.formats.table import find_model, require_trusted
    from driftline.serving.resources.worker_spec import WorkerSpec
    from driftline.serving.transform.scoring import score_here

    found, trust = find_model(Path(model)), settings.serving.trust_pickle
    require_trusted(found, trust_pickle=trust)
    text = None if signature is None else read(signature).decode()
    worker = WorkerSpec(str(found.path.absolute()), trust, text, name=found.path.name)
    with progress("transform", unit="records") as advance:
        return score_here(
            job, worker, settings.local_dir / "transform", lambda count: advance(count, None)
        )


def _type_of(data: Sequence[str]) -> str:
    """Return the media type that names of files, or of files in a folder, stand for."""
    from driftline.formats.data_files import data_files

    names = {one.shown.removesuffix(".gz") for where in data for one in data_files(where)}
    found = {_TYPES.get(Path(name).suffix.lower()) for name in names}
    kind = found.pop() if len(found) == 1 else None
    if kind is None:
        raise InputError(
            "the files' names do not say one format; expected --content-type, such as text/csv"
        )
    return kind


add_operations(job, "job", {"stop": lambda found, _: _answer(found).shown})
