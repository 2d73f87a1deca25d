"""From a declared Baseline to a version of it, and from one version in use to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection

from driftline.access.audit import PROMOTE, record
from driftline.access.principal import Principal
from driftline.baseline import versions as baselines
from driftline.baseline.scripting import preprocessed, script_in
from driftline.baseline.store import ANALYSIS, CONSTRAINTS, STATISTICS, Baseline
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.database.leases import Values
from driftline.errors import ConflictError, InputError
from driftline.formats.location import locate
from driftline.formats.source import Files, Source, open_source
from driftline.monitors.definitions import list_definitions, put_definition
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.run.captured_baseline import (
    EVENT_TIME,
    Origin,
    captured_rows,
    put_made,
    require_over,
    rows_origin,
)
from driftline.roles import Roles
from driftline.serving.context import ServerContext
from driftline.serving.hosting.asked_models import AskedModel, AskedModels
from driftline.serving.hosting.formats.model_format import BODIES, NOT_EXPLAINED
from driftline.serving.provisioning.making import Finish, Made
from driftline.serving.provisioning.signatures import positive_class
from driftline.serving.resources import store
from driftline.serving.resources.deployments import is_held_back
from driftline.serving.resources.endpoints import require_signature
from driftline.serving.resources.model_specs import environment_of
from driftline.serving.resources.specs import BaselineSpec, CapturedData
from driftline.serving.resources.store import Stored
from driftline.serving.resources.worker_spec import WorkerSpec

ROLE_FIELDS = set(BaselineSpec.model_fields) - {
    "data", "columns", "documents", "model", "segments", "preprocess", "sample",
}  # fmt: skip


@dataclass(frozen=True)
class Promoted:
    """The digest of the version in use now, of the one before, and the monitors that follow."""

    baseline: str
    before: str
    version: str
    monitors: Sequence[str]


def promote_version(
    context: ServerContext, name: str, wanted: str, before: str | None, lease: Values
) -> Promoted:
    """Have all followers use a version, if ``before`` is in use; endpoints follow by a lease."""
    with read_connection(context.engine) as connection:
        name = store.get_ready(connection, "Baseline", name).name
    version = baselines.find_version(context.root, name, wanted).version
    loaded = baselines.get(context.root, name, version)
    with context.engine.begin() as connection:
        store.hold_all(connection)
        row = store.get_ready(connection, "Baseline", name)
        used, moved = row.made["version"], list[str]()
        if used != version:
            _require_in_use(row, before or used)
            made = {**row.made, "version": version, "signature": loaded.signature.to_json()}
            moved = _move(connection, row, made, context.now())
            for user in store.users_of(connection, "Baseline", name):
                is_free = user.kind == "Endpoint" and not user.is_unfinished
                if is_free and not is_held_back(user, row):
                    store.begin_again(connection, user, lease)
    return Promoted(name, used, version, moved)


def use_version(
    connection: Connection, name: str, version: str, before: str, now: datetime
) -> list[str]:
    """Use a version if another still is, under the lock of all resources; return followers."""
    store.hold_all(connection)
    row = store.get(connection, "Baseline", name)
    _require_in_use(row, before)
    return _move(connection, row, {**row.made, "version": version}, now)


def _require_in_use(row: Stored, before: str) -> None:
    if row.made.get("version") != before:
        raise ConflictError(
            f'baseline "{row.name}": version {row.made.get("version")} is in use, no longer '
            f"{before}; look at it and try again"
        )


def _move(
    connection: Connection,
    row: Stored,
    made: Made,
    now: datetime,
    principal: Principal | None = None,
) -> list[str]:
    """Have another version of a baseline used; return the monitors that follow it."""
    version, before = made["version"], row.made.get("version")
    store.write(connection, row, made=dict(made))
    record(
        connection, PROMOTE, f"Baseline/{row.name}", now, principal=principal,
        before=None if before is None else {"version": before}, after={"version": version},
    )  # fmt: skip
    moved = [
        one
        for one in list_definitions(connection)
        if one.baseline == row.name and not one.baseline_pinned
    ]
    for one in moved:
        put_definition(connection, replace(one, baseline_version=version), now)
    return [one.name for one in moved]


def make_baseline(context: ServerContext, row: Stored) -> Finish:
    """Fit another version where the spec, the data or the model has changed."""
    spec, before = BaselineSpec.model_validate(row.spec), row.made
    model = _model(context, spec)
    parts = {**row.content, "model_digest": model and model["digest"]}
    made: dict[str, Any] = {**before, **parts, "spec": row.spec}
    is_same = bool(before) and parts.items() <= before.items()
    if not (is_same and _deciding(before["spec"]) == _deciding(row.spec)):
        make = partial(_fitted, context, spec, model)
        baseline = put_made(context.root, row.name, make, context.now)
        made |= {"version": baseline.version, "signature": baseline.signature.to_json()}
    return partial(_put, context, row, made)


def _put(
    context: ServerContext, row: Stored, made: Made, connection: Connection, now: Stored
) -> Made | None:
    """Have the version used by all that follow, unless its model, or what is used, has changed."""
    name, version, before = now.spec["model"], made["version"], row.made.get("version")
    model = None if name is None else store.get(connection, "Model", name).made["digest"]
    if model != made["model_digest"]:
        return None
    if now.made.get("version") != before:  # Another one came into use meanwhile.
        if version != before:
            raise ConflictError("another version came into use while this was made; apply it again")
        return {**made, **{key: now.made[key] for key in ("version", "signature")}}
    if version != before:
        who = Principal(roles=frozenset(), **row.applied_by)
        _move(connection, now, made, context.now(), who)
    return made


def _fitted(
    context: ServerContext, spec: BaselineSpec, model: Made | None
) -> tuple[Baseline, Origin]:
    roles = Roles.of(**spec.model_dump(include=ROLE_FIELDS))
    data: object = spec.data
    origin: Origin = {"data": spec.documents if spec.data is None else spec.data}
    if spec.data is None:
        return complete(_answering(_documented(spec.documents), spec.prediction)), origin
    if isinstance(spec.data, CapturedData):
        data, origin = _captured(context, spec)
        roles = replace(roles, timestamp=roles.timestamp or EVENT_TIME)
    elif spec.preprocess is not None:
        script = script_in(context.settings.scheduler.scripts_dir, spec.preprocess)
        data = preprocessed(data, script, discreet=True)
    elif spec.columns:
        paths = [spec.data] if isinstance(spec.data, str) else spec.data
        data = Files(*paths, names=spec.columns)
    classes = () if model is None else model["description"]["classes"]
    fitted = Baseline.of(
        data, roles, segments=spec.segments, model_classes=classes, sample=spec.sample
    )
    if model is not None:
        fitted = _explained(context, spec, data, fitted, model)
    # With the documents of all kinds, so that they can be read and changed where they lie.
    found = complete(fitted)
    if spec.documents:
        own = _documented(spec.documents)
        found = replace(found, documents={**found.documents, **own.documents})
        if own.constraints.features:
            statistics = own.statistics or found.statistics
            found = replace(found, constraints=own.constraints, statistics=statistics)
    return found, origin


def _answering(found: Baseline, name: str | None) -> Baseline:
    """Return a baseline of documents whose column of this name holds what the model answers."""
    signature = found.signature
    if name is None:
        return found
    if (column := signature.get(name)) is None:
        raise InputError(f'prediction "{name}": no column of the documents')
    rest = tuple(one for one in signature.features if one.name != name)
    output = replace(column, column="prediction", role="prediction")
    return replace(found, signature=replace(signature, features=rest, outputs=(output,)))


def _documented(places: Sequence[str]) -> Baseline:
    """Read SageMaker's documents from wherever they are, as if they lay in one folder."""
    with TemporaryDirectory(prefix="driftline-baseline-") as folder:
        for place in places:
            name = PurePosixPath(place).name
            if name not in (STATISTICS, CONSTRAINTS, ANALYSIS):
                known = f"{STATISTICS}, {CONSTRAINTS} or {ANALYSIS}"
                raise InputError(f'documents: "{place}" is none; expected {known}')
            (Path(folder) / name).write_bytes(locate(place).read())
        return Baseline.load(folder)


def _captured(context: ServerContext, spec: BaselineSpec) -> tuple[Source, Origin]:
    if spec.preprocess is not None:
        raise InputError("preprocess with captured data; expected files, which it can read")
    name, start, end = (getattr(spec.data, one) for one in ("endpoint", "from", "to"))
    window = Window(start, end)
    require_over(window, context.now())
    signature = require_signature(context.engine, name)
    names = [one.name for one in (*signature.inputs, *signature.outputs)]
    rows = captured_rows(context.root, name, names, window, signature)
    return rows, rows_origin(window, endpoint=name)


def _model(context: ServerContext, spec: BaselineSpec) -> Made | None:
    if spec.model is None:
        return None
    with read_connection(context.engine) as connection:
        made = store.get_ready(connection, "Model", spec.model).made
    if "file" not in made:
        raise InputError(f'model "{spec.model}" is many models; expected one of mode SingleModel')
    return made


def _explained(
    context: ServerContext,
    spec: BaselineSpec,
    data: object,
    fitted: Baseline,
    model: Made,
) -> Baseline:
    """Add how much each feature counts for the model, asked in a process of its own."""
    if model["description"]["kind"] == BODIES:
        raise InputError(NOT_EXPLAINED)
    worker = WorkerSpec(
        str(context.models.fetch(model["file"])),
        # What was trusted once may be no more.
        trust_pickle=context.settings.serving.trust_pickle and model["trust_pickle"],
        environment=environment_of(model["spec"]),
        positive=positive_class(fitted.signature, model["description"], chosen=spec.positive),
    )
    with AskedModels(start_timeout_s=context.start_timeout_s) as models:
        predict = AskedModel(models, worker, model["digest"])
        return explain_reference(open_source(data), fitted, predict)


def _deciding(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a spec decides about the result, besides the data's bytes."""
    return {key: one for key, one in spec.items() if key != "data" and one not in (None, [])}
