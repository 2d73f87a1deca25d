"""The fields of declared resources, kind by kind; pydantic checks types, the rooms check rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, LiteralString, Optional, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.parts import Alarm
from driftline.alerts.notify.channel import KEY_FIELDS
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.receivers.webhook import FORMATS
from driftline.monitors.kind import DEFAULT_KIND

Kind = Literal[
    "Model", "Baseline", "Endpoint", "Channel", "Monitor", "Alarm", "CompositeAlarm", "Silence"
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
        raise ValueError("a time within the years 1 to 9999 in UTC") from error


UtcMoment = Annotated[Moment, AfterValidator(_in_utc)]


class Spec(BaseModel):
    """What all specs share: no unknown keys, no change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


CONFLICT: LiteralString = "conflict"


def conflict(said: str) -> PydanticCustomError:
    """Return what a spec is refused for whose fields do not go together, as a whole sentence."""
    return PydanticCustomError(CONFLICT, "{said}", {"said": said})


def baseline_and_pin(text: str) -> tuple[str, str | None]:
    """Return the baseline that a monitor names, and the version behind "@"; None: it follows."""
    name, sign, version = text.partition("@")
    return name, version if sign else None


SINGLE_MODEL, MULTI_MODEL = "SingleModel", "MultiModel"
# Under which rows of transform jobs are captured.
TRANSFORM_VARIANT = "transform"
# Modes of several containers: asked one after another, or each by its name.
SERIAL, DIRECT = "Serial", "Direct"

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}$")]


class ContainerSpec(Spec):
    """One of several containers: a declared Model, and the name that requests give it."""

    # Left out of a pipeline's: container-1, container-2, …
    container_hostname: _Name | None = None
    model_name: str


class ModelSpec(Spec):
    """A model: a file, a folder or a command; many models below a prefix; or several containers."""

    mode: str
    # Of data, that each worker, or each process of the command, may use; left out: no limit. Of
    # containers, what those that have a limit may use together; left out: what the machine has.
    memory_size_in_mb: Annotated[int, Field(ge=16, le=1 << 20)] | None = None


class SingleModelSpec(ModelSpec):
    """A model of a file or a folder, or a command."""

    mode: Literal["SingleModel"] = "SingleModel"
    path: str
    trust_pickle: bool | None = None
    # A program that answers GET /ping and POST /invocations beside ``path``, and its arguments.
    command: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None


class MultiModelSpec(ModelSpec):
    """Many models below a prefix."""

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
            raise conflict(
                f"spec.memory_size_in_mb {size} is no more than memory_limit_mb {of_models}, what "
                "models in memory may take; a worker needs more than its models"
            )
        return self


class ContainersSpec(ModelSpec):
    """Several containers, asked one after another or each by its name."""

    mode: Literal["Serial", "Direct"]
    # SageMaker's bounds.
    containers: Annotated[list[ContainerSpec], Field(min_length=2, max_length=15)]

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        names = [one.container_hostname for one in self.containers]
        given = [name.casefold() for name in names if name is not None]
        if len(given) < len(names) and (given or self.mode == DIRECT):
            raise conflict(
                f"spec.containers: {len(names) - len(given)} have no container_hostname; "
                + (
                    "mode Direct needs it of all"
                    if self.mode == DIRECT
                    else "expected all, or none"
                )
            )
        if twice := next(
            (name for name in names if name and given.count(name.casefold()) > 1), None
        ):
            raise conflict(
                f'container_hostname "{twice}" stands twice; expected names that differ by more '
                "than case"
            )
        return self


# By their mode.
MODELS: dict[str, type[ModelSpec]] = {
    SINGLE_MODEL: SingleModelSpec,
    MULTI_MODEL: MultiModelSpec,
    SERIAL: ContainersSpec,
    DIRECT: ContainersSpec,
}


def _mode_of(given: object) -> str:
    mode = given.get("mode", SINGLE_MODEL) if isinstance(given, Mapping) else SINGLE_MODEL
    return str(mode)


AnyModelSpec = Annotated[
    Annotated[SingleModelSpec, Tag(SINGLE_MODEL)]
    | Annotated[MultiModelSpec, Tag(MULTI_MODEL)]
    | Annotated[ContainersSpec, Tag(SERIAL)]
    | Annotated[ContainersSpec, Tag(DIRECT)],
    Discriminator(_mode_of),
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
    Annotated[str | list[str], Tag("files")] | Annotated[CapturedData, Tag("captured")],
    Discriminator(lambda data: "captured" if isinstance(data, dict | Spec) else "files"),
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


_InstanceCount = Annotated[int, Field(ge=1, le=64)]


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
            raise conflict(
                f"provisioned_concurrency {provisioned} and max_concurrency {most}; expected at "
                "most as many"
            )
        return self


class _Capacity(Spec):
    initial_instance_count: _InstanceCount | None = None
    serverless_config: ServerlessConfig | None = None

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if self.initial_instance_count is not None and self.serverless_config is not None:
            raise conflict("initial_instance_count beside serverless_config; expected one of them")
        return self


class ProductionVariantSpec(_Capacity):
    """One model behind an endpoint, and its share of the requests."""

    variant_name: _Name
    model_name: str
    # Its share is its weight divided by the sum of all; with 0 it answers who names it.
    initial_variant_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


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


class EndpointSpec(_Capacity):
    """A name whose requests are captured; with a model they are answered here, too."""

    # One variant: short for ``production_variants`` with a single entry.
    model: str | None = None
    variant: _Name = "AllTraffic"
    production_variants: Annotated[list[ProductionVariantSpec], Field(max_length=10)] = []
    # Asked copies of the requests, of the share that its weight is of the production variant's.
    shadow_production_variants: Annotated[list[ProductionVariantSpec], Field(max_length=1)] = []
    # Left out: all requests.
    sampling_percentage: Annotated[float, Field(ge=0, le=100)] | None = None
    trust_event_time: bool = False
    baseline: str | None = None
    signature: dict[str, Any] | None = None
    async_inference_config: AsyncInferenceConfig | None = None


def variants_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of a stored endpoint's production variants; none without a model."""
    if spec["model"] is not None:
        return [
            {
                "variant_name": spec["variant"],
                "model_name": spec["model"],
                "initial_variant_weight": 1.0,
                "initial_instance_count": spec["initial_instance_count"],
                "serverless_config": spec["serverless_config"],
            }
        ]
    return list(spec["production_variants"])


def shadows_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of a stored endpoint's shadow; none where it has no shadow."""
    return list(spec["shadow_production_variants"])


def variants_and_shadows(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of all that a stored endpoint has served, production variants first."""
    return [*variants_of(spec), *shadows_of(spec)]


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


class AlarmSpec(_fields_of(AlarmDefinition)):  # type: ignore[misc] # its fields are the definition's
    """PutMetricAlarm's fields in snake case; `AlarmDefinition` checks their rules.

    With ``monitor`` the namespace, the dimensions and the period are those of its metrics.
    """

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
    "Model": AnyModelSpec,
    "Baseline": BaselineSpec,
    "Endpoint": EndpointSpec,
    "Channel": ChannelSpec,
    "Monitor": MonitorSpec,
    "Alarm": AlarmSpec,
    "CompositeAlarm": CompositeAlarmSpec,
    "Silence": SilenceSpec,
}
