"""Which models an endpoint served since when, so that monitors know which one answered their rows.

It lies in what was made of the endpoint, as ``served``: a line for each change of the models' files
themselves, of whichever variant, and of which variants callers get none. Tags, owners and other
weights change no model. The moment of a line is that of the ``apply`` that stored it: requests
under way, and those of other servers until they have loaded the new model, are answered by the one
before for some seconds more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from driftline.database.engine import read_connection
from driftline.monitors.answering_models import Served
from driftline.serving.resources import store
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.specs import shadows_of, variants_of

# Of one endpoint; what is older is dropped.
CHANGES_KEPT = 50


def note_served(connection: Connection, now: datetime, begun: datetime) -> None:
    """Add a line to each endpoint that serves other models than its last line says.

    The line also says when the change was ``begun``, which may have made baselines as well.
    """
    models = store.list_kind(connection, "Model")
    files = {
        key_of("Model", model.name): model.made["digest"]
        for model in models
        if "file" in model.made  # Not of many models, nor of containers.
    }
    for endpoint in store.list_kind(connection, "Endpoint"):
        line: dict[str, Any] = {
            key: {
                one["variant_name"]: files[model]
                for one in variants
                if (model := key_of("Model", one["model_name"])) in files
            }
            for key, variants in (
                ("variants", variants_of(endpoint.spec)),
                ("shadows", shadows_of(endpoint.spec)),
            )
        }
        lines = endpoint.made.get("served", [])
        last = lines[-1] if lines else {"variants": {}, "shadows": {}}
        idle = [
            one["variant_name"]
            for one in variants_of(endpoint.spec)
            if one["initial_variant_weight"] == 0
        ]
        if idle or "idle" in last:
            line["idle"] = idle
        if last != {**last, **line}:
            at = {"since": now.isoformat(), "begun": begun.isoformat()}
            served = [*lines, {**at, **line}][-CHANGES_KEPT:]
            store.put_made(connection, replace(endpoint, made={**endpoint.made, "served": served}))


def deployed_at(endpoint: store.Stored) -> datetime | None:
    """Return since when callers get an endpoint's models; its last change if none was noted."""
    served = served_by(endpoint.made, None)
    return served[-1].since if served else endpoint.updated_at


def served_by(made: Mapping[str, Any], variant: str | None) -> Sequence[Served]:
    """Return the models that answered as a variant; None: to callers, whichever variant it was.

    A line for each change of theirs, or of those that callers got.
    """
    found: list[Served] = []
    for line in made.get("served", ()):
        callers = frozenset(
            model for name, model in line["variants"].items() if name not in line.get("idle", ())
        )
        named = {**line["variants"], **line["shadows"]}
        models = callers
        if variant is not None:
            models = frozenset({named[variant]} if variant in named else ())
        if callers and (not found or (models, callers) != (found[-1].models, found[-1].callers)):
            found.append(
                Served(
                    datetime.fromisoformat(line["since"]),
                    models,
                    datetime.fromisoformat(line["begun"]),
                    callers,
                )
            )
    return found


def served_of(engine: Engine, endpoint: str, variant: str | None) -> Sequence[Served]:
    """Return the models that answered as a variant of an endpoint; see `served_by`."""
    with read_connection(engine) as connection:
        found = store.find(connection, "Endpoint", endpoint)
    return [] if found is None else served_by(found.made, variant)
