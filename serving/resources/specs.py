"""The fields of declared resources, kind by kind, as closed forms.

Pydantic checks them here; what alarms, channels, silences and monitors mean, their packages check.
A tag in angle brackets names one form of several, for pydantic alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Optional, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.parts import Alarm
from driftline.alerts.notify.channel import KEY_FIELDS
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.receivers.webhook import FORMATS
from driftline.monitors.kind import DEFAULT_KIND
from driftline.validation import nearest, shown

Kind = Literal[
    "Model", "Baseline", "EndpointConfig", "Endpoint", "Channel", "Monitor", "Alarm",
    "CompositeAlarm", "Silence",
]  # fmt: skip

# In the order in which they need each other.
KINDS: tuple[Kind, ...] = get_args(Kind)

# A time without a zone is one in UTC, and is shown as such.
Moment = Annotated[
    datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))
]


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a time within the years 1 to 9999 in UTC") from error


UtcMoment = Annotated[Moment, AfterValidator(_in_utc)]


class Spec(BaseModel):
    """What all specs share: no unknown keys, no change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # How a sentence names one form of several.
    form: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _require_known_keys(cls, given: object) -> object:
        """Refuse an unknown key with the known one that is most like it."""
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(
                    f"unknown key {shown(key)}{cls.form}; {nearest(str(key), cls.model_fields)}"
                )
        return given


def baseline_and_pin(text: str) -> tuple[str, str | None]:
    """Return the baseline that a monitor names, and the version behind "@"; None: it follows."""
    name, sign, version = text.partition("@")
    return name, version if sign else None


SINGLE_MODEL: Literal["SingleModel"] = "SingleModel"
MULTI_MODEL = "MultiModel"
# Under which rows of transform jobs are captured.
TRANSFORM_VARIANT = "transform"
# Modes of several containers: asked one after another, or each by its name.
SERIAL, DIRECT = "Serial", "Direct"
MODES = (SINGLE_MODEL, MULTI_MODEL, SERIAL, DIRECT)

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}$")]


class ContainerSpec(Spec):
    """One of several containers: a declared Model, and the name that requests give it."""

    # Left out of a pipeline's: container-1, container-2, …
    container_hostname: _Name | None = None
    model_name: str


class _Model(Spec):
    # Of data, that each worker, or each process of a command, may use; left out: no limit. Of
    # containers, what those that have a limit may use together; left out: what the machine has.
    memory_size_in_mb: Annotated[int, Field(ge=16, le=1 << 20)] | None = None


class FileModel(_Model):
    """A model of a file or a folder."""

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    trust_pickle: bool | None = None


class ProgramModel(_Model):
    """A program that answers GET /ping and POST /invocations, and the files it answers from."""

    form = " beside command"

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    # The program and its arguments.
    command: Annotated[list[str], Field(min_length=1, max_length=100)]


class MultiModel(_Model):
    """Many models below a prefix."""

    form = f" in mode {MULTI_MODEL}"

    mode: Literal["MultiModel"]
    # A folder, or a URI of a bucket's, below which the models' files lie.
    model_data_prefix: str
    trust_pickle: bool | None = None
    # What models may take that are in memory, of each worker, and as files on the server's disk.
    memory_limit_mb: Annotated[int, Field(ge=16, le=1 << 20)] = 1024
    disk_limit_mb: Annotated[int, Field(ge=1, le=1 << 24)] = 10_240

    @model_validator(mode="after")
    def _require_memory(self) -> Self:
        size, of_models = self.memory_size_in_mb, self.memory_limit_mb
        if size is not None and size <= of_models:
            raise ValueError(
                f"memory_size_in_mb {size} is no more than memory_limit_mb {of_models}, what "
                "models in memory may take; a worker needs more than its models"
            )
        return self


class Pipeline(_Model):
    """Several models, asked one after another (Serial) or each by its name (Direct)."""

    form = " of several containers"

    mode: Literal["Serial", "Direct"]
    # SageMaker's bounds.
    containers: Annotated[list[ContainerSpec], Field(min_length=2, max_length=15)]

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        names = [one.container_hostname for one in self.containers if one.container_hostname]
        lacking = len(self.containers) - len(names)
        if lacking and (names or self.mode == DIRECT):
            wanted = (
                "mode Direct needs it of all" if self.mode == DIRECT else "expected all, or none"
            )
            raise ValueError(f"containers: {lacking} have no container_hostname; {wanted}")
        _require_distinct("container_hostname", names)
        return self


def _require_distinct(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(
                f'{field} "{name}" stands twice; expected names that differ by more than case'
            )
        seen.add(name.casefold())


def _field(given: object, name: str) -> Any:  # noqa: ANN401 - whatever the document has there
    """Return a field of a document or of a spec; None where it has none."""
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def _model_form(given: object) -> str:
    mode = _field(given, "mode") or SINGLE_MODEL
    if mode != SINGLE_MODEL:
        return f"<{mode}>"
    return "<file>" if _field(given, "command") is None else "<program>"


def _require_mode(given: object) -> object:
    mode = _field(given, "mode") or SINGLE_MODEL
    if mode not in MODES:
        raise ValueError(f"mode {shown(mode)}; expected {' or '.join(MODES)}")
    return given


Model = Annotated[
    Annotated[FileModel, Tag("<file>")]
    | Annotated[ProgramModel, Tag("<program>")]
    | Annotated[MultiModel, Tag("<MultiModel>")]
    | Annotated[Pipeline, Tag("<Serial>")]
    | Annotated[Pipeline, Tag("<Direct>")],
    Discriminator(_model_form),
    BeforeValidator(_require_mode),
]


def containers_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of a stored Model's containers, by hostname, in their order."""
    return {
        one["container_hostname"] or f"container-{number}": one["model_name"]
        for number, one in enumerate(spec.get("containers", ()), start=1)
    }


def command_of(spec: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the command of a stored model and the bytes that it may use; None for neither."""
    command, memory = spec.get("command"), spec["memory_size_in_mb"]
    return None if command is None else tuple(command), None if memory is None else memory << 20


# Rows that an endpoint captured in a time that is over; "from" is no name that a class can give.
_SPAN: dict[str, Any] = {"endpoint": (str, ...), "from": (UtcMoment, ...), "to": (UtcMoment, ...)}
CapturedData: Any = create_model("CapturedData", __base__=Spec, **_SPAN)
# So that what is wrong with one form is not told as if it were the other.
ReferenceData = Annotated[
    Annotated[str | list[str], Tag("<files>")] | Annotated[CapturedData, Tag("<captured>")],
    Discriminator(lambda data: "<captured>" if isinstance(data, Mapping | Spec) else "<files>"),
]


_Days = Annotated[str, Field(pattern=r"^[1-9]\d{0,2}d$")]


class RollingSpec(Spec):
    """Versions of the rows captured lately: of how many days, how often, up to when."""

    endpoint: str
    length: _Days
    every: _Days = "28d"
    # Days before now of which no row is taken: so long nobody may have noticed what is wrong.
    gap: Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,2})d$")] = "1d"
    # "unchanged": used at once if a comparison with the version in use finds no change.
    promote: Literal["unchanged", "always", "manual"] = "unchanged"


class BaselineSpec(Spec):
    """Reference data, and the roles of its columns."""

    data: ReferenceData
    label: str | None = None
    prediction: str | None = None
    probability: str | list[str] | None = None
    id: str | None = None
    timestamp: str | None = None
    exclude: list[str] = []
    categorical: list[str] = []
    context: list[str] = []
    problem: Literal["binary", "multiclass", "regression"] | None = None
    positive: str | int | float | bool | list[str | int | float | bool] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    facet: str | list[str] | None = None
    group: str | None = None
    weight: str | None = None
    quantiles: dict[float, str] | None = None
    segments: list[str] = []
    preprocess: str | None = None
    model: str | None = None
    # Whether a version of data that have changed is used at once, or when somebody promotes it.
    promote: Literal["always", "manual"] = "always"
    rolling: RollingSpec | None = None


class ServerlessConfig(Spec):
    """Makes a variant one without workers at rest: requests start them, idle ones end."""

    # That each worker may use, 1024 to 6144 in steps of 1024; requests that it answers at once.
    memory_size_in_mb: Annotated[int, Field(ge=1024, le=6144, multiple_of=1024)]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]
    # Workers that run all the time; left out: none.
    provisioned_concurrency: Annotated[int, Field(ge=1, le=200)] | None = None

    @model_validator(mode="after")
    def _require_room(self) -> Self:
        provisioned, most = self.provisioned_concurrency, self.max_concurrency
        if provisioned is not None and provisioned > most:
            raise ValueError(
                f"provisioned_concurrency {provisioned} and max_concurrency {most}; expected at "
                "most as many"
            )
        return self


_InstanceCount = Annotated[int, Field(ge=1, le=64)]


class _Variant(Spec):
    variant_name: _Name
    model_name: str
    # Its share is its weight divided by the sum of all; with 0 it answers who names it.
    initial_variant_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


class Instances(_Variant):
    """One model behind an endpoint with workers that run all the time, and its share."""

    # Left out: the server's setting.
    initial_instance_count: _InstanceCount | None = None


class Serverless(_Variant):
    """One model behind an endpoint whose workers start with requests, and its share."""

    form = " beside serverless_config"

    serverless_config: ServerlessConfig


Variant = Annotated[
    Annotated[Instances, Tag("<instances>")] | Annotated[Serverless, Tag("<serverless>")],
    Discriminator(
        lambda given: (
            "<instances>" if _field(given, "serverless_config") is None else "<serverless>"
        )
    ),
]


class NotificationConfig(Spec):
    """Channels that are told of asynchronous answers, and of those that failed."""

    success_topic: str | None = None
    error_topic: str | None = None


class AsyncOutputConfig(Spec):
    """Folders or URIs of asynchronous answers."""

    s3_output_path: str
    s3_failure_path: str | None = None
    notification_config: NotificationConfig = NotificationConfig()


class AsyncClientConfig(Spec):
    """How many asynchronous invocations a server has under way for each worker."""

    max_concurrent_invocations_per_instance: Annotated[int, Field(ge=1, le=1000)] = 4


class AsyncInferenceConfig(Spec):
    """Makes an endpoint one that answers later: requests wait in a queue, answers are files."""

    output_config: AsyncOutputConfig
    client_config: AsyncClientConfig = AsyncClientConfig()


class EndpointConfigSpec(Spec):
    """Which models answer for an endpoint, and how; endpoints name it, nothing changes it."""

    production_variants: Annotated[list[Variant], Field(min_length=1, max_length=10)]
    # Asked copies of the requests, of the share that its weight is of the production variant's.
    shadow_production_variants: Annotated[list[Instances], Field(max_length=1)] = []
    # Left out: all requests.
    sampling_percentage: Annotated[float, Field(ge=0, le=100)] | None = None
    async_inference_config: AsyncInferenceConfig | None = None

    @model_validator(mode="after")
    def _require_shares(self) -> Self:
        """Refuse variants of one name, and a shadow whose share could not be told."""
        variants, shadows = self.production_variants, self.shadow_production_variants
        _require_distinct("variant_name", [one.variant_name for one in (*variants, *shadows)])
        if len(variants) > 1 and (shadows or self.async_inference_config is not None):
            what = "shadow_production_variants" if shadows else "async_inference_config"
            raise ValueError(
                f"{what} beside {len(variants)} production_variants; expected one variant"
            )
        weight = variants[0].initial_variant_weight
        for shadow in shadows:
            own = shadow.initial_variant_weight
            if not weight or own > weight:
                raise ValueError(
                    f'initial_variant_weight {own:g} of shadow "{shadow.variant_name}" and '
                    f'{weight:g} of "{variants[0].variant_name}"; the share that is mirrored is '
                    "the first divided by the second, expected 0 to 1"
                )
        return self


class _Endpoint(Spec):
    baseline: str | None = None
    signature: dict[str, Any] | None = None
    trust_event_time: bool = False

    @model_validator(mode="after")
    def _require_one_signature(self) -> Self:
        if self.baseline is not None and self.signature is not None:
            raise ValueError("baseline and signature are both given; expected one of them")
        return self


class ExternalEndpoint(_Endpoint):
    """The name under which the requests of an app of one's own are captured."""

    form = " in an Endpoint without a model, of which the app that captures decides the rest"

    @model_validator(mode="after")
    def _require_signature(self) -> Self:
        if self.baseline is None and self.signature is None:
            raise ValueError(
                "no model, config, baseline or signature; expected models to serve, or the "
                "baseline or signature of what an app of your own is captured as"
            )
        return self


def _add_short_form(schema: dict[str, Any]) -> None:
    """Describe what a JSON Schema does not see: the fields that stand for a single variant."""
    schema["properties"] |= {
        "model": {"type": "string"},
        "variant": {"type": "string"},
        "initial_instance_count": {"type": "integer"},
        "serverless_config": {"type": "object"},
    }
    schema["required"].remove("production_variants")
    schema["anyOf"] = [{"required": ["model"]}, {"required": ["production_variants"]}]


class ServedEndpoint(_Endpoint, EndpointConfigSpec):
    """A name whose requests are answered by models, and captured."""

    model_config = ConfigDict(json_schema_extra=_add_short_form)

    @model_validator(mode="before")
    @classmethod
    def _read_short_form(cls, given: object) -> object:
        """Write the short form of a single variant as what it stands for."""
        if not isinstance(given, Mapping) or given.get("model") is None:
            return given
        if given.get("production_variants"):
            raise ValueError("model beside production_variants; expected one of them")
        names = {"model": "model_name", "variant": "variant_name"}
        short = ("model", "variant", "initial_instance_count", "serverless_config")
        variant = {names.get(key, key): given[key] for key in short if given.get(key) is not None}
        rest = {key: value for key, value in given.items() if key not in short}
        return {**rest, "production_variants": [{"variant_name": "AllTraffic", **variant}]}


class ConfiguredEndpoint(_Endpoint):
    """An endpoint that an EndpointConfig says the models of."""

    form = " beside config"

    config: str


class ResolvedEndpoint(ServedEndpoint):
    """What a `ConfiguredEndpoint` is stored as: with the fields of its config."""

    config: str

    @classmethod
    def of(cls, spec: ConfiguredEndpoint, config: Mapping[str, Any]) -> Self:
        """Add the fields of a config, as it is stored, to an endpoint that names it."""
        return cls.model_validate({**config, **dict(spec)})


def _endpoint_form(given: object) -> str:
    if _field(given, "config") is not None:
        return "<config>"
    is_served = any(_field(given, key) is not None for key in ("model", "production_variants"))
    return "<served>" if is_served else "<external>"


Endpoint = Annotated[
    Annotated[ServedEndpoint, Tag("<served>")]
    | Annotated[ConfiguredEndpoint, Tag("<config>")]
    | Annotated[ExternalEndpoint, Tag("<external>")],
    Discriminator(_endpoint_form),
]


def variants_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of a stored endpoint's production variants; none without a model."""
    return list(spec.get("production_variants", ()))


def variants_and_shadows(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of all that a stored endpoint has served, production variants first."""
    return [*variants_of(spec), *spec.get("shadow_production_variants", ())]


# Of these fields of a channel only digests are stored, and not even those are shown.
SECRET_FIELDS = ("secret", "authorization", *KEY_FIELDS.values())


class _ChannelTarget(Spec):
    type: Literal[*RECEIVERS] = "webhook"  # type: ignore[valid-type] # the table is the list
    url: str = ""
    secret: str | None = None
    format: Literal[*FORMATS] = "driftline"  # type: ignore[valid-type] # as above


# Their types alone: their rules are the channel's to check, which quotes no secret.
_MODELS: list[type[BaseModel]] = [*(one.options for one in RECEIVERS.values()), ChannelPolicy]
_OPTIONS: dict[str, Any] = {
    name: (Optional[about.annotation], None)  # noqa: UP045 - the annotation is a value
    for options in _MODELS
    for name, about in options.model_fields.items()
}
_ChannelOptions: Any = create_model("_ChannelOptions", __base__=_ChannelTarget, **_OPTIONS)


class ChannelSpec(_ChannelOptions):  # type: ignore[misc] # its fields are those of the table
    """Where messages of alarms go: what every channel takes, and the options of each receiver."""

    include_values: bool = False


class MonitorSpec(Spec):
    """What is compared with what, how often."""

    kind: str = DEFAULT_KIND
    endpoint: str | None = None
    # Of several variants of the endpoint: whose answers are judged; left out: all.
    variant: str | None = None
    # Of many models behind the endpoint: the one that is judged; left out: all.
    target_model: Annotated[str, Field(max_length=1024)] | None = None
    # In place of an endpoint: a table that others write (docs/sources.md).
    source: dict[str, Any] | None = None
    # NAME follows the version in use, NAME@3 stays at the third.
    baseline: str
    schedule: str = "cron(0 0 ? * * *)"
    time_zone: str = "UTC"
    false_alarms_per_year: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    delay_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    catch_up: str = "all"
    timeout_s: Annotated[float, Field(allow_inf_nan=False)] = 86_400.0
    priority: int = 0
    # Monitors whose windows are run before (docs/monitors.md#monitors-that-wait-for-others).
    depends_on: list[str] = []
    start: Moment | None = None
    # Of schedule NOW: the window that its one run looks at, relative to when it was applied.
    data_analysis_start_time: str | None = None
    data_analysis_end_time: str | None = None
    compat: bool = False
    rules: list[str | dict[str, Any]] = []
    segments: list[str] | None = None
    preprocess: str | None = None
    postprocess: str | None = None
    # Of the kind "command": a program of the installation's folder, and its arguments.
    command: list[str] | None = None


def _fields_of(definition: type[Alarm]) -> Any:  # noqa: ANN401 - a base of its fields
    """Return a spec with the fields of a definition but those of the resource itself.

    By their types and defaults alone: their rules are the definition's to check.
    """
    fields: dict[str, Any] = {
        name: (one.annotation, FieldInfo(default=one.default, default_factory=one.default_factory))
        for name, one in definition.model_fields.items()
        if name not in ("alarm_name", "owner", "tags")
    }
    return create_model(f"_{definition.__name__}Fields", __base__=Spec, **fields)


def _add_aws_names(schema: dict[str, Any]) -> None:
    """Let a JSON Schema take CloudWatch's own names of the fields, too."""
    schema |= {"patternProperties": {"^[A-Z]": True}, "required": []}
    schema["properties"]["dimensions"] = True


class AlarmSpec(_fields_of(AlarmDefinition)):  # type: ignore[misc] # its fields are the definition's
    """PutMetricAlarm's fields in snake case; `AlarmDefinition` checks their rules.

    With ``monitor`` the namespace, the dimensions and the period are those of its metrics.
    """

    model_config = ConfigDict(json_schema_extra=_add_aws_names)

    monitor: str | None = None
    # As people write these; the definition reads them, and fills in what is left out.
    namespace: str | None = None
    metric_name: str | None = None
    statistic: str | None = "Average"
    period: int | None = None
    metrics: list[dict[str, Any]] | None = None
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    treat_missing_data: str | None = None
    evaluate_low_sample_count_percentile: str | None = None
    evaluation_window: dict[str, Any] | None = None
    warm_up_configuration: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_statistic(self) -> Self:
        """Take the default back where another statistic was given."""
        found: Self = self
        is_given = "statistic" in self.model_fields_set
        if not is_given and (self.extended_statistic is not None or self.metrics is not None):
            found = self.model_copy(update={"statistic": None})
        return found


class CompositeAlarmSpec(_fields_of(CompositeDefinition)):  # type: ignore[misc] # as above
    """PutCompositeAlarm's fields in snake case; `CompositeDefinition` checks their rules."""

    model_config = ConfigDict(json_schema_extra=_add_aws_names)

    # Blocks of YAML end with a line's end, which CloudWatch refuses.
    alarm_rule: Annotated[str, StringConstraints(strip_whitespace=True)]


class SilenceSpec(Spec):
    """Whose messages are held back, and when; CloudWatch's mute rules by their own names, too."""

    matchers: list[str | dict[str, Any]] = []
    alarm_names: list[str] = []
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    schedule: dict[str, str] | None = None
    created_by: str = ""
    comment: str = ""
    rule: dict[str, Any] | None = None
    mute_targets: dict[str, Any] | None = None
    start_date: Moment | None = None
    expire_date: Moment | None = None
    description: str = ""


SPECS: dict[Kind, Any] = {
    "Model": Model,
    "Baseline": BaselineSpec,
    "EndpointConfig": EndpointConfigSpec,
    "Endpoint": Endpoint,
    "Channel": ChannelSpec,
    "Monitor": MonitorSpec,
    "Alarm": AlarmSpec,
    "CompositeAlarm": CompositeAlarmSpec,
    "Silence": SilenceSpec,
}
