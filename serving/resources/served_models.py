"""Which models an endpoint served since when.

It lies in what was made of the endpoint, as ``served``: a line for each change of the models' files
themselves, of whichever variant, and of which variants callers get none. Tags, owners and other
weights change no model. The moment of a line is that of the ``apply`` that stored it: requests
under way, and those of other servers until they have loaded the new model, are answered by the one
before for some seconds more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from driftline.serving.resources import store
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.specs import shadows_of, variants_of

# Of one endpoint; what is older is dropped.
CHANGES_KEPT = 50


def note_served(connection: Connection, now: datetime) -> None:
    """Add a line to each endpoint that serves other models than its last line says."""
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
            served = [*lines, {"since": now.isoformat(), **line}][-CHANGES_KEPT:]
            store.put_made(connection, replace(endpoint, made={**endpoint.made, "served": served}))


def deployed_at(endpoint: store.Stored) -> datetime | None:
    """Return since when callers get an endpoint's models; its last change if none was noted."""
    since, before = endpoint.updated_at, None
    for line in endpoint.made.get("served", ()):
        idle = line.get("idle", ())
        callers = {model for name, model in line["variants"].items() if name not in idle}
        if callers and callers != before:
            since, before = datetime.fromisoformat(line["since"]), callers
    return since
