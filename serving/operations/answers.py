"""The shapes of answers, where no class of the packages below has them; documented, never run.

What is sent is made by the routes. Tests hold it against these shapes.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import date
from datetime import datetime as Time  # noqa: N812 - as short as the other types of the tables
from typing import Any, Literal, Union, get_type_hints

from pydantic import ConfigDict, RootModel, create_model

from driftline.access.principal import Role
from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.math.detector import TimeRange
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.notify.deliveries import Delivery
from driftline.baseline.store import BaselineVersion
from driftline.capture.audit.audit import Audit
from driftline.capture.events.pairing import Outcome
from driftline.capture.labels.labels import LabelCounts
from driftline.capture.labels.report import DayCoverage, LabelReport
from driftline.capture.sagemaker.export import Hour
from driftline.capture.sagemaker.importing import Stored
from driftline.capture.spool.backlog import Backlog
from driftline.capture.tables.dataset import Gap
from driftline.capture.tables.forecast import Forecast
from driftline.capture.tables.redecoding import Redecoded
from driftline.monitors.executions import Execution, Status
from driftline.monitors.results.metric import NUMBERS
from driftline.monitors.results.unjudged import Unjudged
from driftline.monitors.results.violation import FeatureResult, Severity
from driftline.monitors.run.cancel import Pending
from driftline.monitors.run.progress import RunState
from driftline.serving.asynchronous.queue import AsyncStatus
from driftline.serving.provisioning.plan import Action
from driftline.serving.resources.specs import KINDS, SPECS, Kind
from driftline.serving.resources.store import Phase
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.serving.transform.jobs import JobCounts

Values = dict[str, Any]
Counted = dict[str, int]


def shape(name: str, about: str, /, *base: Any, extra: bool = False, **fields: Any) -> Any:  # noqa: ANN401 - a model
    """Return a model with the fields of its bases and these.

    A list is written ``[Item]``, an object by name ``{"": Value}``, and ``(type, None)`` an
    optional field; ``extra`` allows other fields.
    """
    found: dict[str, Any] = {}
    for one in base:
        found |= (
            {key: (kind, ...) for key, kind in get_type_hints(one, include_extras=True).items()}
            if is_dataclass(one)
            else {key: (about.annotation, about) for key, about in one.model_fields.items()}
        )
    for key, kind in fields.items():
        found[key] = (_type(kind[0]), kind[1]) if isinstance(kind, tuple) else (_type(kind), ...)
    config = ConfigDict(extra="allow" if extra else "ignore", arbitrary_types_allowed=True)
    return create_model(name, __doc__=about, __config__=config, **found)


def either(name: str, about: str, kinds: Any) -> Any:  # noqa: ANN401 - a model
    """Return a union as a form with a name of its own."""
    base: Any = RootModel.__class_getitem__(kinds)
    return create_model(name, __doc__=about, __base__=base)


def _type(kind: Any) -> Any:  # noqa: ANN401 - a type
    if isinstance(kind, list):
        return list.__class_getitem__(_type(kind[0]))
    return dict.__class_getitem__((str, kind[""])) if isinstance(kind, dict) else kind


# fmt: off
ErrorDetail = shape(
    "ErrorDetail", "What went wrong, in a word for programs and in a sentence for people.",
    code=str, message=str)
Error = shape("Error", "The one form of every error; of invocations SageMaker's members beside it.",
    error=ErrorDetail, Message=(str, None), OriginalStatusCode=(int, None),
    OriginalMessage=(str, None), LogStreamArn=(str, None))
Installation = shape("Installation", "A server's installation.", id=str, storage=str)
Healthy = shape("Healthy", "How the process fares.", extra=True, status=Literal["ok", "impaired"])
Ready = shape("Ready", "Whether requests would be answered.",
    extra=True, status=Literal["ready", "not ready"])
LastDay = shape("LastDay", "Coverage of what arrived in the last 24 hours.",
    stored=int, dropped=int, undecodable=int, uncounted=int, coverage=float | None)
AuditedEndpoint = shape("AuditedEndpoint", "What the last audit said of an endpoint.",
    time=Time | None, missing=int, doubled=int)
CaptureCounts = shape(
    "CaptureCounts", "What the capture table of an endpoint holds, and what is known to be lost.",
    endpoint=str, declared=bool, typed=bool, paths=[str], seen=int | None, sampled=int | None,
    requests=int, rows=int, shadows=int, failed=int, unparsed=int, unparsed_by_reason=Counted,
    decoder_faults=int, cut=int, event_times=Counted, dropped=int, dropped_by_reason=Counted,
    uncounted_gaps=int, missing=int, coverage=float | None, last_24_h=LastDay, gaps=[Gap],
    spools=Counted, oldest=Time | None, newest=Time | None, last_arrival=Time | None,
    last_commit=Time | None, files=int, size_bytes=int, erased=int, retention_days=int,
    forecast=Forecast, spool=Backlog, audit=AuditedEndpoint)
LastAudit = shape(
    "LastAudit", "What the last audit found: where every number that spools gave has gone.",
    Audit, adds_up=bool, missing_by_endpoint=Counted, doubled_by_endpoint=Counted)
Decoded = shape("Decoded", "The counts of requests decoded again, by outcome.",
    Redecoded, endpoint=str)
Loaded = shape("Loaded", "The counts of one load of labels, by outcome.", LabelCounts, endpoint=str)
LabelDay = shape("LabelDay", "Label coverage of a day of event time (UTC).",
    DayCoverage, share=float | None)
Labels = shape("Labels", "The label coverage of an endpoint.",
    LabelReport, endpoint=str, type=str | None, days=[LabelDay])
ImportTarget = shape("ImportTarget", "What an import into an endpoint meets.",
    endpoint=str, declared=bool, typed=bool, retention_days=int, keep_from=date)
Imported = shape(
    "Imported", "The counts of capture lines: lines = imported + known + erased + those in bad.",
    Stored, endpoint=str, variant=str)
Hours = shape("Hours", "Hours that are over and have records, and what an export of them holds.",
    items=[Hour], endpoint=str, before=Time, erased_from=Time | None, next_token=str | None)
Received = shape("Received", "What became of each cloud event.", events=int, outcomes=[Outcome])
Predicted = shape("Predicted", "What the model says of one row.",
    prediction=str | int | float | bool | None,
    probability=(float | list[float | None] | None, None))
Predictions = shape("Predictions", "What the model says, one entry a row.", predictions=[Predicted])
ExecutionBrief = shape("ExecutionBrief", "One run of a monitor, in short.",
    id=str, window_start=Time, window_end=Time, status=Status, violation_count=int,
    failure_reason=str | None)
ListedExecution = shape("ListedExecution", "One run of a monitor.",
    Execution, status=Status, exit_message=str)
Summary = shape("Summary", "A run as SageMaker's MonitoringExecutionSummary, with ExitMessage.",
    MonitoringScheduleName=str, ScheduledTime=Time, CreationTime=Time, LastModifiedTime=Time,
    MonitoringExecutionStatus=Literal["Completed", "CompletedWithViolations", "Failed", "Stopped"],
    EndpointName=str, ExitMessage=str | None, FailureReason=str | None)
DescribedExecution = shape("DescribedExecution", "One run of a monitor, and what it read.",
    ListedExecution, inputs=Values | None, sagemaker=Summary)
LogLine = shape("LogLine", "A line of a run's log.", at=Time, text=str)
Progress = shape("Progress", "What is being judged, and what waits.",
    items=[RunState], pending=[Pending])
ReportFeature = shape("ReportFeature", "What was measured of a column, and how far it may go.",
    FeatureResult, ratio=float | None)
_NUMBERS: dict[str, Any] = dict.fromkeys(NUMBERS, float | Literal["Infinity", "-Infinity"] | None)
ReportMetric = shape("ReportMetric", "A measured number, and what it is compared with.",
    name=str, facet=str, facet_value=str, label=str,
    **_NUMBERS, unbounded=str, operator=str,
    p_value=float | None, count=int, violated=bool, severity=Severity | None, note=str)
ReportSegment = shape("ReportSegment", "A segment that was judged by itself.",
    name=str, column=str, level=str, row_count=int, share_of_rows=float, reference_count=int,
    violation_count=int, max_drift_ratio=float | None, note=str, features=[ReportFeature])
ReportViolation = shape("ReportViolation", "A constraint that rows break, and which rows do.",
    feature_name=str, constraint_check_type=str, description=str, severity=Severity,
    ratio=float | None, share_of_blame=float, cause=str, segment=Values | None, onset=Values | None,
    within=str, first_window=Time | None, unit=Values | None, fault=Values | None, values=[str],
    predicate=Values | None, row_count=int, first_rows=[Values])
ExpectedViolation = shape("ExpectedViolation", "A violation that a mark expects.",
    ReportViolation, mark=Values)
Report = shape("Report", "The document of an execution; details differ by kind of monitor.",
    format=int, kind=str, window=Values | None, baseline_version=str, passed=bool, decided=bool,
    headline=str, cause=str, row_count=int, request_count=int, late_count=int, unparsed_count=int,
    decoder_fault_count=int, failed_count=int, labelled_count=int, unfit_label_count=int,
    disputed_label_count=int, stray_label_count=int, stray_label_ids=[str], violation_count=int,
    page_count=int, max_drift_ratio=float | None, alpha=float, insufficient_data=[str],
    undecidable=[str], unjudged_count=int, unjudged=[Unjudged], violations=[ReportViolation],
    expected_violations=[ExpectedViolation], features=[ReportFeature], metrics=[ReportMetric],
    segments=[ReportSegment], details=Values)
Rows = shape("Rows", "Rows behind a violation.", columns=[str], rows=[Values])

Verdict = Literal["expected", "harmful", "new-normal"]
MadeBaseline = shape("MadeBaseline", "A new version of a baseline.",
    monitor=str, baseline=str, version=str, row_count=int)
Mark = shape("Mark", "What was said of a finding.",
    id=int, monitor=str, feature=str | None, check=str | None, window_start=Time,
    window_end=Time, until=Time | None, verdict=Verdict,
    author=str, reason=str, made_at=Time, baseline_version_before=str | None,
    baseline_version_after=str | None, rows_from=Time | None, rows_to=Time | None,
    withdrawn_at=Time | None, withdrawn_by=str | None)
Marked = shape("Marked", "A mark, and what it changed.",
    mark=Mark, monitors=[str], executions=[ExecutionBrief])
Backfilled = shape(
    "Backfilled", "What was run of a span, and what is left of it.",
    items=[ListedExecution], already_run=int, left_to_schedule=int, left=int, next=Time | None)
BacktestWindow = shape(
    "BacktestWindow",
    "One window of a backtest; an alarm has its column and cause, and the numbers of its test.",
    start=Time | None, end=Time | None, row_count=int, state=Literal["alarm", "quiet",
    "insufficient_data", "undecidable"], strength=float | None, alarms=[Values])
BacktestResult = shape(
    "BacktestResult", "The windows of a period, judged as the monitor would have judged them.",
    monitor=str, baseline_version=str, window=str, false_alarms_per_year=float, columns=[str],
    unjudged=[str], window_count=int, insufficient_count=int, undecidable_count=int,
    undated_count=int, reference_dated=bool, alarm_count=int, episode_count=int,
    alarms_by_column=Counted, windows=[BacktestWindow])
Evaluation = shape("Evaluation", "One evaluation of an alarm; more fields with `explain`.",
    extra=True, time=Time, state=State, previous=State, reason=str, datapoints=[Values],
    actions=[str])
AlarmStatus = shape("AlarmStatus", "Where an alarm of any kind stands.",
    state_value=State, state_reason=str, state_reason_data=str | None,
    state_updated_timestamp=Time, state_transitioned_timestamp=Time, evaluation_state=str |
    None, evaluation_problem=str | None, state_seq=int, created_at=Time,
    alarm_configuration_updated_timestamp=Time)

_SHOWN: dict[str, Any] = {"name": str, "kind": Literal["metric", "composite"]}
MetricAlarmState = shape("MetricAlarmState", "A metric alarm: its definition and where it stands.",
    AlarmDefinition, AlarmStatus, **_SHOWN, evaluated_until=Time | None)

_SUPPRESSED: dict[str, Any] = {
    "actions_suppressed_by": str | None,
    "actions_suppressed_reason": str | None,
    "actions_suppressed_until": Time | None,
}
CompositeAlarmState = shape(
    "CompositeAlarmState", "A composite alarm: its definition and where it stands.",
    CompositeDefinition, AlarmStatus, **_SHOWN, **_SUPPRESSED)
ListedAlarm = either("ListedAlarm", "An alarm of any kind.",
    MetricAlarmState | CompositeAlarmState)
HistoryRecord = shape("HistoryRecord", "One line of an alarm's history.",
    alarm_name=str, timestamp=Time, history_item_type=Literal["ConfigurationUpdate",
    "StateUpdate", "Action"], history_summary=str, history_data=Values)
ChangedState = shape("ChangedState", "One change of state.",
    alarm_name=str, seq=int, old=State, new=State, reason=str)
Changes = shape("Changes", "The alarm's change of state, and those of composites that follow.",
    changes=[ChangedState])
Tags = shape("Tags", "All tags that an alarm has.", tags=dict[str, str])
Added = shape("Added", "How many datapoints were added; 0 where the same call came before.",
    stored=int)
Metric = shape("Metric", "One metric.", namespace=str, metric_name=str, dimensions=dict[str, str])
Statistics = shape("Statistics", "One period of one unit; only the statistics that were asked for.",
    timestamp=Time, unit=str, sample_count=(float | None, None), average=(float | None, None),
    sum=(float | None, None), minimum=(float | None, None), maximum=(float | None, None),
    extended_statistics=(dict[str, float] | None, None))
MetricStatistics = shape("MetricStatistics", "What GetMetricStatistics answers, in snake case.",
    label=str, datapoints=[Statistics])
SingleMetric = shape("SingleMetric", "A metric and a statistic that a detector watches.",
    Metric, stat=str, unit=(str | None, None))
MetricMath = shape("MetricMath", "An expression that a detector watches.",
    metric_data_queries=[MetricQuery])
DetectorConfiguration = shape("DetectorConfiguration", "What a detector learns from.",
    excluded_time_ranges=[TimeRange], metric_timezone=str, adaptation_speed=str,
    outlier_filtering_strength=str)
LearntModel = shape("LearntModel", "What was learnt for one length of period.",
    period=int, state_value=str, points=int, has_seasons=bool, problem=str | None,
    trained_at=Time | None, due_at=Time)
DetectorDescription = shape(
    "DetectorDescription",
    "What DescribeAnomalyDetectors says of a detector, in snake case, and its models.",
    id=str, single_metric_anomaly_detector=(SingleMetric | None, None),
    metric_math_anomaly_detector=(MetricMath | None, None), configuration=DetectorConfiguration,
    metric_characteristics=dict[str, bool], state_value=str, models=[LearntModel],
    created_at=Time, updated_at=Time)
ChannelStatus = shape("ChannelStatus", "How a channel fares.",
    name=str, enabled=bool, disabled_reason=str | None, failure_count=int, updated_at=Time)
ChannelState = shape(
    "ChannelState", "A channel without what is secret: also the options of its type.",
    ChannelStatus, extra=True, type=str, url=str, format=str)
CarryingDelivery = shape("CarryingDelivery", "One message, and those that it carries.",
    Delivery, carries=[Delivery])
SilenceEffect = shape("SilenceEffect", "What a silence would do now.",
    alarms=[str], status=str, mutes_until=Time | None)
SilenceState = shape("SilenceState", "A silence, and what it does.",
    name=str, matchers=[str], alarm_names=[str], starts_at=Time | None, ends_at=Time | None,
    schedule=Values | None, created_by=str, comment=str, status=str, created_at=Time,
    updated_at=Time, expired_at=Time | None)
User = shape("VersionUser", "A monitor that uses a version; if pinned, whichever is promoted.",
    name=str, pinned=bool)
ListedVersion = shape("ListedVersion", "A version, and who uses it.",
    BaselineVersion, in_use=bool, monitors=[User])
CapturedVersion = shape("CapturedVersion", "A version that was made of captured rows.",
    BaselineVersion, baseline=str, promoted=bool)
Comparison = shape("BaselineComparison", "What changed from a version to another.",
    baseline=str, before=BaselineVersion, after=BaselineVersion, row_count_before=int | None,
    row_count_after=int | None, decided=bool, summary=str, changed=[str], new_columns=[str],
    columns=[shape("ColumnComparison", "What changed in a column.", FeatureResult,
        ratio=float | None, type_after=str | None, changes=[str], new_levels=[str],
        gone_levels=[str], constraints=[str])])
Promoted = shape("Promoted", "The version that is in use now, and the monitors that follow.",
    baseline=str, before=str, version=str, monitors=[str])
Promotion = shape("Promotion", "When a version came into use, and who did it.",
    id=int, at=Time, by=str, before=str | None, after=str)
Change = shape("Change", "What applying does to one resource.",
    action=Action, kind=Kind, name=str, fields=[str])
EndpointState = shape("EndpointState", "Whether an endpoint answers, and which variants.",
    state=str, reason=str | None, invocations=str | None,
    variants=[shape("VariantState", "How one variant of an endpoint fares.",
        name=str, model=str, share=float, instance_count=int, problem=str | None, shadow=bool,
        mirrored=int, dropped=int, lost_workers=shape("LostWorkers",
            "Workers that ended unasked, or were stuck, since the server began.",
            count=int, last_at=Time, last=str) | None)])
Applied = shape("Applied", "What was applied, or would be; and what becomes ready afterwards.",
    dry_run=bool, changes=[Change],
    pending=[shape("Pending", "A resource that becomes ready, or fails.",
        kind=Kind, name=str, generation=int)])
_PHASE: dict[str, Any] = {"phase": Phase, "reason": str | None, "observed_generation": int | None}
ModelStatus = shape("ModelStatus", "How far a model is, and what was made of its files.",
    digest=(str, None), file=(str, None), trust_pickle=(bool, None),
    description=(Values | None, None), **_PHASE)
BaselineStatus = shape("BaselineStatus", "How far a baseline is, and what was made of its data.",
    fingerprint=(str, None), version=(str, None), signature=(Values, None),
    model_digest=(str | None, None), script=(str, None), **_PHASE)
EndpointStatus = shape("EndpointStatus", "How an endpoint fares, and its signature.",
    EndpointState, extra=True, **_PHASE, signature=(Values | None, None),
    positive=(str | None, None),
    deployed=(shape("Deployed", "Digests of the models that callers get, and since when.",
        since=Time, models=list[str]) | None, None))
EndpointConfigStatus = shape("EndpointConfigStatus", "Nothing is made of an endpoint's config.")
MonitorStatus = shape("MonitorStatus", "The version in use, and that of its baseline.",
    version=int | None, baseline_version=str | None, baseline_pinned=bool | None, **_PHASE)
SilenceStatus = shape("SilenceStatus", "What a silence does.",
    status=str, mutes_until=Time | None, expired_at=Time | None)
_StoredEnvelope = shape("StoredEnvelope", "What all stored resources have.",
    name=str, owner=str | None, tags=dict[str, str], generation=int, created_at=Time | None,
    updated_at=Time | None)
_MAYBE: dict[str, Any] = {key: (kind, None) for key, kind in _SUPPRESSED.items()}
AlarmResourceStatus = shape("AlarmResourceStatus", "Where a declared alarm stands.",
    AlarmStatus, alarm_name=str, owner=str, tags=dict[str, str], actions_enabled=bool,
    evaluated_until=(Time | None, None), **_MAYBE)
_STATUS: dict[Kind, Any] = {
    "Alarm": AlarmResourceStatus,
    "CompositeAlarm": AlarmResourceStatus,
    "Channel": ChannelStatus,
    "Model": ModelStatus,
    "Baseline": BaselineStatus,
    "EndpointConfig": EndpointConfigStatus,
    "Endpoint": EndpointStatus,
    "Monitor": MonitorStatus,
    "Silence": SilenceStatus,
}
# A resource as it is listed: its specs are the one place of the fields.
STORED = {
    kind: shape(
        f"Stored{kind}", f"A stored {kind}.", _StoredEnvelope,
        kind=Literal[kind], spec=SPECS[kind], status=_STATUS[kind],
    )
    for kind in KINDS
}
StoredResource: Any = either("StoredResource", "A resource as it is stored, by its kind.",
    Union[tuple(STORED.values())])  # noqa: UP007 - of a list

Whoami = shape("Whoami", "Who asks, with which roles, for which endpoints (null: all).",
    subject=str, via=str, roles=[Role], endpoints=list[str] | None)
NewToken = shape("NewToken", "A token that was made; nothing else shows its secret.",
    name=str, roles=[Role], endpoints=list[str] | None, expires_at=Time | None, token=str)
DescribedTransformJob = shape(
    "DescribedTransformJob", "What a transform job was asked, and how far it is.",
    TransformJobSpec, transform_job_status=JobStatus, failure_reason=str | None,
    creation_time=Time, transform_start_time=Time | None, transform_end_time=Time | None,
    progress=JobCounts | None)
Accepted = shape("Accepted", "An asynchronous invocation that was accepted.", InferenceId=str)
AsyncInvocation = shape(
    "AsyncInvocation", "What came of an asynchronous invocation, or that it waits.",
    inference_id=str, status=AsyncStatus, failure_reason=str | None, input_location=str | None,
    output_location=str, failure_location=str, attempts=int, received_at=Time, expires_at=Time,
    ended_at=Time | None)
PrintedLine = shape("PrintedLine", "A line that a worker has printed; its process, by number.",
    time=Time, variant=str, container=str, worker=int, message=str)
# fmt: on
