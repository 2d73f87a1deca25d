"""Tags as clients of AWS set them: of resources, jobs and dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field
from sqlalchemy import Connection

from driftline.errors import InputError, NotFoundError
from driftline.serving.jobs import store as job_store
from driftline.serving.jobs.store import JobKind
from driftline.serving.operations.registry import operation
from driftline.serving.resources import echo, store
from driftline.serving.resources.specs import KINDS

TAGS_MAX = 50  # SageMaker's.
_MEMBER = "Tags"
_JOBS: Mapping[str, JobKind] = {f"{kind.title()}Job": kind for kind in get_args(JobKind)}
_Key = Annotated[str, Field(min_length=1, max_length=128)]
_Value = Annotated[str, Field(max_length=256)]
TaggedKind = Annotated[str, Field(max_length=63, description="A kind of resource, or of job.")]
Name = Annotated[str, "Its name."]


@operation("GET /aws-tags/{kind}/{name:path}", role="viewer")
def aws_tags(connection: Connection, kind: TaggedKind, name: Name) -> dict[str, str]:
    """Return the tags that clients of AWS gave a resource; those of `apply` stand in itself."""
    return _tags(_said(connection, kind, name))


@operation("POST /aws-tags/{kind}/{name:path}", role="operator")
def change_aws_tags(
    connection: Connection,
    kind: TaggedKind,
    name: Name,
    add: Annotated[dict[_Key, _Value] | None, "Tags to add, or to give another value."] = None,
    remove: Annotated[list[_Key] | None, "Keys of tags to remove."] = None,
) -> dict[str, str]:
    """Change the tags that clients of AWS see, as AddTags and DeleteTags do."""
    store.hold_all(connection)  # Others may change or delete it, or what is kept of it.
    said = _said(connection, kind, name)
    tags = {key: one for key, one in _tags(said).items() if key not in (remove or ())}
    tags |= add or {}
    if len(tags) > TAGS_MAX:
        raise InputError(f'{kind} "{name}": {len(tags)} tags; expected {TAGS_MAX} at most')
    written = [{"Key": key, "Value": value} for key, value in tags.items()]
    if kind in _JOBS:
        job_store.say(connection, _JOBS[kind], name, {**said, _MEMBER: written})
    else:
        echo.put(connection, kind, name, {_MEMBER: written})
    return tags


def _said(connection: Connection, kind: str, name: str) -> echo.Document:
    if kind in _JOBS:
        return job_store.get_job(connection, _JOBS[kind], name).said
    for known in KINDS:
        if known == kind:
            store.get(connection, known, name)
            return echo.get(connection, known, name)
    if kind == echo.DASHBOARD and (said := echo.get(connection, kind, name)):
        return said
    raise NotFoundError(f'{kind} "{name[:80]}" does not exist')


def _tags(said: echo.Document) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in said.get(_MEMBER) or ()}
