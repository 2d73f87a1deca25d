"""The fields of declared resources, kind by kind, as closed forms.

Pydantic checks them here; what alarms, channels, silences and monitors mean, their packages check.
A tag in angle brackets names one form of several, for pydantic alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Optional, Self, get_args

from pydantic import (
    BaseModel,
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
from driftline.serving.resources.endpoint_specs import Endpoint, EndpointConfigSpec
from driftline.serving.resources.model_specs import Model
from driftline.serving.resources.scaling_specs import ScalingPolicySpec
from driftline.serving.resources.spec import Moment, Spec

Kind = Literal[
    "Model", "Baseline", "EndpointConfig", "Endpoint", "Channel", "Monitor", "Alarm",
    "CompositeAlarm", "Silence", "ScalingPolicy",
]  # fmt: skip

# In the order in which they need each other.
KINDS: tuple[Kind, ...] = get_args(Kind)


def baseline_and_pin(text: str) -> tuple[str, str | None]:
    """Return the baseline that a monitor names, and the version behind "@"; None: it follows."""
    name, sign, version = text.partition("@")
    return name, version if sign else None


# Rows that an endpoint captured in a time that is over; "from" is no name that a class can give.
_SPAN: dict[str, Any] = {"endpoint": (str, ...), "from": (Moment, ...), "to": (Moment, ...)}
CapturedData: Any = create_model("CapturedData", __base__=Spec, **_SPAN)
# So that what is wrong with one form is not told as if it were the other.
ReferenceData = Annotated[
    Annotated[str | list[str], Tag("<files>")] | Annotated[CapturedData, Tag("<captured>")],
    Discriminator(lambda data: "<captured>" if isinstance(data, Mapping | Spec) else "<files>"),
]


class BaselineSpec(Spec):
    """Reference data, and the roles of its columns."""

    data: ReferenceData | None = None
    # Names of the columns, where files have no line of names.
    columns: list[str] = []
    # SageMaker's statistics.json, constraints.json or analysis.json, edited perhaps: in place of
    # those that the data suggest, or alone.
    documents: Annotated[list[str], Field(max_length=3)] = []
    label: str | None = None
    prediction: str | None = None
    probability: str | list[str] | None = None
    id: str | None = None
    timestamp: str | None = None
    exclude: list[str] = []
    categorical: list[str] = []
    problem: Literal["binary", "multiclass", "regression"] | None = None
    positive: str | int | float | bool | list[str | int | float | bool] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    facet: str | list[str] | None = None
    group: str | None = None
    weight: str | None = None
    quantiles: dict[float, str] | None = None
    segments: list[str] = []
    preprocess: str | None = None
    sample: Literal["rows", "none"] = "rows"
    model: str | None = None

    @model_validator(mode="after")
    def _require_rows(self) -> Self:
        bare = type(self).model_construct(documents=self.documents, prediction=self.prediction)
        if self.data is None and (not self.documents or self != bare):
            raise ValueError("expected data; documents alone take no field but prediction")
        return self


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
    # Where the documents of each run are written, too: a folder or URI.
    output: Annotated[str, Field(max_length=1024)] | None = None
    # Where ground truth files are put, in folders by the hour, and loaded from: a folder or URI.
    labels: Annotated[str, Field(max_length=1024)] | None = None
    # Whether no window is run by itself until it is applied without it.
    paused: bool = False


def _fields_of(definition: type[Alarm]) -> Any:  # noqa: ANN401 - a base of its fields
    """Return a spec of a definition's own fields: their rules are the definition's to check."""
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
    "Model": Model,
    "Baseline": BaselineSpec,
    "EndpointConfig": EndpointConfigSpec,
    "Endpoint": Endpoint,
    "Channel": ChannelSpec,
    "Monitor": MonitorSpec,
    "Alarm": AlarmSpec,
    "CompositeAlarm": CompositeAlarmSpec,
    "Silence": SilenceSpec,
    "ScalingPolicy": ScalingPolicySpec,
}
