"""The Baseline that a monitoring job of SageMaker compares with, from what it names."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.formats.location import locate
from driftline.formats.source import Files, open_source
from driftline.serving.aws.served import Wire, WireError
from driftline.serving.operations.jobs import DescribedProcessingJob, processing_job
from driftline.serving.processing.definition import prefixed
from driftline.serving.processing.schedules import Job, roles_given
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import models_of
from driftline.serving.resources.store import Stored

# Of any registry: what their names say is done by our own analyzers, never by a container.
IMAGE = re.compile(
    r"(?:.*/)?sagemaker-(model-monitor-analyzer|clarify-processing)(?:[:@].*)?", re.DOTALL
)
# The tag of a Baseline that a definition or schedule brought: no other one is replaced or deleted.
_MADE_FOR = "made-for"
INVALID = "ValidationException"
# Of a document or configuration, in bytes; statistics hold a sketch of each column.
_LONGEST = 64 << 20


def image_of(uri: str) -> str:
    """Return which of SageMaker's images a URI names; refuse any other."""
    if (found := IMAGE.fullmatch(uri)) is None:
        raise WireError(
            INVALID,
            f"ImageUri {uri}: driftline runs no containers; expected sagemaker-model-monitor-"
            "analyzer or sagemaker-clarify-processing, for which it has analyzers of its own",
        )
    return found[1]


def brought(wire: Wire, name: str, sort: str) -> bool | None:
    """Return whether a definition or schedule brought the Baseline of its name; None: none is."""
    with read_connection(wire.services.context.engine) as connection:
        row = store.find(connection, "Baseline", name)
    return None if row is None else row.tags.get(_MADE_FOR) == sort


async def baseline_of(wire: Wire, name: str, job: Job, sort: str) -> dict[str, Any]:
    """Return the Baseline of a monitoring job: its documents, and the rows they were made of."""
    if brought(wire, name, sort) is False:
        raise WireError(
            "ResourceInUse",
            f'Baseline "{name}" exists already, and no {sort} brought it; choose another name',
        )
    image_of(job.application["ImageUri"])
    endpoint = job.input.get("EndpointName")
    if endpoint is None:
        raise WireError(
            INVALID,
            "BatchTransformInput: a transform job writes no manifests of its files here; declare a "
            "Monitor that watches its output as a table (docs/sources.md)",
        )
    processing: DescribedProcessingJob | None = None
    if (baselining := job.baseline.get("BaseliningJobName")) is not None:
        try:
            processing = await wire.ask(processing_job, name=baselining)
        except NotFoundError:
            processing = None
    config = None
    if uri := job.application.get("ConfigUri"):
        wire.services.context.reach.check_data(uri)
        config = await asyncio.to_thread(_read, uri)
    environment = {} if processing is None else processing.environment
    spec, positions = roles_given(job, environment, config)
    documents = (job.baseline.get(f"{one}Resource") or {} for one in ("Statistics", "Constraints"))
    spec["documents"] = [one["S3Uri"] for one in documents if one.get("S3Uri")]
    for place in spec["documents"]:
        wire.services.context.reach.check_data(place)
    if processing is not None:
        is_monitor = processing.analyzer == "model-monitor"
        rows = processing.place("dataset_source") if is_monitor else processing.input("dataset")
        spec["data"] = await asyncio.to_thread(prefixed, rows)
        if config is not None and job.kind == "attribution":
            spec["model"] = (json.loads(config).get("predictor") or {}).get("model_name")
    elif not spec["documents"]:
        raise WireError(
            INVALID,
            f"{name}: nothing to compare with; expected a baseline: BaseliningJobName of a "
            "processing job, or ConstraintsResource and StatisticsResource",
        )
    with read_connection(wire.services.context.engine) as connection:
        row = store.find(connection, "Endpoint", endpoint)
    spec |= await asyncio.to_thread(_answers, job, spec, positions, row)
    return {"kind": "Baseline", "name": name, "spec": spec, "tags": {_MADE_FOR: sort}}


def _answers(
    job: Job, spec: Mapping[str, Any], positions: Mapping[str, str], endpoint: Stored | None
) -> dict[str, str]:
    """Return the columns of the rows that hold what the model answers.

    As SageMaker has it: a prediction is the first column where rows have one more than the model
    takes, and a position counts the columns of the answer, which come first.
    """
    if "data" in spec:
        names = open_source(Files(spec["data"])).schema.names
    else:
        names = _names(spec["documents"][-1])
    found = {role: names[int(at)] for role, at in positions.items() if int(at) < len(names)}
    if job.kind == "data-quality" and not spec.keys() & {"label", "prediction"}:
        described = [] if endpoint is None else [
            one.made.get("description") for one in models_of(endpoint).values()
        ]  # fmt: skip
        counts = {one["feature_count"] for one in described if one}
        if counts == {len(names) - 1}:
            found["prediction"] = names[0]
    return found


def _names(place: str) -> list[str]:
    try:
        return [one["name"] for one in json.loads(_read(place)).get("features", ())]
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        raise WireError(INVALID, f"{place} is no document of a baseline") from None


def _read(place: str) -> bytes:
    return locate(place).read(most=_LONGEST)
