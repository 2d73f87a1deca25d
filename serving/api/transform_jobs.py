"""Routes of transform jobs: files scored by a model in the background."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from driftline.access.principal import CURRENT
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError
from driftline.serving.api.requests import PAGE, Limit, PageToken, page_of
from driftline.serving.context import ServerContext
from driftline.serving.provisioning.signatures import job_signature
from driftline.serving.resources import store
from driftline.serving.resources.specs import (
    TRANSFORM_VARIANT,
    command_of,
    variants_and_shadows,
    variants_of,
)
from driftline.serving.transform.definition import (
    DataCaptureConfig,
    JobStatus,
    TransformJobSpec,
)
from driftline.serving.transform.dispatch import TransformJobs
from driftline.serving.transform.jobs import (
    PinnedModel,
    TransformJob,
    count_files,
    create_job,
    described,
    get_job,
    list_jobs,
    stop_job,
)
from driftline.signature import Signature

_WITHHELD = "not shown, because it may quote a record; the role analyst sees it"


def router(context: ServerContext, jobs: TransformJobs) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["transform"])

    @routes.post("/transform-jobs")
    def create(spec: TransformJobSpec) -> dict[str, Any]:
        """Score files by a model, or as an endpoint does, in the background.

        In CreateTransformJob's form, in snake case. The model is the declared one of this moment:
        what is applied later changes nothing.
        """
        for place in spec.transform_input.data_source.s3_data_source.places:
            context.reach.check_data(place)
        context.reach.check_output(spec.transform_output.s3_output_path)
        by, now = CURRENT.get().subject, context.lease_clock()
        with context.engine.begin() as connection:
            store.hold_all(connection)  # So that no model is removed that was just chosen.
            model, signature = _pinned(connection, spec)
            spec, model = _captured(connection, spec, model)
            create_job(connection, spec, by=by, now=now, model=model, signature=signature)
            found = get_job(connection, spec.transform_job_name)
        jobs.look()
        return _shown(context, [found])[0]

    @routes.get("/transform-jobs")
    def list_all(
        status: JobStatus | None = None,
        name_contains: Annotated[str, Query(max_length=63)] = "",
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List transform jobs, the newest first; of a status, or with names that hold a text."""
        after = place_of(next_token, datetime, str)
        with read_connection(context.engine) as connection:
            found = list_jobs(
                connection, status=status, name_contains=name_contains, after=after,
                limit=limit + 1,
            )  # fmt: skip
        page = page_of(found, limit, lambda one: (one.created_at, one.name.casefold()), _itself)
        return page | {"items": _shown(context, list(map(itemgetter("job"), page["items"])))}

    @routes.get("/transform-jobs/{name}")
    def describe(name: str) -> dict[str, Any]:
        """Return a transform job: what it was asked, its status, and how far it is."""
        with read_connection(context.engine) as connection:
            found = get_job(connection, name)
        return _shown(context, [found])[0]

    @routes.post("/transform-jobs/{name}/stop")
    def stop(name: str) -> dict[str, Any]:
        """Stop a transform job within seconds; outputs that are whole stay."""
        with context.engine.begin() as connection:
            found = stop_job(connection, name)
        jobs.look()
        return _shown(context, [found])[0]

    return routes


def _itself(job: TransformJob) -> dict[str, Any]:
    return {"job": job}


def _shown(context: ServerContext, found: list[TransformJob]) -> list[dict[str, Any]]:
    with read_connection(context.engine) as connection:
        counts = count_files(connection, [job.name for job in found])
    shown = [described(job, counts.get(job.name.casefold())) for job in found]
    if not CURRENT.get().may("analyst"):
        for one in shown:
            one["failure_reason"] = one["failure_reason"] and _WITHHELD
    return shown


def _captured(
    connection: Connection, spec: TransformJobSpec, model: PinnedModel
) -> tuple[TransformJobSpec, PinnedModel]:
    """Name the endpoint of a job's captured rows as it is declared, and what they consist of."""
    if spec.captured_as is None:
        return spec, model
    endpoint = store.get(connection, "Endpoint", spec.captured_as)
    name, variants = endpoint.name, variants_and_shadows(endpoint.spec)
    if any(one["variant_name"] == TRANSFORM_VARIANT for one in variants):
        raise InputError(
            f'data_capture_config.endpoint_name "{name}", which has a variant '
            f'"{TRANSFORM_VARIANT}", as rows of jobs are called; expected another endpoint'
        )
    text = endpoint.made.get("signature")
    if spec.model_name is not None and text is not None:
        about = store.get(connection, "Model", spec.model_name).made["description"]
        baseline = endpoint.spec["baseline"]
        roles = {} if baseline is None else store.get(connection, "Baseline", baseline).spec
        try:
            text = job_signature(Signature.from_json(text), about, roles).to_json()
        except InputError as error:
            raise InputError(f'data_capture_config.endpoint_name "{name}": {error}') from error
        model = replace(model, captured_signature=text)
    config = DataCaptureConfig(endpoint_name=name)
    return spec.model_copy(update={"data_capture_config": config}), model


def _pinned(connection: Connection, spec: TransformJobSpec) -> tuple[PinnedModel, str | None]:
    """Return the model of a job, and the signature by which it reads records, if there is one."""
    signature = positive = None
    name = spec.model_name
    if spec.endpoint_name is not None:
        endpoint = store.get(connection, "Endpoint", spec.endpoint_name)
        variants = variants_of(endpoint.spec)
        if not variants:
            raise InputError(
                f'endpoint "{endpoint.name}" has no model, an app of its own answers for it; '
                "expected model_name"
            )
        # Several: the one that answers most requests.
        name = max(variants, key=itemgetter("initial_variant_weight"))["model_name"]
        signature, positive = endpoint.made.get("signature"), endpoint.made.get("positive")
    assert name is not None
    model = store.get(connection, "Model", name)
    made = model.made
    if "file" not in made:
        raise InputError(f'model "{name}" stands for many models; expected one by itself')
    if command_of(model.spec)[0] is not None:
        raise InputError(f'model "{name}" is a command; expected one of a file or folder')
    return PinnedModel(made["file"], bool(made["trust_pickle"]), positive), signature
