"""Declared resources: their kinds, their fields, and the sentence when one is wrong.

Pydantic checks the documents of people's files here. What passes is a ``Resource`` with a checked
spec, defaults filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.parts import own_names
from driftline.alerts.math.query import read_dimensions
from driftline.capture.tap.target import is_name
from driftline.errors import InputError
from driftline.serving.resources.model_specs import Pipeline
from driftline.serving.resources.spec import Spec
from driftline.serving.resources.specs import KINDS, SECRET_FIELDS, SPECS, Kind
from driftline.validation import nearest, shown, told

MAX_RESOURCES = 1000
_ALARM_NAME_MAX = 255
# Their names are free text, and unique over both.
ALARM_KINDS: tuple[Kind, ...] = ("Alarm", "CompositeAlarm")
_ADAPTERS: dict[Kind, TypeAdapter[Spec]] = {kind: TypeAdapter(SPECS[kind]) for kind in KINDS}
_ENVELOPE = ("kind", "name", "owner", "tags", "spec")


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
    """Return the place of a resource behind those that it needs."""
    return KINDS.index(resource.kind), isinstance(resource.spec, Pipeline)


def _parse(document: object, number: int) -> Resource:
    where = f"resource {number}"
    if not isinstance(document, Mapping):
        raise ResourceError(f"{where} is {shown(document)}; expected kind, name and spec")
    kind = document.get("kind")
    if kind not in KINDS:
        raise ResourceError(f"{where}: kind {shown(kind)}; expected one of {', '.join(KINDS)}")
    name = _checked_name(kind, document.get("name"), where)
    where = f'{kind} "{name}"'
    for key in document:
        if key not in _ENVELOPE:
            near = nearest(str(key), _ENVELOPE)
            raise ResourceError(f"{where}: unknown key {shown(key)}; {near}")
    owner, tags, spec = document.get("owner"), document.get("tags"), document.get("spec")
    if not isinstance(spec, Mapping):
        raise ResourceError(f"{where}: spec {shown(spec)}; expected an object")
    if kind in ALARM_KINDS:
        spec, tags = _aws_names(kind, name, spec, tags, where)
    if owner is not None and not (isinstance(owner, str) and len(owner) <= 255):
        raise ResourceError(f"{where}: owner {shown(owner)}; expected text")
    if tags is not None and not _is_texts(tags):
        raise ResourceError(f"{where}: tags {shown(tags)}; expected an object of texts")
    return Resource(kind, name, _checked_spec(kind, spec, where), owner, dict(tags or {}))


def _aws_names(
    kind: Kind, name: str, spec: Mapping[str, object], tags: object, where: str
) -> tuple[dict[str, object], object]:
    """Take CloudWatch's names of an alarm's fields; its Tags are the resource's."""
    try:
        found = _snake_case(kind, name, spec)
    except InputError as error:
        raise ResourceError(f"{where}: {error}") from error
    if "Tags" not in spec:
        return found, tags
    if tags is not None:
        raise ResourceError(f'{where}: "Tags" and "tags"; expected one of them')
    return found, _read_tags(found.pop("tags", None))


def _snake_case(kind: Kind, name: str, spec: Mapping[str, object]) -> dict[str, object]:
    """Write the fields of PutMetricAlarm and PutCompositeAlarm in snake case.

    Names of both kinds may stand side by side. Tags stay as ``tags``, AlarmName is left out.
    """
    model = AlarmDefinition if kind == "Alarm" else CompositeDefinition
    found = own_names(spec, model.aws_names())
    if "AlarmName" in spec and found.pop("alarm_name", name) != name:
        raise InputError(f'AlarmName {spec["AlarmName"]!r:.80}; expected "{name}", as name says')
    if found.get("dimensions") is not None and not isinstance(found["dimensions"], Mapping):
        try:
            found["dimensions"] = read_dimensions(found["dimensions"], "spec")
        except InputError as error:
            raise InputError(
                f"{error}, such as {{region: north}} or [{{Name: region, Value: north}}]"
            ) from error
    return found


def _read_tags(given: object) -> object:
    """Return AWS's list of keys and values as an object; all else as it is, to be checked."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return given
    found: dict[str, object] = {}
    for one in given:
        is_pair = isinstance(one, Mapping) and set(one) == {"Key", "Value"}
        if not is_pair or not isinstance(one["Key"], str) or one["Key"] in found:
            return given
        found[one["Key"]] = one["Value"]
    return found


def _checked_name(kind: str, name: object, where: str) -> str:
    if kind in ALARM_KINDS:
        is_text = isinstance(name, str) and name.strip() and name.isprintable()
        # "." and ".." stand for folders in the address of an alarm's page.
        if is_text and len(str(name)) <= _ALARM_NAME_MAX and name not in (".", ".."):
            return str(name)
        raise ResourceError(
            f"{where}: name {shown(name)}; expected 1 to {_ALARM_NAME_MAX} printable characters, "
            'not all blank, not "." or ".."'
        )
    if is_name(name):
        return str(name)
    raise ResourceError(
        f"{where}: name {shown(name)}; expected letters, digits and inner hyphens, 63 at most"
    )


def _checked_spec(kind: Kind, spec: Mapping[str, object], where: str) -> Spec:
    try:
        return _ADAPTERS[kind].validate_python(dict(spec))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # A secret may stand in the field that is wrong.
        said = told(first, "spec", secrets=(*SECRET_FIELDS, "url"))
        raise ResourceError(f"{where}: {said}") from None


def _is_texts(found: object) -> bool:
    return isinstance(found, Mapping) and all(
        isinstance(part, str) for pair in found.items() for part in pair
    )
