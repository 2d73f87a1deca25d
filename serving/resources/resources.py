"""Declared resources: their kinds, their fields, and the sentence when one is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, create_model

from driftline.errors import InputError
from driftline.serving.resources.model_specs import Pipeline
from driftline.serving.resources.spec import Name, Spec
from driftline.serving.resources.specs import KINDS, SECRET_FIELDS, SPECS, Kind
from driftline.validation import shown, told

MAX_RESOURCES = 1000
_ALARM_NAME_MAX = 255
# Their names are free text, and unique over both.
ALARM_KINDS: tuple[Kind, ...] = ("Alarm", "CompositeAlarm")


class ResourceError(InputError):
    """A declared resource is wrong."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One declared resource whose form is right; whether it fits the others is not known yet."""

    kind: Kind
    name: str
    spec: Spec
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name as it is compared with others of the kind."""
        return key_of(self.kind, self.name)

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'


def key_of(kind: Kind, name: str) -> str:
    """Return the form in which names of a kind are compared."""
    return name if kind in ALARM_KINDS else name.casefold()


def parse_resources(documents: Iterable[object]) -> list[Resource]:
    """Check the form of declared resources and sort them by what needs what."""
    found: dict[tuple[Kind, str], Resource] = {}
    for number, document in enumerate(documents, start=1):
        if number > MAX_RESOURCES:
            raise ResourceError(f"more than {MAX_RESOURCES} resources at once; apply them in parts")
        resource = _parse(document, number)
        if (resource.kind, resource.key) in found:
            raise ResourceError(f"{resource} is declared twice; expected it once")
        found[resource.kind, resource.key] = resource
    if not found:
        raise ResourceError("no resources; expected at least one with kind, name and spec")
    return sorted(found.values(), key=_order)


def _order(resource: Resource) -> tuple[int, bool]:
    return KINDS.index(resource.kind), isinstance(resource.spec, Pipeline)


def _parse(document: object, number: int) -> Resource:
    where = f"resource {number}"
    if not isinstance(document, Mapping):
        raise ResourceError(f"{where} is {shown(document)}; expected kind, name and spec")
    kind, name = document.get("kind"), document.get("name")
    if kind not in KINDS:
        raise ResourceError(f"{where}: kind {shown(kind)}; expected one of {', '.join(KINDS)}")
    if isinstance(name, str) and name.isprintable():
        where = f'{kind} "{name[:_ALARM_NAME_MAX]}"'
    try:
        found = _FORMS[kind].model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # A secret may stand in the field that is wrong.
        said = told(first, secrets=(*SECRET_FIELDS, "url")).removeprefix(": ")
        raise ResourceError(f"{where}: {said}") from None
    return Resource(kind, found.name, found.spec, found.owner, found.tags or {})


def _alarm_name(name: str) -> str:
    # "." and ".." stand for folders in the address of an alarm's page.
    is_long = len(name) > _ALARM_NAME_MAX
    if is_long or not (name.strip() and name.isprintable()) or name in (".", ".."):
        raise ValueError(
            f"{shown(name)}; expected 1 to {_ALARM_NAME_MAX} printable characters, not all blank, "
            'not "." or ".."'
        )
    return name


class _Declared(Spec):
    kind: Kind
    name: Any
    owner: Annotated[str, Field(max_length=255)] | None = None
    tags: dict[str, str] | None = None
    spec: Any


def _form_of(kind: Kind) -> type[_Declared]:
    name = Annotated[str, AfterValidator(_alarm_name)] if kind in ALARM_KINDS else Name
    fields: dict[str, Any] = {
        "kind": (Literal[kind], ...), "name": (name, ...), "spec": (SPECS[kind], ...)
    }  # fmt: skip
    return create_model(f"{kind}Resource", __base__=_Declared, **fields)


_FORMS = {kind: _form_of(kind) for kind in KINDS}
