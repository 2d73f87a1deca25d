"""From a declared Endpoint, its models and its baseline to the signature that its callers see."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import BODIES
from driftline.serving.provisioning.containers import of_containers
from driftline.serving.provisioning.signatures import (
    bodies_signature,
    endpoint_signature,
    positive_class,
    predicted_type,
    require_match,
    shared_signature,
    succeed,
    unknown_levels,
)
from driftline.serving.resources import store
from driftline.serving.resources.answers import answers_several
from driftline.serving.resources.endpoint_specs import variants_and_shadows
from driftline.serving.resources.endpoints import deployed
from driftline.serving.resources.model_specs import containers_of
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.store import Stored
from driftline.signature import Signature

log = logging.getLogger(__name__)

Made = Mapping[str, Any]
_NUMBERS = {"double", "int64"}
_WORDS = {"double": "numbers", "int64": "whole numbers", "string": "texts", "bool": "truth values"}


def make_endpoint(
    connection: Connection, name: str, spec: Mapping[str, Any], before: Made, now: datetime
) -> Made:
    """Return what an endpoint consists of: its models and its baseline as they are ready now."""
    models: dict[str, Stored] = {}
    described: dict[str, Made] = {}
    for variant in variants_and_shadows(spec):
        own, model = variant["variant_name"], _model_of(connection, models, variant["model_name"])
        parts = {
            hostname: _model_of(connection, models, part).made
            for hostname, part in containers_of(model.running).items()
        }
        mode = model.running["mode"]
        described |= of_containers(own, mode, parts) if parts else {own: model.made}
    baseline = None
    if spec["baseline"] is not None:
        baseline = store.get_ready(connection, "Baseline", spec["baseline"])
    signature, positive = answered_signature(name, spec, described, baseline)
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


def _model_of(connection: Connection, models: dict[str, Stored], name: str) -> Stored:
    return models.setdefault(key_of("Model", name), store.get_ready(connection, "Model", name))


def answered_signature(
    name: str, spec: Mapping[str, Any], models: Mapping[str, Made], baseline: Stored | None
) -> tuple[Signature | None, str | None]:
    """Return an endpoint's signature and positive class.

    ``models``: what was made of the model of each variant; empty if an app of its own answers.
    """
    declared = _declared(spec, None if baseline is None else baseline.made)
    if not models:
        assert declared is not None  # The check of the spec asks for one of both.
        return declared.as_captured(), None
    positive, signature = _of_variants(models, declared, {} if baseline is None else baseline.spec)
    if signature is not None:
        _warn_of_unknown(name, models, declared)
    return signature, positive


def _warn_of_unknown(endpoint: str, models: Mapping[str, Made], declared: Signature | None) -> None:
    """Log which columns of the reference hold values that are missing to a model, and how many."""
    inputs = () if declared is None else declared.inputs
    for variant, model in models.items():
        for column, unknown in unknown_levels(inputs, model["description"]):
            log.warning(
                "endpoint=%s variant=%s column=%s event=values-unknown-to-the-model count=%d of=%d",
                endpoint, variant, column.name, len(unknown), len(column.levels or ()),
            )  # fmt: skip


def _of_variants(
    models: Mapping[str, Made], declared: Signature | None, roles: Mapping[str, Any]
) -> tuple[str | None, Signature | None]:
    """Return the positive class and the signature that all variants of an endpoint share.

    They are captured into one table, where one column has one meaning. A model that answers bodies
    does not say which classes it has: it is captured as the others.
    """
    known: tuple[str, str | None, Signature | None] | None = None
    unknown: tuple[str, str | None, Signature | None] | None = None
    chosen = roles.get("positive")
    what = "containers" if any("/" in variant for variant in models) else "variants"
    for variant, model in models.items():
        description = model["description"]
        if description is None:
            if declared is None:
                return None, None
            raise InputError(
                "no model lies below its model_data_prefix yet, so that nobody knows what they "
                "answer; put one there, and apply its Model again"
            )
        try:
            positive = positive_class(declared, description, chosen=chosen)
            signature = None
            if declared is not None:
                require_match(declared.inputs, description)
                signature = (
                    bodies_signature(declared, roles)
                    if description["kind"] == BODIES
                    else endpoint_signature(declared, description, chosen=chosen)
                )
        except InputError as error:
            raise InputError(
                f'{what[:-1]} "{variant}": {error}' if len(models) > 1 else str(error)
            ) from error
        found = variant, positive, signature
        if description["kind"] == BODIES:
            unknown = found
        elif known is None:
            known = found
        elif known[1:] != found[1:]:
            raise _others(what, known[0], variant, *map(_answers, (models[known[0]], model)))
    if known is not None and unknown is not None:
        wanted, said = predicted_type(known[2]), predicted_type(unknown[2])
        if not (None in (wanted, said) or wanted in (said, "string") or {wanted, said} <= _NUMBERS):
            told = f"{_WORDS.get(str(said), 'lists')}, as the reference has"
            raise _others(what, known[0], unknown[0], _answers(models[known[0]]), told)
        if known[2] is not None and unknown[2] is not None:
            return known[1], shared_signature(known[2], unknown[2])
    shared = known or unknown
    assert shared is not None
    return shared[1:]


def _others(what: str, one: str, other: str, said: str, told: str) -> InputError:
    return InputError(
        f'{what} "{one}" and "{other}" answer other classes or types: {said} against {told}; '
        "expected the same of all"
    )


def _answers(model: Made) -> str:
    """Return in a few words what a model answers."""
    description = model["description"]
    kind = str(description["class_type"])
    words = ", ".join(description["classes"][:8]) or _WORDS.get(kind, kind)
    return (
        f"lists of {description['answer_width']} {words}" if answers_several(description) else words
    )


def _declared(spec: Mapping[str, Any], baseline: Made | None) -> Signature | None:
    if baseline is not None:
        return Signature.from_json(baseline["signature"])
    if spec["signature"] is None:
        return None
    try:
        return Signature.from_json(json.dumps(spec["signature"]))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"signature: a value is of the wrong type ({error})") from error
