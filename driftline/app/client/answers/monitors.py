"""Types of what the client returns and takes; scripts/reference makes them of the OpenAPI document."""
# fmt: off
# ruff: noqa: D204, E501, I001

from __future__ import annotations

from typing import Any, Literal, TypedDict

from driftline.app.client.answers.resources import ExecutionStatus, Verdict

class Backfilled(TypedDict):
    """What was run of a span, and what is left of it."""
    items: list[ListedExecution]
    already_run: int
    left_to_schedule: int
    left: int
    next: str | None

class BacktestResult(TypedDict):
    """The windows of a period, judged as the monitor would have judged them."""
    monitor: str
    baseline_version: str
    window: str
    false_alarms_per_year: float
    columns: list[str]
    unjudged: list[str]
    window_count: int
    insufficient_count: int
    undecidable_count: int
    undated_count: int
    reference_dated: bool
    alarm_count: int
    episode_count: int
    alarms_by_column: dict[str, int]
    windows: list[BacktestWindow]

class BacktestWindow(TypedDict):
    """One window of a backtest; an alarm has its column and cause, and the numbers of its test."""
    start: str | None
    end: str | None
    row_count: int
    state: Literal["alarm", "quiet", "insufficient_data", "undecidable"]
    strength: float | None
    alarms: list[dict[str, Any]]

class BaselineComparison(TypedDict):
    """What changed from a version to another."""
    baseline: str
    before: BaselineVersion
    after: BaselineVersion
    row_count_before: int | None
    row_count_after: int | None
    decided: bool
    summary: str
    changed: list[str]
    new_columns: list[str]
    columns: list[ColumnComparison]

class BaselineVersion(TypedDict):
    """A version of a baseline, and of what it was made."""
    number: int
    version: str
    created_at: str
    row_count: int | None
    origin: dict[str, Any]

class Cancelled(TypedDict):
    """One window that was cancelled."""
    monitor: str
    window_start: str
    window_end: str
    status: str

class ExecutionBrief(TypedDict):
    """One run of a monitor, in short."""
    id: str
    window_start: str
    window_end: str
    status: ExecutionStatus
    violation_count: int
    failure_reason: str | None

class LogLine(TypedDict):
    """A line of a run's log."""
    at: str
    text: str

class MadeBaseline(TypedDict):
    """A new version of a baseline."""
    monitor: str
    baseline: str
    version: str
    row_count: int

class Mark(TypedDict):
    """What was said of a finding."""
    id: int
    monitor: str
    feature: str | None
    check: str | None
    window_start: str
    window_end: str
    until: str | None
    verdict: Verdict
    author: str
    reason: str
    made_at: str
    baseline_version_before: str | None
    baseline_version_after: str | None
    rows_from: str | None
    rows_to: str | None
    withdrawn_at: str | None
    withdrawn_by: str | None

class Marked(TypedDict):
    """A mark, and what it changed."""
    mark: Mark
    monitors: list[str]
    executions: list[ExecutionBrief]

class Pending(TypedDict):
    """A window that is over; waits_for: a monitor that it depends on."""
    start: str
    end: str
    waits_for: str | None

class Progress(TypedDict):
    """What is being judged, and what waits."""
    items: list[RunState]
    pending: list[Pending]

class Promoted(TypedDict):
    """The version that is in use now, and the monitors that follow."""
    baseline: str
    before: str
    version: str
    monitors: list[str]

class Promotion(TypedDict):
    """When a version came into use, and who did it."""
    id: int
    at: str
    by: str
    before: str | None
    after: str

class Queued(TypedDict):
    """How many windows a scheduler is to run, and which of the span's it is not."""
    queued: int
    already_run: int
    left_to_schedule: int

class Report(TypedDict):
    """The document of an execution; details differ by kind of monitor."""
    format: int
    kind: str
    window: dict[str, Any] | None
    baseline_version: str
    passed: bool
    decided: bool
    headline: str
    cause: str
    row_count: int
    request_count: int
    late_count: int
    unparsed_count: int
    decoder_fault_count: int
    failed_count: int
    labelled_count: int
    unfit_label_count: int
    disputed_label_count: int
    stray_label_count: int
    stray_label_ids: list[str]
    violation_count: int
    page_count: int
    max_drift_ratio: float | None
    alpha: float
    insufficient_data: list[str]
    undecidable: list[str]
    unjudged_count: int
    unjudged: list[Unjudged]
    violations: list[ReportViolation]
    expected_violations: list[ExpectedViolation]
    features: list[ReportFeature]
    metrics: list[ReportMetric]
    segments: list[ReportSegment]
    details: dict[str, Any]

class ReportFeature(TypedDict):
    """What was measured of a column, and how far it may go."""
    feature: str
    type: str
    role: str
    row_count: int
    missing_count: int
    unfit_count: int
    distance: float | None
    bound: float | None
    p_value: float | None
    method: str
    set: str | None
    share_reference: float | None
    share_window: float | None
    share_low: float | None
    share_high: float | None
    window_count: int | None
    share_alone: float | None
    design_effect: float | None
    stability: float | None
    jensen_shannon: float | None
    share_of_blame: float
    kolmogorov_smirnov: float | None
    wasserstein: float | None
    total_variation: float | None
    change: str
    note: str
    remedy: str
    ratio: float | None

class ReportMetric(TypedDict):
    """A measured number, and what it is compared with."""
    name: str
    facet: str
    facet_value: str
    label: str
    value: float | Literal["Infinity", "-Infinity"] | None
    low: float | Literal["Infinity", "-Infinity"] | None
    high: float | Literal["Infinity", "-Infinity"] | None
    reference: float | Literal["Infinity", "-Infinity"] | None
    reference_low: float | Literal["Infinity", "-Infinity"] | None
    reference_high: float | Literal["Infinity", "-Infinity"] | None
    bound: float | Literal["Infinity", "-Infinity"] | None
    unbounded: str
    operator: str
    p_value: float | None
    count: int
    violated: bool
    severity: Literal["page", "ticket"] | None
    note: str

class ReportSegment(TypedDict):
    """A segment that was judged by itself."""
    name: str
    column: str
    level: str
    row_count: int
    share_of_rows: float
    reference_count: int
    violation_count: int
    max_drift_ratio: float | None
    note: str
    features: list[ReportFeature]

class ReportViolation(TypedDict):
    """A constraint that rows break, and which rows do."""
    feature_name: str
    constraint_check_type: str
    description: str
    severity: Literal["page", "ticket"]
    ratio: float | None
    share_of_blame: float
    cause: str
    segment: dict[str, Any] | None
    onset: dict[str, Any] | None
    within: str
    first_window: str | None
    unit: dict[str, Any] | None
    fault: dict[str, Any] | None
    values: list[str]
    predicate: dict[str, Any] | None
    row_count: int
    first_rows: list[dict[str, Any]]

class Rows(TypedDict):
    """Rows behind a violation."""
    columns: list[str]
    rows: list[dict[str, Any]]

class RunState(TypedDict):
    """One window that is being judged, as others see it."""
    monitor: str
    window_start: str
    window_end: str
    status: str
    stage: str
    rows_read: int
    started_at: str
    seen_at: str
    log: list[dict[str, str]]

class Summary(TypedDict):
    """A run as SageMaker's MonitoringExecutionSummary, with ExitMessage."""
    MonitoringScheduleName: str
    ScheduledTime: str
    CreationTime: str
    LastModifiedTime: str
    MonitoringExecutionStatus: Literal["Completed", "CompletedWithViolations", "Failed", "Stopped"]
    EndpointName: str
    ExitMessage: str | None
    FailureReason: str | None

class Unjudged(TypedDict):
    """A column, or a number of another kind, without a verdict."""
    name: str
    reason: str
    remedy: str

class VersionUser(TypedDict):
    """A monitor that uses a version; if pinned, whichever is promoted."""
    name: str
    pinned: bool

class CapturedVersion(BaselineVersion):
    """A version that was made of captured rows."""
    baseline: str
    promoted: bool

class ColumnComparison(ReportFeature):
    """What changed in a column."""
    type_after: str | None
    changes: list[str]
    new_levels: list[str]
    gone_levels: list[str]
    constraints: list[str]

class ExpectedViolation(ReportViolation):
    """A violation that a mark expects."""
    mark: dict[str, Any]

class ListedExecution(ExecutionBrief):
    """One run of a monitor."""
    monitor: str
    kind: str
    endpoint: str
    definition_version: int
    baseline: str
    baseline_version: str
    digest: str
    failure_type: str | None
    failure_record: int | None
    is_current: bool
    row_count: int
    request_count: int
    page_count: int
    worse_count: int | None
    max_drift_ratio: float | None
    cause: str
    folder: str
    started_at: str
    finished_at: str
    exit_message: str

class ListedVersion(BaselineVersion):
    """A version, and who uses it."""
    in_use: bool
    monitors: list[VersionUser]

class DescribedExecution(ListedExecution):
    """One run of a monitor, and what it read."""
    inputs: dict[str, Any] | None
    sagemaker: Summary
