"""Types of what the client returns and takes; scripts/reference makes them of the OpenAPI document."""
# fmt: off
# ruff: noqa: D204, E501, I001

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from driftline.app.client.answers.resources import AlarmState, ChannelStatus, CompositeAlarmSpec, DeliveryStatus

class AttemptRecord(TypedDict):
    """How one attempt went."""
    message_id: str
    channel: str
    number: int
    time: str
    duration_ms: int
    outcome: str
    status: int | None
    error: str | None
    answer: str | None
    id: int | None

class ChangedState(TypedDict):
    """One change of state."""
    alarm_name: str
    seq: int
    old: AlarmState
    new: AlarmState
    reason: str

class ChannelState(ChannelStatus):
    """A channel without what is secret: also the options of its type."""
    type: str
    url: str
    format: str

class ChildState(TypedDict):
    """One condition of a composite's rule: its text, whether it holds, and its alarms' states."""
    condition: str
    holds: bool
    alarms: list[NamedState]

class CompositeAlarmState(CompositeAlarmSpec):
    """A composite alarm: its definition and where it stands."""
    alarm_name: str
    owner: NotRequired[str]
    tags: NotRequired[dict[str, str]]
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
    name: str
    kind: Literal["metric", "composite"]
    actions_suppressed_by: str | None
    actions_suppressed_reason: str | None
    actions_suppressed_until: str | None

class Delivery(TypedDict):
    """How a message fares, and why."""
    id: str
    alarm_name: str
    state_seq: int
    state: str
    channel: str
    status: DeliveryStatus
    attempts: int
    created_at: str
    next_attempt_at: str
    finished_at: str | None
    last_status: int | None
    last_error: str | None
    kind: str
    reason: str | None
    silence: str | None
    carrier_id: str | None

class DetectorConfiguration(TypedDict):
    """What a detector learns from."""
    excluded_time_ranges: list[TimeRange]
    metric_timezone: str
    adaptation_speed: str
    outlier_filtering_strength: str

class DetectorDescription(TypedDict):
    """What DescribeAnomalyDetectors says of a detector, in snake case, and its models."""
    id: str
    single_metric_anomaly_detector: NotRequired[SingleMetric | None]
    metric_math_anomaly_detector: NotRequired[MetricMath | None]
    configuration: DetectorConfiguration
    metric_characteristics: dict[str, bool]
    state_value: str
    models: list[LearntModel]
    created_at: str
    updated_at: str

class Evaluation(TypedDict):
    """One evaluation of an alarm; more fields with `explain`."""
    time: str
    state: AlarmState
    previous: AlarmState
    reason: str
    datapoints: list[dict[str, Any]]
    actions: list[str]

class ExplainedPoint(TypedDict):
    """One period of the window: ``X`` breaching, ``0`` good or ``-`` missing, and its value."""
    start: str
    mark: str
    value: float | None
    lower: float | None
    upper: float | None
    is_counted: bool

class Explanation(TypedDict):
    """All that explains an alarm's state; the cause is that of an ALARM that lasts."""
    cause: str | None
    window: str | None
    page: str | None
    rows: str | None
    name: str
    kind: Literal["metric", "composite"]
    state: AlarmState
    since: str
    reason: str
    condition: str
    marks: str
    points: list[ExplainedPoint]
    rule: str
    decided: str
    judged: AlarmState
    last_alarm: LastAlarm | None
    children: list[ChildState]
    next_at: str | None
    next_evaluation: str
    problem: str | None
    findings: list[Finding]
    actions: list[NotifiedAction]
    actions_reason: str | None

class Finding(TypedDict):
    """What is wrong with one metric, what mends it, and what may have been meant."""
    metric: str
    code: str
    problem: str
    mend: str
    similar: list[Similar]

class HistoryRecord(TypedDict):
    """One line of an alarm's history."""
    alarm_name: str
    timestamp: str
    history_item_type: Literal["ConfigurationUpdate", "StateUpdate", "Action"]
    history_summary: str
    history_data: dict[str, Any]

class LastAlarm(TypedDict):
    """When an alarm that has recovered was last in ALARM, and why."""
    cause: str | None
    window: str | None
    page: str | None
    rows: str | None
    since: str
    until: str

class LearntModel(TypedDict):
    """What was learnt for one length of period."""
    period: int
    state_value: str
    points: int
    has_seasons: bool
    problem: str | None
    trained_at: str | None
    due_at: str

class Metric(TypedDict):
    """One metric."""
    namespace: str
    metric_name: str
    dimensions: dict[str, str]

class MetricAlarmState(TypedDict):
    """A metric alarm: its definition and where it stands."""
    alarm_name: str
    alarm_description: NotRequired[str]
    actions_enabled: NotRequired[bool]
    alarm_actions: NotRequired[list[str]]
    ok_actions: NotRequired[list[str]]
    insufficient_data_actions: NotRequired[list[str]]
    action_configuration: NotRequired[dict[str, Any] | None]
    severity: NotRequired[Literal["page", "ticket"]]
    owner: NotRequired[str]
    tags: NotRequired[dict[str, str]]
    namespace: NotRequired[str]
    metric_name: NotRequired[str]
    dimensions: NotRequired[dict[str, str]]
    statistic: NotRequired[Literal["SampleCount", "Average", "Sum", "Minimum", "Maximum"] | None]
    extended_statistic: NotRequired[str | None]
    period: NotRequired[int]
    unit: NotRequired[str | None]
    metrics: NotRequired[list[MetricQuery]]
    evaluation_periods: int
    datapoints_to_alarm: NotRequired[int | None]
    threshold: NotRequired[int | float | None]
    threshold_metric_id: NotRequired[str | None]
    comparison_operator: str
    treat_missing_data: NotRequired[Literal["missing", "ignore", "breaching", "notBreaching"] | None]
    evaluate_low_sample_count_percentile: NotRequired[Literal["evaluate", "ignore"] | None]
    evaluation_window: NotRequired[WallClock | None]
    warm_up_configuration: NotRequired[WarmUp | None]
    evaluation_range: NotRequired[int | None]
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
    name: str
    kind: Literal["metric", "composite"]
    evaluated_until: str | None

class MetricMath(TypedDict):
    """An expression that a detector watches."""
    metric_data_queries: list[MetricQuery]

class MetricResult(TypedDict):
    """Points of one query."""
    id: str
    label: str
    timestamps: list[str]
    values: list[float]
    status_code: Literal["Complete", "PartialData"]
    messages: list[dict[str, Any]]

class MetricResults(TypedDict):
    """What GetMetricData answers, in snake case."""
    metric_data_results: list[MetricResult]
    messages: list[str]
    next_token: str | None

class NamedState(TypedDict):
    """The state of an alarm, and since when; None: there is no such alarm."""
    name: str
    state: AlarmState
    since: str | None

class NotifiedAction(TypedDict):
    """One channel that the last change was for: what became of the message, and why."""
    channel: str
    status: str
    why: str | None
    delivery_id: str | None
    at: str | None

class SendResult(TypedDict):
    """What came of a test."""
    message_id: str
    is_taken: bool
    duration_ms: int
    status: int | None
    answer: str | None
    error: str | None
    body: str

class SilenceEffect(TypedDict):
    """What a silence would do now."""
    alarms: list[str]
    status: str
    mutes_until: str | None

class SilenceState(TypedDict):
    """A silence, and what it does."""
    name: str
    matchers: list[str]
    alarm_names: list[str]
    starts_at: str | None
    ends_at: str | None
    schedule: dict[str, Any] | None
    created_by: str
    comment: str
    status: str
    created_at: str
    updated_at: str
    expired_at: str | None

class Similar(TypedDict):
    """A metric that has data, named almost as the one that was asked for."""
    namespace: str
    name: str
    dimensions: dict[str, str]

class SingleMetric(TypedDict):
    """A metric and a statistic that a detector watches."""
    namespace: str
    metric_name: str
    dimensions: dict[str, str]
    stat: str
    unit: NotRequired[str | None]

class Statistics(TypedDict):
    """One period of one unit; only the statistics that were asked for."""
    timestamp: str
    unit: str
    sample_count: NotRequired[float | None]
    average: NotRequired[float | None]
    sum: NotRequired[float | None]
    minimum: NotRequired[float | None]
    maximum: NotRequired[float | None]
    extended_statistics: NotRequired[dict[str, float] | None]

class TimeRange(TypedDict):
    """A range of time that says nothing of what is usual."""
    start_time: str
    end_time: str

class WarmUp(TypedDict):
    """How long a new alarm waits in INSUFFICIENT_DATA, without actions."""
    warm_up_period_duration_in_minutes: int
    only_start_evaluating_after_warm_up_period_ends: NotRequired[bool]

class CarryingDelivery(Delivery):
    """One message, and those that it carries."""
    carries: list[Delivery]

ListedAlarm = MetricAlarmState | CompositeAlarmState

MetricQuery = dict[str, Any]

WallClock = dict[str, Any]
