"""Commands that score files by a model: here, or in the background of a server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read, read_resources
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
_Split = Literal["None", "Line"]


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


def _option(flag: str, about: str) -> Any:  # noqa: ANN401 - typer's own
    return typer.Option(flag, help=about)


ContentType = Annotated[str | None, _option("--content-type", "Of the files [by their name].")]
SplitType = Annotated[_Split | None, _option("--split-type", "[Line for CSV and JSON Lines].")]
BatchStrategy = Annotated[
    Literal["MultiRecord", "SingleRecord"], _option("--batch-strategy", "Records a request.")
]
MaxConcurrent = Annotated[
    int, _option("--max-concurrent-transforms", "Processes that hold the model.")
]
AssembleWith = Annotated[_Split | None, _option("--assemble-with", "[as --split-type].")]
JoinSource = Annotated[
    Literal["Input", "None"], _option("--join-source", "Input: keep it beside the answer.")
]
SkipHeader = Annotated[
    bool, typer.Option("--skip-header", help="Leave out the first record of each file.")
]
SignatureFile = Annotated[
    Path | None, _option("--signature", "signature.json of a baseline: names and types.")
]


def transform(
    model: Annotated[str, typer.Argument(help="Model file, or a folder with one.")],
    data: options.Data,
    output: Annotated[str, typer.Option("-o", "--output", help="Folder or URI of the outputs.")],
    content_type: ContentType = None,
    accept: Annotated[str | None, _option("--accept", "Of the outputs [as the files].")] = None,
    split_type: SplitType = None,
    batch_strategy: BatchStrategy = "MultiRecord",
    max_payload_in_mb: Annotated[int, _option("--max-payload-in-mb", "Of a request.")] = 6,
    max_concurrent_transforms: MaxConcurrent = 1,
    assemble_with: AssembleWith = None,
    join_source: JoinSource = "None",
    input_filter: Annotated[str, _option("--input-filter", "JSONPath: what the model gets.")] = "$",
    output_filter: Annotated[str, _option("--output-filter", "JSONPath: what is written.")] = "$",
    skip_header: SkipHeader = False,
    signature: SignatureFile = None,
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
    split = split_type or ("Line" if kind in ("text/csv", "application/jsonlines") else "None")
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
        "transform_output": {
            "s3_output_path": target,
            "accept": accept,
            "assemble_with": assemble_with or split,
        },
        "max_concurrent_transforms": max_concurrent_transforms,
        "max_payload_in_mb": max_payload_in_mb,
        "batch_strategy": batch_strategy,
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
    return job_answer({**job.model_dump(mode="json"), **done, "progress": counts})


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


add_operations(job, "job", {"stop": lambda found, _: _lines(found)})
