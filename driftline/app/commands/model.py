"""Commands about models: files that they score, what they print, and other formats of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, command_named
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNDECIDED
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.storage import is_remote

model = options.Group(help="Convert model files.")
job = options.Group(help="Score files in the background of a server.")
processing = options.Group(help="Make baselines and check files in the background of a server.")

_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".parquet": "application/x-parquet",
}


def _job(found: Mapping[str, Any], _asked: object = None) -> Answer:
    """Exit code 3 where a job failed or was stopped."""
    status, counts = found["transform_job_status"], found["progress"]
    counts = counts or {"records": 0, "files_done": 0, "files": 0}
    line = (
        f"{status}: {counts['records']:,} records, {counts['files_done']:,} of "
        f"{counts['files']:,} files in {found['transform_output']['s3_output_path']}"
    )
    shown = filter(None, [line, found["failure_reason"]])
    return Answer(found, shown, UNDECIDED if status in ("Failed", "Stopped") else 0)


def _printed(found: Sequence[Mapping[str, Any]], _asked: object) -> Answer:
    lines = found[::-1]
    places = ["/".join(filter(None, (one["variant"], one["container"]))) for one in lines]
    return Answer(lines, (
        f"{one['time'].replace('+00:00', 'Z')} {place} {one['worker']} {one['message']}"
        for one, place in zip(lines, places, strict=True)
    ))  # fmt: skip


def transform(
    model: Annotated[str, "Model file, or a folder with one."],
    data: options.Data,
    output: Annotated[str, "-o --output", "Folder or URI of the outputs."],
    content_type: Annotated[str | None, "Of the files [by their name]."] = None,
    join_source: Annotated[Literal["Input", "None"], "Input: keep it beside the answer."] = "None",
    input_filter: Annotated[str, "Places of a CSV row: what the model gets."] = "$",
    output_filter: Annotated[str, "Places of a CSV row: what is written."] = "$",
    skip_header: Annotated[
        bool, "--skip-header", "Leave out the first record of each file."
    ] = False,
    config_file: options.SettingsFile = None,
) -> Answer:
    """Score files by a model: one output a file, in order.

    The model runs in a process of its own, without a server.

    Example: driftline transform model.skops today.csv --skip-header -o scores
    """
    # Imported here: what runs models is slow to import.
    from pydantic import ValidationError

    from driftline.serving.hosting.formats.table import find_model, require_trusted
    from driftline.serving.resources.worker_spec import WorkerSpec
    from driftline.serving.transform.definition import TransformJobSpec
    from driftline.serving.transform.scoring import score_here
    from driftline.validation import told

    kind = content_type or _type_of(data)
    *places, target = [
        one if is_remote(one) else str(Path(one).absolute()) for one in (*data, output)
    ]
    try:
        spec = TransformJobSpec.model_validate({
            "transform_job_name": re.sub(r"[^A-Za-z0-9]+", "-", Path(model).stem).strip("-")[:63]
            or "model",
            "model_name": model,
            "transform_input": {
                "data_source": {"s3_data_source": {"s3_uri": places}},
                "content_type": kind,
                "compression_type": "Gzip" if all(one.endswith(".gz") for one in data) else "None",
                "skip_header": skip_header,
            },
            "transform_output": {"s3_output_path": target},
            "data_processing": {
                "input_filter": input_filter,
                "output_filter": output_filter,
                "join_source": join_source,
            },
        })  # fmt: skip
    except ValidationError as error:
        raise InputError(f"transform: {told(error.errors()[0])}") from None
    settings = options.load_settings(config_file)
    options.open_places(*places, target, config_file=config_file)
    found, trust = find_model(Path(model)), settings.serving.trust_pickle
    require_trusted(found, trust_pickle=trust)
    worker = WorkerSpec(str(found.path.absolute()), trust, None, name=found.path.name)
    with progress("transform", unit="records") as advance:
        files, records = score_here(
            spec, worker, settings.local_dir / "transform", lambda count: advance(count, None)
        )
    return _job({
        **spec.model_dump(mode="json"),
        "transform_job_status": "Completed",
        "failure_reason": None,
        "progress": {"files": files, "files_done": files, "records": records},
    })  # fmt: skip


@model.command("convert")
def convert(
    file: Annotated[str, "MODEL", "Model file, or folder with one."],
    output: Annotated[str, "OUT", "File or URI to write, .onnx."],
    reference: Annotated[
        list[str], "--reference", "Rows on which both models must agree (repeatable)."
    ],
    exclude: Annotated[
        list[str] | None, "Column that the model does not take (repeatable)."
    ] = None,
    config_file: options.SettingsFile = None,
) -> Answer:
    """Convert a model of scikit-learn, xgboost or lightgbm to ONNX.

    Both models answer the rows of the reference. Where probabilities, or numbers in relation to the
    largest, differ by more than 0.0001, nothing is written, and the exit code is 3.

    Example: driftline model convert late.skops late.onnx --reference train.parquet
    """
    if not output.endswith(".onnx"):
        raise InputError(f'output "{output}"; expected a name that ends in .onnx')
    # Imported here: what runs models is slow to import.
    import pyarrow as pa

    from driftline.formats.source import open_source
    from driftline.serving.hosting.conversion import convert as convert_model

    settings = options.load_settings(config_file)
    options.open_places(*reference, output, config_file=config_file)
    source = open_source(list(reference))
    table = pa.Table.from_batches(source.batches(), source.schema)
    kept = [name for name in table.column_names if name not in (exclude or [])]
    difference = convert_model(
        Path(file), output, table.select(kept), trust_pickle=settings.serving.trust_pickle
    )
    return Answer(
        {"rows": table.num_rows, "difference": difference, "output": output},
        [
            f"{output}: answers {table.num_rows:,} rows as {Path(file).name} does, to within "
            f"{difference:.3g}"
        ],
    )


def _type_of(data: Sequence[str]) -> str:
    from driftline.formats.data_files import data_files

    names = {one.shown.removesuffix(".gz") for where in data for one in data_files(where)}
    found = {_TYPES.get(Path(name).suffix.lower()) for name in names}
    kind = found.pop() if len(found) == 1 else None
    if kind is None:
        raise InputError(
            "the files' names do not say one format; expected --content-type, such as text/csv"
        )
    return kind


add_operations(
    job, "job", {"create": _job, "get": _job, "stop": lambda found, _: _job(found).shown}
)
add_operations(processing, "processing")
logs = command_named("logs", _printed)
