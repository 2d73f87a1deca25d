"""Declared resources: their kinds, their fields, and the sentence when one is wrong.

Pydantic stands at this border only: documents come from people's files. What passes is a
``Resource`` with a checked spec, defaults filled in.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from driftline.errors import InputError

__all__ = [
    "KINDS",
    "SPECS",
    "Kind",
    "Resource",
    "ResourceError",
    "key_of",
    "nearest",
    "parse_resources",
]

Kind = Literal["Model", "Baseline", "Endpoint", "Channel", "Monitor", "Alarm"]

# In the order in which they need each other.
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_RESOURCES = 1000
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_ALARM_NAME_MAX = 255
_ENVELOPE = ("kind", "name", "owner", "tags", "spec")
_MAX_SHOWN = 80


class ResourceError(InputError):
    """A declared resource is wrong."""


class Spec(BaseModel):
    """What all specs share: no unknown keys, no change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Spec):
    """A model file, or a folder with one."""

    path: str
    trust_pickle: bool | None = None


class BaselineSpec(Spec):
    """Reference data, and the roles of its columns."""

    data: str | list[str]
    label: str | None = None
    prediction: str | None = None
    probability: str | list[str] | None = None
    id: str | None = None
    timestamp: str | None = None
    exclude: list[str] = []
    problem: Literal["binary", "multiclass", "regression"] | None = None
    positive: str | int | float | bool | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    facet: str | list[str] | None = None
    group: str | None = None
    segments: list[str] = []
    preprocess: str | None = None
    model: str | None = None


class EndpointSpec(Spec):
    """A name whose requests are captured; with a model they are answered here, too."""

    model: str | None = None
    variant: Annotated[str, Field(pattern=r"^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}$")] = "AllTraffic"
    initial_instance_count: Annotated[int, Field(ge=1, le=64)] | None = None
    # Left out: [capture] sampling_percentage.
    sampling_percentage: Annotated[float, Field(ge=0, le=100)] | None = None
    trust_event_time: bool = False
    baseline: str | None = None
    signature: dict[str, Any] | None = None


class ChannelSpec(Spec):
    """Where messages of alarms go."""

    type: Literal["webhook"] = "webhook"
    url: str
    secret: str | None = None
    format: Literal["driftline", "sns"] = "driftline"


class MonitorSpec(Spec):
    """What is compared with what, how often."""

    kind: str = "data-quality"
    endpoint: str
    baseline: str
    schedule: str = "cron(0 0 ? * * *)"
    false_alarms_per_year: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    delay_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    start: datetime | None = None
    compat: bool = False
    deequ_ties: bool = False
    rules: list[str | dict[str, Any]] = []
    segments: list[str] | None = None
    preprocess: str | None = None
    postprocess: str | None = None


class AlarmSpec(Spec):
    """PutMetricAlarm's fields in snake case; the room of alarms checks their rules."""

    namespace: str
    metric_name: str
    dimensions: dict[str, str] = {}
    statistic: str = "Average"
    unit: str | None = None
    period: int
    evaluation_periods: int
    datapoints_to_alarm: int | None = None
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    comparison_operator: str
    treat_missing_data: str | None = None
    alarm_description: str = ""
    actions_enabled: bool = True
    alarm_actions: list[str] = []
    ok_actions: list[str] = []
    insufficient_data_actions: list[str] = []
    severity: Literal["page", "ticket"] = "page"
    evaluation_range: int | None = None


SPECS: dict[Kind, type[Spec]] = {
    "Model": ModelSpec,
    "Baseline": BaselineSpec,
    "Endpoint": EndpointSpec,
    "Channel": ChannelSpec,
    "Monitor": MonitorSpec,
    "Alarm": AlarmSpec,
}


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
    """Give the form in which names of a kind are compared."""
    return name if kind == "Alarm" else name.casefold()


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the half sentence that names the known name most like a wrong one; empty without any."""
    by_key = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name[:_ALARM_NAME_MAX].casefold(), by_key, n=1, cutoff=0.0)
    return f'the nearest known one is "{by_key[near[0]]}"' if near else ""


def parse_resources(documents: Iterable[object]) -> list[Resource]:
    """Check the form of declared resources and sort them by what needs what.

    Raises
    ------
    ResourceError
        For the first one that is wrong: which, which field, which value, what was expected.
    """
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
    return sorted(found.values(), key=lambda resource: KINDS.index(resource.kind))


def _parse(document: object, number: int) -> Resource:
    where = f"resource {number}"
    if not isinstance(document, Mapping):
        raise ResourceError(f"{where} is {_shown(document)}; expected kind, name and spec")
    _require_unicode(document, where)
    kind = document.get("kind")
    if kind not in KINDS:
        raise ResourceError(f"{where}: kind {_shown(kind)}; expected one of {', '.join(KINDS)}")
    name = _checked_name(kind, document.get("name"), where)
    where = f'{kind} "{name}"'
    _known_keys(document, _ENVELOPE, where)
    owner, tags, spec = document.get("owner"), document.get("tags"), document.get("spec")
    if owner is not None and not (isinstance(owner, str) and len(owner) <= 255):
        raise ResourceError(f"{where}: owner {_shown(owner)}; expected text")
    if tags is not None and not _is_texts(tags):
        raise ResourceError(f"{where}: tags {_shown(tags)}; expected an object of texts")
    if not isinstance(spec, Mapping):
        raise ResourceError(f"{where}: spec {_shown(spec)}; expected an object")
    return Resource(kind, name, _checked_spec(kind, spec, where), owner, dict(tags or {}))


def _require_unicode(document: Mapping[object, object], where: str) -> None:
    """Refuse what JSON can say and neither a database nor an answer: once stored, it would stay."""
    try:
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ResourceError(
            f"{where}: a text in it is no Unicode (half of a surrogate pair)"
        ) from None
    except RecursionError:
        raise ResourceError(f"{where}: nested too deep") from None


def _checked_name(kind: str, name: object, where: str) -> str:
    if kind == "Alarm":
        is_text = isinstance(name, str) and name.strip() and name.isprintable()
        # "." and ".." stand for folders in the address of an alarm's page.
        if is_text and len(str(name)) <= _ALARM_NAME_MAX and name not in (".", ".."):
            return str(name)
        raise ResourceError(
            f"{where}: name {_shown(name)}; expected 1 to {_ALARM_NAME_MAX} printable characters, "
            'not all blank, not "." or ".."'
        )
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ResourceError(
        f"{where}: name {_shown(name)}; expected letters, digits and inner hyphens, 63 at most"
    )


def _checked_spec(kind: Kind, spec: Mapping[str, object], where: str) -> Spec:
    model = SPECS[kind]
    _known_keys(spec, tuple(model.model_fields), f"{where}, spec")
    try:
        return model.model_validate(dict(spec))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function"))
        if first["type"] == "missing":
            needed = [key for key, one in model.model_fields.items() if one.is_required()]
            raise ResourceError(
                f"{where}: spec.{path} is missing; every {kind} needs {_listed(needed)}"
            ) from None
        # A secret may stand in the field that is wrong.
        value = "" if path == "secret" else f" {_shown(first['input'])}"
        raise ResourceError(f"{where}: spec.{path}{value}; {_lowered(first['msg'])}") from None


def _known_keys(found: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in known:
            raise ResourceError(f"{where}: unknown key {_shown(key)}; {nearest(str(key), known)}")


def _is_texts(found: object) -> bool:
    return isinstance(found, Mapping) and all(
        isinstance(part, str) for pair in found.items() for part in pair
    )


def _shown(value: object) -> str:
    """Quote a value in a sentence, cut to a readable length."""
    if value is None:
        return "is missing"
    if isinstance(value, str):
        return f'"{value[:_MAX_SHOWN]}"'
    return repr(value)[:_MAX_SHOWN]


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
