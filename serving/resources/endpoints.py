"""Endpoints as stored: what is to be served; without a model, by somebody else's app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError, UndecidedError
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import model_folder
from driftline.serving.resources.endpoint_specs import (
    ServerlessConfig,
    variants_and_shadows,
)
from driftline.serving.resources.model_specs import (
    MULTI_MODEL,
    SERIAL,
    command_of,
    containers_of,
    environment_of,
)
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.variant_overrides import overrides_of
from driftline.serving.resources.worker_spec import MAX_BATCH_REQUESTS, WorkerSpec
from driftline.serving.tables import jobs
from driftline.signature import Signature


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of one generation of an endpoint; there are two while it is deployed."""

    number: int = 0
    share: float = 1.0  # Of the requests, 0 to 1: they are dealt by weight within the fleet.
    is_new: bool = False  # Whether it is to take the place of another one, and asked when loaded.
    label: str = ""  # While there are two: the config or generation that metrics name it by.

    @property
    def is_asked(self) -> bool:
        """Whether requests may go to it: a new one gets none before it has a share."""
        return not self.is_new or self.share > 0


@dataclass(frozen=True, slots=True)
class DesiredVariant:
    """One model that is to answer for an endpoint, and the endpoint's own settings."""

    endpoint: str
    name: str
    # Its share of the requests is this divided by the sum of the endpoint's production variants'.
    weight: float
    worker: WorkerSpec  # Paths of files are relative to the storage root.
    instance_count: int | None  # None takes the server's setting.
    sampling_percentage: float | None
    trust_event_time: bool
    generation: int
    is_shadow: bool = False  # Whether it answers copies of the requests, and no caller.
    answers_later: Mapping[str, Any] | None = None  # AsyncInferenceConfig.
    serverless: ServerlessConfig | None = None
    fleet: Fleet = Fleet()

    @property
    def model_files(self) -> frozenset[str]:
        """The files of its models, relative to the storage root; none of many models."""
        parts = [part for _, part in self.worker.containers] or [self.worker]
        return frozenset(one.path for one in parts if one.many_memory_mb is None)

    @property
    def key(self) -> tuple[str, str]:
        """Endpoint and variant as they are compared, ignoring case."""
        return self.endpoint.casefold(), self.name.casefold()


def list_desired(*endpoints: store.Stored) -> list[DesiredVariant]:
    """Return all variants that are to be served of endpoints as they run, in their order."""
    return [
        replace(_desired(endpoint, variant, models_of(endpoint)), is_shadow=variant in shadows)
        for endpoint in map(running_endpoint, endpoints)
        for shadows in (endpoint.spec.get("shadow_production_variants", ()),)
        for variant in variants_and_shadows(endpoint.spec)
    ]


def running_endpoint(endpoint: store.Stored) -> store.Stored:
    """Return an endpoint as the generation that became ready last; as declared if none did."""
    _, _, number = endpoint.running_edition.rpartition(".")
    generation = int(number) if number else endpoint.generation
    return replace(endpoint, spec=endpoint.running or endpoint.spec, generation=generation)


def models_of(endpoint: store.Stored) -> dict[str, store.Stored]:
    """Return the models that an endpoint runs, as they were when it became ready, by their keys."""
    return {
        key: store.Stored("Model", one["name"], None, {}, one["made"]["spec"], one["made"])
        for key, one in endpoint.made.get("models", {}).items()
    }


def needed_models(connection: Connection) -> set[str]:
    """Return the folders of the models that are declared, or run, or that jobs ask."""
    models = store.list_kind(connection, "Model")
    folders = {model_folder(row.name, row.content["digest"]) for row in models if row.content}
    for endpoint in store.list_kind(connection, "Endpoint"):
        models += models_of(endpoint).values()
    asked = connection.scalars(select(jobs.c.model).where(jobs.c.ended_at.is_(None)))
    made = [*filter(None, asked), *(model.made for model in models)]
    return folders | {one["file"].rpartition("/")[0] for one in made if "file" in one}


def _desired(
    endpoint: store.Stored, variant: Mapping[str, Any], models: Mapping[str, store.Stored]
) -> DesiredVariant:
    model, made, spec = models[key_of("Model", variant["model_name"])], endpoint.made, endpoint.spec
    worker = _worker(model, models, made.get("signature"), made.get("positive"))
    changed, serverless = overrides_of(endpoint).get(variant["variant_name"].casefold(), {}), None
    if variant.get("serverless_config") is not None:
        serverless = ServerlessConfig.model_validate(variant["serverless_config"])
        most = serverless.memory_size_in_mb << 20
        memory = min(worker.memory_bytes or most, most)
        worker = replace(worker, memory_bytes=memory, is_serverless=True)
    return DesiredVariant(
        endpoint=endpoint.name,
        name=variant["variant_name"],
        weight=changed.get("weight", variant["initial_variant_weight"]),
        worker=worker,
        instance_count=changed.get("instance_count", variant.get("initial_instance_count")),
        sampling_percentage=spec["sampling_percentage"],
        trust_event_time=spec["trust_event_time"],
        generation=endpoint.generation,
        answers_later=spec["async_inference_config"],
        serverless=serverless,
        fleet=Fleet(made.get("fleet", 0)),
    )


def _worker(
    model: store.Stored,
    models: Mapping[str, store.Stored],
    signature: str | None,
    positive: str | None,
    container: str = "",
) -> WorkerSpec:
    spec, description = model.spec, model.made.get("description") or {}
    if named := containers_of(spec):
        is_serial, hosts = spec["mode"] == SERIAL, list(named)
        # Of a pipeline, the first one reads requests, and the last one answers.
        parts = tuple(
            (
                host,
                _worker(
                    models[key_of("Model", name)],
                    models,
                    signature if host == hosts[0] or not is_serial else None,
                    positive if host == hosts[-1] or not is_serial else None,
                    host,
                ),
            )
            for host, name in named.items()
        )
        # Which of them reads what is their own matter.
        return WorkerSpec(
            "", name=model.name, containers=parts, is_serial=is_serial, reads_bodies=True
        )
    command, memory = command_of(spec)
    is_many = spec["mode"] == MULTI_MODEL
    worker = WorkerSpec(
        spec["model_data_prefix"] if is_many else model.made["file"],
        trust_pickle=model.made["trust_pickle"],
        signature=signature,
        positive=positive,
        name=model.name,
        command=command,
        environment=environment_of(spec),
        max_batch_requests=spec.get("max_batch_requests", MAX_BATCH_REQUESTS),
        memory_bytes=memory,
        reads_bodies=description.get("kind") == "bodies",  # Description.kind
        container=container,
    )
    if not is_many:
        return worker
    return replace(
        worker,
        many_memory_mb=spec["memory_limit_mb"],
        many_disk_mb=spec["disk_limit_mb"],
        # Without a signature nothing is said of what they take and answer.
        like=None if signature is None else model.made["description"],
        reads_bodies=worker.reads_bodies or signature is None or model.made["description"] is None,
    )


def declared_endpoints(
    engine: Engine,
) -> dict[str, tuple[str | None, datetime | None, str | None, Mapping[str, str]]]:
    """Return all declared endpoints by name: baseline, if any, last deployment, owner and tags."""
    with read_connection(engine) as connection:
        rows = store.list_kind(connection, "Endpoint")

    def since(row: store.Stored) -> datetime | None:
        found = row.made.get("deployed")
        return row.updated_at if found is None else datetime.fromisoformat(found["since"])

    return {one.name: (one.spec["baseline"], since(one), one.owner, one.tags) for one in rows}


def signature_of(engine: Engine, endpoint: str) -> Signature | None:
    """Return the signature of an endpoint; its name is case-sensitive, as its table's is."""
    found = _declared(engine, endpoint)
    text = None if found is None else found.made.get("signature")
    return None if text is None else Signature.from_json(text)


def served_models(engine: Engine, endpoint: str) -> list[str]:
    """Name the models of an endpoint's variants and shadows; none of an app of one's own."""
    found = _declared(engine, endpoint)
    return [] if found is None else [one["model_name"] for one in variants_and_shadows(found.spec)]


def require_signature(engine: Engine, endpoint: str) -> Signature:
    """Return the signature of an endpoint; UndecidedError when it has none."""
    if not endpoint:
        raise InputError(
            "the monitor reads a table, of which nothing is captured; expected one of an endpoint. "
            "For another baseline, declare it with data of the table"
        )
    signature = signature_of(engine, endpoint)
    if signature is None:
        raise UndecidedError(f'endpoint "{endpoint}" has no signature; apply it with a baseline')
    return signature


def trusts_event_time(engine: Engine, endpoint: str) -> bool:
    """Whether clients of a declared endpoint may state when a request happened."""
    found = _declared(engine, endpoint)
    return found is not None and bool(found.spec["trust_event_time"])


def _declared(engine: Engine, endpoint: str) -> store.Stored | None:
    try:
        with read_connection(engine) as connection:
            found = store.find(connection, "Endpoint", endpoint)
    except SQLAlchemyError as error:
        if not is_disconnect(error):
            raise
        raise UnavailableError(
            f'declaration of endpoint "{endpoint}": the database does not answer'
        ) from error
    return running_endpoint(found) if found is not None and found.name == endpoint else None
