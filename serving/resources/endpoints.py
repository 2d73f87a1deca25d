"""Endpoints as they are stored: what is to be served, by which model, under which signature.

An endpoint without a model belongs to somebody else's app: it is captured there, never served here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError, UndecidedError
from driftline.serving.resources import store
from driftline.signature import Signature


@dataclass(frozen=True, slots=True)
class DesiredEndpoint:
    """One endpoint that is to be served."""

    name: str
    variant: str
    model: str
    model_file: str  # Relative to the storage root.
    trust_pickle: bool
    signature: str | None
    positive: str | None
    instance_count: int | None  # None takes the server's setting.
    sampling_percentage: float | None
    trust_event_time: bool
    generation: int


def list_desired(connection: Connection) -> list[DesiredEndpoint]:
    """Return all endpoints that are to be served, by name."""
    # In one statement: an endpoint that is applied meanwhile comes with its model or not at all.
    rows = store.list_kinds(connection, "Model", "Endpoint")
    models = {row.name.casefold(): row for row in rows if row.kind == "Model"}
    found = []
    for endpoint in (row for row in rows if row.kind == "Endpoint"):
        spec = endpoint.spec
        if spec["model"] is None:
            continue
        found.append(_desired(endpoint, models[spec["model"].casefold()]))
    return found


def desired_with(connection: Connection, endpoint: str, model: str) -> DesiredEndpoint:
    """Return an endpoint as it would be served by another declared model."""
    return _desired(
        store.get(connection, "Endpoint", endpoint), store.get(connection, "Model", model)
    )


def _desired(endpoint: store.Stored, model: store.Stored) -> DesiredEndpoint:
    spec = endpoint.spec
    return DesiredEndpoint(
        name=endpoint.name,
        variant=spec["variant"],
        model=model.name,
        model_file=model.made["file"],
        trust_pickle=model.made["trust_pickle"],
        signature=endpoint.made.get("signature"),
        positive=endpoint.made.get("positive"),
        instance_count=spec["initial_instance_count"],
        sampling_percentage=spec.get("sampling_percentage"),
        trust_event_time=spec["trust_event_time"],
        generation=endpoint.generation,
    )


def list_foreign(connection: Connection) -> list[str]:
    """Name the endpoints that are answered by apps of their own, captured only."""
    rows = store.list_kind(connection, "Endpoint")
    return [endpoint.name for endpoint in rows if endpoint.spec["model"] is None]


def signature_of(engine: Engine, endpoint: str) -> Signature | None:
    """Return the signature of an endpoint; nothing when it has none or does not exist.

    The name is taken to the letter: records of "Flights" lie in another table than those of
    "flights", and monitors would not look there.
    """
    found = _declared(engine, endpoint)
    text = None if found is None else found.made.get("signature")
    return None if text is None else Signature.from_json(text)


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
    """Whether clients of an endpoint may state when a request happened; not if it is not declared.

    The name is taken to the letter, as in ``signature_of``.
    """
    found = _declared(engine, endpoint)
    return found is not None and bool(found.spec["trust_event_time"])


def _declared(engine: Engine, endpoint: str) -> store.Stored | None:
    """Return an endpoint by its exact name."""
    try:
        with read_connection(engine) as connection:
            found = store.find(connection, "Endpoint", endpoint)
    except SQLAlchemyError as error:
        if not is_disconnect(error):
            raise
        raise UnavailableError(
            f'declaration of endpoint "{endpoint}": the database does not answer'
        ) from error
    return found if found is not None and found.name == endpoint else None
