"""SageMaker's definitions of monitoring jobs: each is a Baseline, and what is kept beside it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection, func, select

from driftline.baseline.clarify import headers_of_config, roles_of_config
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, NotFoundError
from driftline.formats.location import locate
from driftline.formats.source import Files, open_source
from driftline.serving.aws.lists import listed
from driftline.serving.aws.ours import (
    apply_declared,
    arn_of,
    as_read,
    declared,
    delete_declared,
    every,
    forget,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves_each
from driftline.serving.operations.jobs import (
    DescribedProcessingJob,
    processing_job,
    processing_jobs,
)
from driftline.serving.operations.registry import Json
from driftline.serving.operations.resources import apply, list_resources
from driftline.serving.operations.services import Services
from driftline.serving.processing.definition import LONGEST_DOCUMENT, Analyzer, prefixed
from driftline.serving.processing.schedules import (
    KINDS,
    Job,
    monitoring_job,
    roles_given,
    roles_spec,
)
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import models_of
from driftline.serving.resources.specs import baseline_and_pin
from driftline.serving.tables import jobs

_KINDS = {f"{kind}JobDefinition": kind for kind in KINDS}
# Our analyzers, and the images whose work they do.
ANALYZERS: Mapping[Analyzer, str] = {
    "model-monitor": "model-monitor-analyzer",
    "clarify": "clarify-processing",
}
# The tag of a Baseline that a definition or schedule brought: no other one is replaced or deleted.
_MADE_FOR = "made-for"
_INVALID = "ValidationException"


@serves_each("sagemaker.Create{}", _KINDS)
@reads_again
async def create_definition(sort: str, wire: Wire, given: Given) -> Answer:
    """Declare the Baseline of a definition, and keep the rest beside it."""
    await wire.asking.require(apply, "admin")  # Before files are read for them.
    name = given["JobDefinitionName"]
    before = await declared(wire, "baselines", name)
    if before is not None and _is_definition(before, sort):
        text = f"Job definition {arn_of(wire, sort, name)} already exists"
        raise WireError("ResourceInUse", text)
    baseline = await baseline_of(wire, name, before, monitoring_job(_KINDS[sort], given), sort)
    await apply_declared(wire, replace(baseline, said=given))
    return {"JobDefinitionArn": arn_of(wire, sort, name)}


@serves_each("sagemaker.Describe{}", _KINDS)
async def describe_definition(sort: str, wire: Wire, given: Given) -> Answer:
    """Return a definition as it was created."""
    baseline = await definition(wire, sort, given["JobDefinitionName"])
    return {
        **baseline["said"],
        "JobDefinitionArn": arn_of(wire, sort, baseline["name"]),
        "CreationTime": baseline["created_at"],
    }


@serves_each("sagemaker.List{}s", _KINDS)
async def list_definitions(sort: str, wire: Wire, given: Given) -> Answer:
    """List definitions."""
    tag = f"{_MADE_FOR}={sort}"
    rows = await every(wire, list_resources, collection="baselines", tag=[tag])
    found = [await declared(wire, "baselines", row.name) for row in rows]
    shown = [
        {
            "MonitoringJobDefinitionName": one["name"],
            "MonitoringJobDefinitionArn": arn_of(wire, sort, one["name"]),
            "CreationTime": one["created_at"],
            "EndpointName": monitoring_job(_KINDS[sort], one["said"]).input["EndpointName"],
        }
        for one in found
        if one is not None and _is_definition(one, sort)
    ]
    return listed(
        wire, given, shown, "JobDefinitionSummaries", name="MonitoringJobDefinitionName",
        equals={"EndpointName": "EndpointName"},
    )  # fmt: skip


@serves_each("sagemaker.Delete{}", _KINDS)
async def delete_definition(sort: str, wire: Wire, given: Given) -> Answer:
    """Forget a definition; its Baseline stays where an endpoint's columns are named by it."""
    await wire.asking.require(apply, "admin")
    name = (await definition(wire, sort, given["JobDefinitionName"]))["name"]
    try:
        await delete_declared(wire, Deletion("Baseline", name, if_there=True))
    except ConflictError:
        for one in await every(wire, list_resources, collection="monitors"):
            if baseline_and_pin(one.spec["baseline"].casefold())[0] == name.casefold():
                text = f"Job definition {name} is in use by monitoring schedule {one.name}"
                raise WireError("ResourceInUse", text) from None
        await forget(wire, "Baseline", name)
    return {}


async def definition(wire: Wire, sort: str, name: str) -> Json:
    """Return the Baseline of a definition, with what it was created with."""
    baseline = await declared(wire, "baselines", name)
    if baseline is None or not _is_definition(baseline, sort):
        arn = arn_of(wire, sort, name)
        raise WireError("ResourceNotFound", f"Could not find job definition {arn}")
    return baseline


def _is_definition(baseline: Json, sort: str) -> bool:
    return brought(baseline, sort) and "JobDefinitionName" in baseline["said"]


def brought(baseline: Json, sort: str) -> bool:
    """Whether a definition or a schedule brought a Baseline."""
    return bool(baseline["tags"].get(_MADE_FOR) == sort)


def analyzer_of(uri: str) -> Analyzer:
    """Return the analyzer that does what an image of SageMaker's does, of any registry."""
    for analyzer, image in ANALYZERS.items():
        if re.fullmatch(rf"(?:.*/)?sagemaker-{image}(?:[:@].*)?", uri, re.DOTALL):
            return analyzer
    raise WireError(
        _INVALID,
        f"ImageUri {uri}: driftline runs no containers; expected sagemaker-model-monitor-"
        "analyzer or sagemaker-clarify-processing, for which it has analyzers of its own",
    )


async def baseline_of(
    wire: Wire, name: str, before: Json | None, job: Job, sort: str
) -> Declaration:
    """Return the Baseline of a monitoring job: its documents, and the rows they were made of.

    ``before``: what there is of the name; it must still be so.
    """
    if before is not None and not brought(before, sort):
        raise WireError(
            "ResourceInUse",
            f'Baseline "{name}" exists already, and no {sort} brought it; choose another name',
        )
    analyzer_of(job.application["ImageUri"])
    if "EndpointName" not in job.input:
        raise WireError(
            _INVALID,
            "BatchTransformInput: a transform job writes no manifests of its files here; declare a "
            "Monitor that watches its output as a table (docs/sources.md)",
        )
    documents = (job.baseline.get(f"{one}Resource") or {} for one in ("Statistics", "Constraints"))
    places = [one["S3Uri"] for one in documents if one.get("S3Uri")]
    processing = await _baselining(wire, job, places)
    if processing is None and not places:
        raise WireError(
            _INVALID,
            f"{name}: nothing to compare with; expected a baseline: BaseliningJobName of a "
            "processing job, or ConstraintsResource and StatisticsResource",
        )
    uri = job.application.get("ConfigUri")
    for place in [*places, uri] if uri else places:
        wire.services.context.reach.check_data(place)
    config = await asyncio.to_thread(_read, uri) if uri else None
    environment = {} if processing is None else processing.environment
    spec, positions = roles_given(job, environment, config)
    if job.input.get("ProbabilityAttribute") and not job.input.get("InferenceAttribute"):
        # The endpoint answers probabilities alone: the threshold makes predictions of them.
        spec["exclude"] = [one for one in [spec.pop("prediction", None)] if one]
    spec["documents"] = places
    if processing is not None:
        spec["data"] = await asyncio.to_thread(prefixed, processing.data)
        if processing.analyzer == "clarify":  # Its own configuration says what its rows are.
            own = await asyncio.to_thread(processing.analysis_config)
            spec = {**roles_spec(roles_of_config(own)), **spec}
            spec["columns"] = list(headers_of_config(own))
        if script := environment.get("record_preprocessor_script"):
            spec["preprocess"] = PurePosixPath(script).name
        if config is not None and job.kind == "attribution":
            spec["model"] = (json.loads(config).get("predictor") or {}).get("model_name")
    spec |= await asyncio.to_thread(_answers, wire, job, spec, positions)
    baseline = {"kind": "Baseline", "name": name, "spec": spec, "tags": {_MADE_FOR: sort}}
    return Declaration(baseline, as_read(before))


async def _baselining(wire: Wire, job: Job, places: Sequence[str]) -> DescribedProcessingJob | None:
    """Return the job that made a baseline: that of its name, or the last that wrote there."""
    if (name := job.baseline.get("BaseliningJobName")) is not None:
        try:
            by_name: DescribedProcessingJob = await wire.ask(processing_job, name=name)
        except NotFoundError:
            return None
        return by_name
    folders = {one.rpartition("/")[0] for one in places}

    def read(_services: Services, connection: Connection) -> DescribedProcessingJob | None:
        output = jobs.c.spec["processing_outputs", 0, "s3_uri"].as_string()
        wrote = jobs.c.kind == "processing", func.rtrim(output, "/").in_(folders)
        last = select(jobs.c.name).where(*wrote).order_by(jobs.c.created_at.desc()).limit(1)
        name = connection.scalar(last)
        return None if name is None else processing_job(connection, name)

    return await wire.asking.read(processing_jobs, read)


def _answers(
    wire: Wire, job: Job, spec: Mapping[str, Any], positions: Mapping[str, str]
) -> dict[str, str]:
    """Return the columns of the rows that hold what the model answers.

    As SageMaker has it: a prediction is the first column where rows have one more than the model
    takes, or where the model does not say how many that is, such as one with functions of its own;
    and a position counts the columns of the answer, which come first.
    """
    is_sent = "preprocess" not in spec  # Else its columns are those that a script makes.
    if "data" in spec and is_sent:
        names = open_source(Files(spec["data"], names=spec.get("columns", ()))).schema.names
    else:
        names = _names(spec["documents"][-1]) if spec["documents"] else []
    columns = {role: names[int(at)] for role, at in positions.items() if int(at) < len(names)}
    if is_sent and job.kind == "data-quality" and not spec.keys() & {"label", "prediction"}:
        with read_connection(wire.services.context.engine) as connection:
            endpoint = store.find(connection, "Endpoint", job.input["EndpointName"])
        models = {} if endpoint is None else models_of(endpoint)
        described = filter(None, (one.made.get("description") for one in models.values()))
        if names and {one["feature_count"] for one in described} <= {len(names) - 1, None}:
            columns["prediction"] = names[0]
    return columns


def _names(place: str) -> list[str]:
    try:
        return [one["name"] for one in json.loads(_read(place)).get("features", ())]
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        raise WireError(_INVALID, f"{place} is no document of a baseline") from None


def _read(place: str) -> bytes:
    return locate(place).read(most=LONGEST_DOCUMENT)
