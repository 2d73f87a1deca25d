"""Types of what the client returns and takes; scripts/reference makes them of the OpenAPI document."""
# fmt: off
# ruff: noqa: D204, E501, I001

from __future__ import annotations

from typing import Any, TypedDict

from driftline.app.client.answers.resources import Role

class AuditEntry(TypedDict):
    """One row of the audit log."""
    id: int
    at: str
    subject: str
    via: str
    action: str
    target: str
    status: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None

class AuditedEndpoint(TypedDict):
    """What the last audit said of an endpoint."""
    time: str | None
    missing: int
    doubled: int

class Backlog(TypedDict):
    """The backlog of a spool folder."""
    size_bytes: int
    segments: int
    spools: int
    oldest_s: float

class BadLine(TypedDict):
    """A line that is no record: which one, from 0, and why."""
    index: int
    reason: str

class Counts(TypedDict):
    """How many there are; changes of state include those of deleted alarms."""
    metrics: int
    datapoints: int
    alarms_by_state: dict[str, int]
    state_changes: int
    deliveries_by_status: dict[str, int]

class Decoded(TypedDict):
    """The counts of requests decoded again, by outcome."""
    decoded: int
    rows: int
    left: int
    endpoint: str

class EndpointErased(TypedDict):
    """The counts of what was removed from an endpoint."""
    requests: int
    rows: int
    labels: int
    files: int

class Erased(TypedDict):
    """The result of a request to erase."""
    dry_run: bool
    asked: int
    unknown: int
    endpoints: dict[str, EndpointErased]
    documents: int
    windows: int
    messages: int
    invocations: int
    jobs: int
    quarantined: int
    until: str | None
    open_spools: int

class Forecast(TypedDict):
    """The size of a table now, and at the end of retention if traffic stays the same."""
    bytes_now: int
    bytes_per_day: int | None
    bytes_at_retention: int | None
    days: int

class Gap(TypedDict):
    """Records that were not stored, as counted where they were lost."""
    spool_id: str
    seq: int
    endpoint: str
    reason: str
    records: int | None
    size_bytes: int
    first_time: str | None
    last_time: str | None

class Hour(TypedDict):
    """What an hour of one variant has for an export."""
    start: str
    variant: str
    lines: int
    left_out: dict[str, int]

class Hours(TypedDict):
    """Hours that are over and have records, and what an export of them holds."""
    items: list[Hour]
    endpoint: str
    before: str
    erased_from: str | None
    next_token: str | None

class ImportTarget(TypedDict):
    """What an import into an endpoint meets."""
    endpoint: str
    declared: bool
    typed: bool
    retention_days: int
    keep_from: str

class Imported(TypedDict):
    """The counts of capture lines: lines = imported + known + erased + those in bad."""
    lines: int
    imported: int
    rows: int
    known: int
    unparsed: int
    bad: list[BadLine]
    erased: int
    endpoint: str
    variant: str

class Installation(TypedDict):
    """A server's installation."""
    id: str
    storage: str

class LabelDay(TypedDict):
    """Label coverage of a day of event time (UTC)."""
    day: str
    requests: int
    labelled_requests: int
    partly_labelled_requests: int
    rows: int
    labelled_rows: int
    share: float | None

class Labels(TypedDict):
    """The label coverage of an endpoint."""
    labels: int
    places: int
    repeated: int
    conflicts: int
    conflict_ids: list[str]
    unmatched: int
    unmatched_ids: list[str]
    unmatched_since: str | None
    stray: int
    stray_ids: list[str]
    unfit: int | None
    delay_s: dict[str, float] | None
    days: list[LabelDay]
    labelled_rows: int
    unsampled: int
    endpoint: str
    type: str | None

class LastAudit(TypedDict):
    """What the last audit found: where every number that spools gave has gone."""
    time: str
    is_full: bool
    spools: int
    numbers: int
    stored: int
    gaps: int
    erased: int
    expired: int
    in_flight: int
    missing: int
    doubled: int
    damaged: list[str]
    topic_losses: int
    found: list[SpoolAudit]
    requests: dict[str, int]
    undecodable: dict[str, int]
    dropped: dict[str, int]
    uncounted: dict[str, int]
    adds_up: bool
    missing_by_endpoint: dict[str, int]
    doubled_by_endpoint: dict[str, int]

class LastDay(TypedDict):
    """Coverage of what arrived in the last 24 hours."""
    stored: int
    dropped: int
    undecodable: int
    uncounted: int
    coverage: float | None

class Loaded(TypedDict):
    """The counts of one load of labels, by outcome."""
    received: int
    stored: int
    duplicates: int
    empty: int
    conflicts: int
    endpoint: str

class NewToken(TypedDict):
    """A token that was made; nothing else shows its secret."""
    name: str
    roles: list[Role]
    endpoints: list[str] | None
    expires_at: str | None
    token: str

class SpoolAudit(TypedDict):
    """One spool whose numbers do not add up, or not yet."""
    spool_id: str
    endpoints: list[str]
    last: int
    missing: int
    doubled: int
    in_flight: int
    missing_runs: list[list[Any]]
    doubled_runs: list[list[Any]]

class StageCounts(TypedDict):
    """What each stage has done, for reconciliation."""
    tap: dict[str, int]
    executions_by_status: dict[str, int]
    alerts: Counts
    capture: dict[str, TableCounts]

class TableCounts(TypedDict):
    """What the capture table of an endpoint has stored, in requests save for rows."""
    requests: int
    rows: int
    failed: int
    unparsed: int
    decoder_faults: int
    cut: int
    dropped: int

class Token(TypedDict):
    """What is known of a token; its secret is not."""
    name: str
    roles: list[Role]
    endpoints: list[str] | None
    created_by: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None

class Whoami(TypedDict):
    """Who asks, with which roles, for which endpoints (null: all)."""
    subject: str
    via: str
    roles: list[Role]
    endpoints: list[str] | None

class CaptureCounts(TableCounts):
    """What the capture table of an endpoint holds, and what is known to be lost."""
    endpoint: str
    declared: bool
    typed: bool
    paths: list[str]
    seen: int | None
    sampled: int | None
    shadows: int
    unparsed_by_reason: dict[str, int]
    event_times: dict[str, int]
    dropped_by_reason: dict[str, int]
    uncounted_gaps: int
    missing: int
    coverage: float | None
    last_24_h: LastDay
    gaps: list[Gap]
    spools: dict[str, int]
    oldest: str | None
    newest: str | None
    last_arrival: str | None
    last_commit: str | None
    files: int
    size_bytes: int
    erased: int
    retention_days: int
    forecast: Forecast
    spool: Backlog
    audit: AuditedEndpoint
