"""The JSON Schema of resource files, of the models by which the server checks them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from driftline.serving.resources.resources import ALARM_KINDS
from driftline.serving.resources.specs import KINDS, SPECS, Kind, ModelSpec

_DEFINITION = "#/$defs/{model}"


class Envelope(BaseModel):
    """What every resource has."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255)
    owner: str | None = Field(default=None, max_length=255)
    tags: dict[str, str] | None = None


def _declared(kind: Kind) -> type[BaseModel]:
    fields: dict[str, Any] = {"kind": (Literal[kind], ...), "spec": (SPECS[kind], ...)}
    about = ModelSpec if kind == "Model" else SPECS[kind]
    return create_model(f"{kind}Resource", __base__=Envelope, __doc__=about.__doc__, **fields)


# A resource as people declare it, by kind.
DECLARED: dict[Kind, type[BaseModel]] = {kind: _declared(kind) for kind in KINDS}


def resource_schema() -> dict[str, Any]:
    """Return the JSON Schema of a resource file: one resource, or a list of them.

    Of draft 7, which editors read. Only the server checks how fields go together: ``driftline apply
    --dry-run``.
    """
    found, shared = TypeAdapter.json_schemas(
        [(kind, "validation", TypeAdapter(model)) for kind, model in DECLARED.items()],
        ref_template=_DEFINITION,
    )
    definitions = shared["$defs"]
    for kind in ALARM_KINDS:
        # CloudWatch's own names of the fields are taken, too.
        spec = definitions[f"{kind}Spec"]
        spec |= {"patternProperties": {"^[A-Z]": True}, "required": []}
        spec["properties"]["dimensions"] = True
    # By its kind, so that an editor tells what is wrong with it and not that it is none of eight.
    rules = [
        {"if": {"properties": {"kind": {"const": kind}}}, "then": schema}
        for (kind, _), schema in found.items()
    ]
    one = {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": [*KINDS]}}}
    many = {"type": "array", "items": {"$ref": "#/$defs/Resource"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Resources of driftline",
        "$defs": definitions | {"Resource": one | {"allOf": rules}},
        "if": {"type": "array"},
        "then": many,
        "else": {"$ref": "#/$defs/Resource"},
    }
