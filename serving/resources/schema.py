"""The JSON Schema of resource files, of the models by which the server checks them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from driftline.serving.resources.specs import SPECS


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255)
    owner: str | None = Field(default=None, max_length=255)
    tags: dict[str, str] | None = None


def resource_schema() -> dict[str, Any]:
    """Return the JSON Schema of a resource file: one resource, or a list of them.

    In the part that draft 7 has, which editors read. Only the server checks how fields go
    together: ``driftline apply --dry-run``.
    """
    kinds = []
    for kind, spec in SPECS.items():
        fields: dict[str, Any] = {"kind": (Literal[kind], ...), "spec": (spec, ...)}
        kinds.append(create_model(f"{kind}Resource", __base__=_Declared, **fields))
    one: Any = Annotated[Union[tuple(kinds)], Field(discriminator="kind")]  # noqa: UP007 - of a list
    either: Any = one | list[one]
    found = TypeAdapter(either).json_schema()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Resources of driftline",
        **found,
    }
