"""From a declared Endpoint, its models and its baseline to the signature that its callers see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from driftline.errors import InputError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.formats.model_format import BODIES
from driftline.serving.provisioning.making import Finish, Made, Wanted
from driftline.serving.provisioning.signatures import (
    bodies_signature,
    endpoint_signature,
    positive_class,
    succeed,
)
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_and_shadows
from driftline.serving.resources.endpoints import deployed
from driftline.serving.resources.model_specs import SERIAL, containers_of
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.store import Stored
from driftline.signature import Signature

Description = Mapping[str, Any]


def make_endpoint(context: ServerContext, _row: Stored, _is_wanted: Wanted) -> Finish:
    """Put an endpoint together of what is ready; nothing of that takes long."""

    def finish(connection: Connection, now: Stored) -> Made:
        return endpoint_of(connection, now.name, now.spec, now.made, context.now())

    return finish


def endpoint_of(
    connection: Connection, name: str, spec: Mapping[str, Any], before: Made, now: datetime
) -> Made:
    """Return what an endpoint consists of: its models and its baseline as they are ready now."""
    models: dict[str, Stored] = {}

    def ready(model: str) -> Stored:
        found = store.get_ready(connection, "Model", model)
        return models.setdefault(key_of("Model", model), found)

    described: dict[str, Description | None] = {}
    for variant in variants_and_shadows(spec):
        own, model = variant["variant_name"], ready(variant["model_name"])
        parts = {
            f"{own}/{host}": ready(part).made["description"]
            for host, part in containers_of(model.running).items()
        }
        if model.running["mode"] == SERIAL:  # Takes what the first one takes.
            first, *_, last = parts.values()
            taken = ("feature_names", "feature_count", "feature_types")
            parts = {own: last | {key: first.get(key) for key in taken}}
        described |= parts or {own: model.made["description"]}
    baseline = None
    if spec["baseline"] is not None:
        baseline = store.get_ready(connection, "Baseline", spec["baseline"])
    signature, positive = answered_signature(spec, described, baseline)
    if signature is not None:
        old = before.get("signature")
        signature = succeed(None if old is None else Signature.from_json(old), signature)
    found = {
        "spec": dict(spec),
        "models": {key: {"name": one.name, "made": one.made} for key, one in models.items()},
        "signature": None if signature is None else signature.to_json(),
        "positive": positive,
    }
    since = deployed(spec, models, before.get("deployed"), now)
    return found if since is None else {**found, "deployed": since}


def answered_signature(
    spec: Mapping[str, Any],
    described: Mapping[str, Description | None],
    baseline: Stored | None,
) -> tuple[Signature | None, str | None]:
    """Return the signature and the positive class that all variants of an endpoint share.

    They are captured into one table, where one column has one meaning. A model that answers bodies
    does not say which classes it has: it is captured as the others. Without variants an app of its
    own answers.
    """
    declared = _declared(spec, baseline)
    if not described:
        assert declared is not None  # The check of the spec asks for one of both.
        return declared.as_captured(), None
    if declared is None and None in described.values():
        return None, None
    roles = {} if baseline is None else baseline.spec
    found: dict[str, tuple[Signature | None, str | None]] = {}
    what = "container" if any("/" in one for one in described) else "variant"
    for variant, description in described.items():
        try:
            found[variant] = _answered(declared, description, roles)
        except InputError as error:
            many = len(described) > 1
            raise InputError(f'{what} "{variant}": {error}' if many else str(error)) from error
    known = {name: one for name, one in described.items() if one and one["kind"] != BODIES}
    first = next(iter(known or found))
    for other in known:
        if found[other] != found[first]:
            raise InputError(
                f'{what}s "{first}" and "{other}" answer other classes or types: '
                f"{_answers(known[first])} against {_answers(known[other])}; expected the same of "
                "all"
            )
    return found[first]


def _answered(
    declared: Signature | None, description: Description | None, roles: Mapping[str, Any]
) -> tuple[Signature | None, str | None]:
    """Return the signature and the positive class of one model."""
    if description is None:
        raise InputError(
            "no model lies below its model_data_prefix yet, so that nobody knows what they "
            "answer; put one there, and apply its Model again"
        )
    positive = positive_class(declared, description, chosen=roles.get("positive"))
    if declared is None:
        return None, positive
    if description["kind"] == BODIES:
        return bodies_signature(declared, roles), positive
    return endpoint_signature(declared, description, chosen=roles.get("positive")), positive


def _answers(description: Description) -> str:
    """Return in a few words what a model answers."""
    words = ", ".join(description["classes"][:8]) or str(description["class_type"])
    width = description.get("answer_width") or 1
    return words if width == 1 else f"lists of {width} {words}"


def _declared(spec: Mapping[str, Any], baseline: Stored | None) -> Signature | None:
    if baseline is not None:
        return Signature.from_json(baseline.made["signature"])
    if spec["signature"] is None:
        return None
    try:
        return Signature.from_json(json.dumps(spec["signature"]))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"signature: a value is of the wrong type ({error})") from error
