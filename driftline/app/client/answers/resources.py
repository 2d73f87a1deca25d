"""Types of what the client returns and takes; scripts/reference makes them of the OpenAPI document."""
# fmt: off
# ruff: noqa: D204, E501

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
DeliveryStatus = Literal["pending", "sending", "delivered", "failed", "muted", "superseded"]
ExecutionStatus = Literal["Completed", "CompletedWithViolations", "InsufficientData", "NoData", "Stopped", "Failed"]
TransformJobStatus = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
ResourceKind = Literal["Model", "Baseline", "Endpoint", "Channel", "Monitor", "Alarm", "CompositeAlarm", "Silence"]
Role = Literal["viewer", "analyst", "operator", "admin", "invoke", "ingest"]
Verdict = Literal["expected", "harmful", "new-normal"]

class AlarmResource(TypedDict):
    """PutMetricAlarm's fields in snake case; `AlarmDefinition` checks their rules."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Alarm"]
    spec: AlarmSpec

class AlarmResourceStatus(TypedDict):
    """Where a declared alarm stands."""
    state_value: AlarmState
    state_reason: str
    state_reason_data: str | None
    state_updated_timestamp: str
    state_transitioned_timestamp: str
    evaluation_state: str | None
    evaluation_problem: str | None
    state_seq: int
    created_at: str
    alarm_configuration_updated_timestamp: str
    alarm_name: str
    owner: str
    tags: dict[str, str]
    actions_enabled: bool
    evaluated_until: NotRequired[str | None]
    actions_suppressed_by: NotRequired[str | None]
    actions_suppressed_reason: NotRequired[str | None]
    actions_suppressed_until: NotRequired[str | None]

class AlarmSpec(TypedDict):
    """PutMetricAlarm's fields in snake case; `AlarmDefinition` checks their rules."""
    alarm_description: NotRequired[str]
    actions_enabled: NotRequired[bool]
    alarm_actions: NotRequired[list[str]]
    ok_actions: NotRequired[list[str]]
    insufficient_data_actions: NotRequired[list[str]]
    action_configuration: NotRequired[dict[str, Any] | None]
    severity: NotRequired[Literal["page", "ticket"]]
    namespace: NotRequired[str | None]
    metric_name: NotRequired[str | None]
    dimensions: NotRequired[dict[str, str]]
    statistic: NotRequired[str | None]
    extended_statistic: NotRequired[str | None]
    period: NotRequired[int | None]
    unit: NotRequired[str | None]
    metrics: NotRequired[list[dict[str, Any]] | None]
    evaluation_periods: int
    datapoints_to_alarm: NotRequired[int | None]
    threshold: NotRequired[float | None]
    threshold_metric_id: NotRequired[str | None]
    comparison_operator: str
    treat_missing_data: NotRequired[str | None]
    evaluate_low_sample_count_percentile: NotRequired[str | None]
    evaluation_window: NotRequired[dict[str, Any] | None]
    warm_up_configuration: NotRequired[dict[str, Any] | None]
    evaluation_range: NotRequired[int | None]
    monitor: NotRequired[str | None]

class Applied(TypedDict):
    """What was applied, or would be."""
    dry_run: bool
    changes: list[Change]
    endpoints: NotRequired[dict[str, EndpointState]]

class AsyncClientConfig(TypedDict):
    """How many asynchronous invocations a server has under way for each worker."""
    max_concurrent_invocations_per_instance: NotRequired[int]

class AsyncInferenceConfig(TypedDict):
    """Makes an endpoint one that answers later: requests wait in a queue, answers are files."""
    output_config: AsyncOutputConfig
    client_config: NotRequired[AsyncClientConfig]

class AsyncOutputConfig(TypedDict):
    """Folders or URIs of asynchronous answers."""
    s3_output_path: str
    s3_failure_path: NotRequired[str | None]
    notification_config: NotRequired[NotificationConfig]

class BaselineResource(TypedDict):
    """Reference data, and the roles of its columns."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Baseline"]
    spec: BaselineSpec

class BaselineSpec(TypedDict):
    """Reference data, and the roles of its columns."""
    data: str | list[str] | CapturedData
    label: NotRequired[str | None]
    prediction: NotRequired[str | None]
    probability: NotRequired[str | list[str] | None]
    id: NotRequired[str | None]
    timestamp: NotRequired[str | None]
    exclude: NotRequired[list[str]]
    categorical: NotRequired[list[str]]
    context: NotRequired[list[str]]
    problem: NotRequired[Literal["binary", "multiclass", "regression"] | None]
    positive: NotRequired[str | int | float | bool | list[str | int | float | bool] | None]
    threshold: NotRequired[float]
    facet: NotRequired[str | list[str] | None]
    group: NotRequired[str | None]
    weight: NotRequired[str | None]
    quantiles: NotRequired[dict[str, str] | None]
    segments: NotRequired[list[str]]
    preprocess: NotRequired[str | None]
    model: NotRequired[str | None]
    promote: NotRequired[Literal["always", "manual"]]
    rolling: NotRequired[RollingSpec | None]

class BaselineStatus(TypedDict):
    """What was made of reference data."""
    fingerprint: str
    version: str
    signature: dict[str, Any]
    model_digest: NotRequired[str | None]
    script: NotRequired[str]

CapturedData = TypedDict("CapturedData", {"endpoint": "str", "from": "str", "to": "str"})

class Change(TypedDict):
    """What applying does to one resource."""
    action: Literal["create", "update", "unchanged"]
    kind: ResourceKind
    name: str
    fields: list[str]

class ChannelResource(TypedDict):
    """Where messages of alarms go: what every channel takes, and the options of each receiver."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Channel"]
    spec: ChannelSpec

class ChannelSpec(TypedDict):
    """Where messages of alarms go: what every channel takes, and the options of each receiver."""
    type: NotRequired[Literal["webhook", "alertmanager", "pagerduty", "apprise", "command", "plugin"]]
    url: NotRequired[str]
    secret: NotRequired[str | None]
    format: NotRequired[Literal["driftline", "sns", "eventbridge", "cloudevents", "slack", "template"]]
    authorization: NotRequired[str | None]
    template: NotRequired[str | None]
    content_type: NotRequired[str | None]
    labels: NotRequired[dict[str, str] | None]
    routing_key: NotRequired[str | None]
    command: NotRequired[str | None]
    plugin: NotRequired[str | None]
    group_by: NotRequired[list[str] | None]
    group_wait_s: NotRequired[float | None]
    group_interval_s: NotRequired[float | None]
    repeat_interval_s: NotRequired[float | None]
    include_values: NotRequired[bool]

class ChannelStatus(TypedDict):
    """How a channel fares."""
    name: str
    enabled: bool
    disabled_reason: str | None
    failure_count: int
    updated_at: str

class CompositeAlarmResource(TypedDict):
    """PutCompositeAlarm's fields in snake case; `CompositeDefinition` checks their rules."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["CompositeAlarm"]
    spec: CompositeAlarmSpec

class CompositeAlarmSpec(TypedDict):
    """PutCompositeAlarm's fields in snake case; `CompositeDefinition` checks their rules."""
    alarm_description: NotRequired[str]
    actions_enabled: NotRequired[bool]
    alarm_actions: NotRequired[list[str]]
    ok_actions: NotRequired[list[str]]
    insufficient_data_actions: NotRequired[list[str]]
    action_configuration: NotRequired[dict[str, Any] | None]
    severity: NotRequired[Literal["page", "ticket"]]
    alarm_rule: str
    actions_suppressor: NotRequired[str | None]
    actions_suppressor_wait_period: NotRequired[int | None]
    actions_suppressor_extension_period: NotRequired[int | None]

class ContainerSpec(TypedDict):
    """One of several containers: a declared Model, and the name that requests give it."""
    container_hostname: NotRequired[str | None]
    model_name: str

class ContainersSpec(TypedDict):
    """Several containers, asked one after another or each by its name."""
    mode: Literal["Serial", "Direct"]
    memory_size_in_mb: NotRequired[int | None]
    containers: list[ContainerSpec]

class Deployed(TypedDict):
    """Digests of the models that callers get, and since when."""
    since: str
    models: list[str]

class EndpointResource(TypedDict):
    """A name whose requests are captured; with a model they are answered here, too."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Endpoint"]
    spec: EndpointSpec

class EndpointSpec(TypedDict):
    """A name whose requests are captured; with a model they are answered here, too."""
    initial_instance_count: NotRequired[int | None]
    serverless_config: NotRequired[ServerlessConfig | None]
    model: NotRequired[str | None]
    variant: NotRequired[str]
    production_variants: NotRequired[list[ProductionVariantSpec]]
    shadow_production_variants: NotRequired[list[ProductionVariantSpec]]
    sampling_percentage: NotRequired[float | None]
    trust_event_time: NotRequired[bool]
    baseline: NotRequired[str | None]
    signature: NotRequired[dict[str, Any] | None]
    async_inference_config: NotRequired[AsyncInferenceConfig | None]

class EndpointState(TypedDict):
    """Whether an endpoint answers, and which variants."""
    state: str
    reason: str | None
    invocations: str | None
    variants: list[VariantState]

class EndpointStatus(TypedDict):
    """How an endpoint fares, and its signature."""
    state: str
    reason: str | None
    invocations: str | None
    variants: list[VariantState]
    signature: NotRequired[dict[str, Any] | None]
    positive: NotRequired[str | None]
    deployed: NotRequired[Deployed | None]

class LostWorkers(TypedDict):
    """Workers that ended unasked, or were stuck, since the server began."""
    count: int
    last_at: str
    last: str

class ModelResource(TypedDict):
    """A model: a file, a folder or a command; many models below a prefix; or several containers."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Model"]
    spec: SingleModelSpec | MultiModelSpec | ContainersSpec

class ModelStatus(TypedDict):
    """What was made of a model's files."""
    digest: str
    file: NotRequired[str]
    trust_pickle: NotRequired[bool]
    description: dict[str, Any] | None

class MonitorResource(TypedDict):
    """What is compared with what, how often."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Monitor"]
    spec: MonitorSpec

class MonitorSpec(TypedDict):
    """What is compared with what, how often."""
    kind: NotRequired[str]
    endpoint: NotRequired[str | None]
    variant: NotRequired[str | None]
    target_model: NotRequired[str | None]
    source: NotRequired[dict[str, Any] | None]
    baseline: str
    schedule: NotRequired[str]
    time_zone: NotRequired[str]
    false_alarms_per_year: NotRequired[float]
    delay_s: NotRequired[float]
    catch_up: NotRequired[str]
    timeout_s: NotRequired[float]
    priority: NotRequired[int]
    depends_on: NotRequired[list[str]]
    start: NotRequired[str | None]
    data_analysis_start_time: NotRequired[str | None]
    data_analysis_end_time: NotRequired[str | None]
    compat: NotRequired[bool]
    rules: NotRequired[list[str | dict[str, Any]]]
    segments: NotRequired[list[str] | None]
    preprocess: NotRequired[str | None]
    postprocess: NotRequired[str | None]
    command: NotRequired[list[str] | None]

class MonitorStatus(TypedDict):
    """The version in use, and that of its baseline."""
    version: int
    baseline_version: str | None
    baseline_pinned: bool

class MultiModelSpec(TypedDict):
    """Many models below a prefix."""
    mode: Literal["MultiModel"]
    memory_size_in_mb: NotRequired[int | None]
    model_data_prefix: str
    trust_pickle: NotRequired[bool | None]
    memory_limit_mb: NotRequired[int]
    disk_limit_mb: NotRequired[int]

class NotificationConfig(TypedDict):
    """Channels that are told of asynchronous answers, and of those that failed."""
    success_topic: NotRequired[str | None]
    error_topic: NotRequired[str | None]

class ProductionVariantSpec(TypedDict):
    """One model behind an endpoint, and its share of the requests."""
    initial_instance_count: NotRequired[int | None]
    serverless_config: NotRequired[ServerlessConfig | None]
    variant_name: str
    model_name: str
    initial_variant_weight: NotRequired[float]

class RollingSpec(TypedDict):
    """Versions of the rows captured lately: of how many days, how often, up to when."""
    endpoint: str
    length: str
    every: NotRequired[str]
    gap: NotRequired[str]
    promote: NotRequired[Literal["unchanged", "always", "manual"]]

class ServerlessConfig(TypedDict):
    """Makes a variant one without workers at rest: requests start them, idle ones end."""
    memory_size_in_mb: int
    max_concurrency: int
    provisioned_concurrency: NotRequired[int | None]

class SilenceResource(TypedDict):
    """Whose messages are held back, and when; CloudWatch's mute rules by their own names, too."""
    name: str
    owner: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    kind: Literal["Silence"]
    spec: SilenceSpec

class SilenceSpec(TypedDict):
    """Whose messages are held back, and when; CloudWatch's mute rules by their own names, too."""
    matchers: NotRequired[list[str | dict[str, Any]]]
    alarm_names: NotRequired[list[str]]
    starts_at: NotRequired[str | None]
    ends_at: NotRequired[str | None]
    schedule: NotRequired[dict[str, str] | None]
    created_by: NotRequired[str]
    comment: NotRequired[str]
    rule: NotRequired[dict[str, Any] | None]
    mute_targets: NotRequired[dict[str, Any] | None]
    start_date: NotRequired[str | None]
    expire_date: NotRequired[str | None]
    description: NotRequired[str]

class SilenceStatus(TypedDict):
    """What a silence does."""
    status: str
    mutes_until: str | None
    expired_at: str | None

class SingleModelSpec(TypedDict):
    """A model of a file or a folder, or a command."""
    mode: NotRequired[Literal["SingleModel"]]
    memory_size_in_mb: NotRequired[int | None]
    path: str
    trust_pickle: NotRequired[bool | None]
    command: NotRequired[list[str] | None]

class StoredAlarm(TypedDict):
    """PutMetricAlarm's fields in snake case; `AlarmDefinition` checks their rules."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Alarm"]
    spec: AlarmSpec
    status: AlarmResourceStatus

class StoredBaseline(TypedDict):
    """Reference data, and the roles of its columns."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Baseline"]
    spec: BaselineSpec
    status: BaselineStatus

class StoredChannel(TypedDict):
    """Where messages of alarms go: what every channel takes, and the options of each receiver."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Channel"]
    spec: ChannelSpec
    status: ChannelStatus

class StoredCompositeAlarm(TypedDict):
    """PutCompositeAlarm's fields in snake case; `CompositeDefinition` checks their rules."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["CompositeAlarm"]
    spec: CompositeAlarmSpec
    status: AlarmResourceStatus

class StoredEndpoint(TypedDict):
    """A name whose requests are captured; with a model they are answered here, too."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Endpoint"]
    spec: EndpointSpec
    status: EndpointStatus

class StoredModel(TypedDict):
    """A model: a file, a folder or a command; many models below a prefix; or several containers."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Model"]
    spec: SingleModelSpec | MultiModelSpec | ContainersSpec
    status: ModelStatus

class StoredMonitor(TypedDict):
    """What is compared with what, how often."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Monitor"]
    spec: MonitorSpec
    status: MonitorStatus

class StoredSilence(TypedDict):
    """Whose messages are held back, and when; CloudWatch's mute rules by their own names, too."""
    name: str
    owner: str | None
    tags: dict[str, str]
    generation: int
    created_at: str | None
    updated_at: str | None
    kind: Literal["Silence"]
    spec: SilenceSpec
    status: SilenceStatus

class VariantState(TypedDict):
    """How one variant of an endpoint fares."""
    name: str
    model: str
    share: float
    instance_count: int
    problem: str | None
    shadow: bool
    mirrored: int
    dropped: int
    lost_workers: LostWorkers | None

Resource = ModelResource | BaselineResource | EndpointResource | ChannelResource | MonitorResource | AlarmResource | CompositeAlarmResource | SilenceResource

StoredResource = StoredModel | StoredBaseline | StoredEndpoint | StoredChannel | StoredMonitor | StoredAlarm | StoredCompositeAlarm | StoredSilence
