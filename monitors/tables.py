"""SQL tables of this package: definitions of monitors, windows, executions, counts, marks."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from driftline.database.columns import CONSTRAINT_NAMES, BigCount, FreeText, UtcDateTime
from driftline.database.queue import queue_columns

metadata = MetaData(naming_convention=CONSTRAINT_NAMES)

definitions = Table(
    "monitors_definitions",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("endpoint", String(63), nullable=False),
    Column("baseline", String(255), nullable=False),
    Column("baseline_version", String(64)),
    # A version that is promoted moves the others.
    Column("baseline_pinned", Boolean, nullable=False, server_default=false()),
    Column("schedule", String(256), nullable=False),
    Column("time_zone", String(64), nullable=False, server_default="UTC"),
    Column("version", Integer, nullable=False),
    Column("false_alarms_per_year", Float, nullable=False),
    Column("start", UtcDateTime),
    Column("delay_s", Float, nullable=False),
    Column("catch_up", String(8), nullable=False, server_default="all"),
    Column("timeout_s", Float, nullable=False, server_default="86400"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("compat", Boolean, nullable=False),
    Column("rules", JSON, nullable=False),
    # Without any: those of the baseline.
    Column("segments", JSON(none_as_null=True)),
    Column("preprocess", String(255)),
    Column("postprocess", String(255)),
    # A program and its arguments.
    Column("command", JSON(none_as_null=True)),
    # A table that others write; none where an endpoint is captured.
    Column("source", JSON(none_as_null=True)),
    # Of an endpoint with several models: whose answers; null: all.
    Column("variant", String(63)),
    # Of an endpoint with many models: the one that is judged; null: all.
    Column("target_model", String(1024)),
    # Where the documents of each run are written, too; null: nowhere else.
    Column("output", String(1024)),
    # Where ground truth files come, to be loaded before a run; null: labels are sent.
    Column("labels", String(1024)),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("owner", String(255)),
    Column("tags", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "endpoint"),
)

executions = Table(
    "monitors_executions",
    metadata,
    Column("id", String(36), primary_key=True),
    # No foreign key: the history of a monitor outlives the monitor.
    Column("monitor", String(63), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("endpoint", String(63), nullable=False),
    Column("definition_version", Integer, nullable=False),
    Column("baseline", String(255), nullable=False),
    Column("baseline_version", String(64), nullable=False),
    Column("window_start", UtcDateTime, nullable=False),
    Column("window_end", UtcDateTime, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("failure_reason", FreeText),
    # Of a failed one: the type of its error, and the record, from 1, that a script failed on.
    Column("failure_type", String(64)),
    Column("failure_record", BigCount),
    # False once a newer execution of the same window has replaced this one's datapoints.
    Column("is_current", Boolean, nullable=False),
    Column("row_count", BigCount, nullable=False),
    Column("request_count", BigCount, nullable=False),
    Column("violation_count", Integer, nullable=False),
    Column("page_count", Integer, nullable=False),
    # Metrics worse than the reference beyond chance, within their bounds.
    Column("worse_count", Integer, nullable=False, default=0),
    # Columns or metrics that could not be judged.
    Column("unjudged_count", Integer, nullable=False, default=0),
    # Rows with a label, and violations that were annotated as expected; null: not counted.
    Column("labelled_count", BigCount),
    Column("expected_count", Integer),
    Column("max_drift_ratio", Float),
    Column("headline", FreeText, nullable=False, default=""),
    Column("cause", FreeText),
    # What was read, by versions and digests; lines of how it went, without any value of a row.
    Column("inputs", JSON(none_as_null=True)),
    Column("log", JSON(none_as_null=True)),
    # Relative to the storage root; empty when there are no documents.
    Column("folder", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Index(None, "monitor", "window_start"),
    # For the list of all runs, the newest first, and of those in some state.
    Index(None, "started_at"),
    Index(None, "status", "started_at"),
)

# The report of an execution: report.json, compressed.
reports = Table(
    "monitors_reports",
    metadata,
    Column("execution", String(36), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

# The measured numbers of executions, one row each: what charts draw over windows.
results = Table(
    "monitors_results",
    metadata,
    Column("execution", String(36), primary_key=True),
    # As metrics are addressed: "auc", "DPPL / sex=Female"; of a column "distance / temp".
    Column("key", FreeText, primary_key=True),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("bound", Float),
    Column("is_violated", Boolean, nullable=False),
    # How many windows the value is of, this one the last; null: this one.
    Column("window_count", Integer),
    Column("state", String(32), nullable=False),  # Whether it was judged, by `State`.
    sqlite_with_rowid=False,
)

# Why a window is in the queue: by its schedule, by somebody's wish, or since late records or labels
# came.
SCHEDULED, REQUESTED, CHANGED = "scheduled", "requested", "changed"

# Windows that wait for a scheduler, and those that are being judged: a row goes when its window has
# been run.
windows = Table(
    "monitors_windows",
    metadata,
    # Monitor, start and end.
    Column("id", String(160), primary_key=True),
    Column("monitor", String(63), nullable=False),
    Column("window_start", UtcDateTime, nullable=False),
    Column("window_end", UtcDateTime, nullable=False),
    Column("reason", String(16), nullable=False),
    # Who asked for it; "": nobody.
    Column("added_by", String(255), nullable=False, default=""),
    Column("added_at", UtcDateTime, nullable=False),
    # Of a run that has lasted longer than a moment.
    Column("stage", String(64)),
    Column("rows_read", BigCount),
    Column("log", JSON(none_as_null=True)),
    Column("started_at", UtcDateTime),
    *queue_columns(),
    Index(None, "monitor", "window_start"),
)

positions = Table(
    "monitors_positions",
    metadata,
    Column("monitor", String(63), primary_key=True),
    # The end of the last window that was put in the queue: where a scheduler goes on.
    Column("planned_until", UtcDateTime, nullable=False),
    # Up to where changes of captured records and of labels were considered: versions of the tables.
    Column("seen_capture", BigCount),
    Column("seen_truth", BigCount),
    # Of a table that others write: eight bytes for each file that was considered.
    Column("seen_files", LargeBinary),
)

# Episodes of causes: which window reported one first, and which last.
causes = Table(
    "monitors_causes",
    metadata,
    Column("monitor", String(63), primary_key=True),
    Column("endpoint", String(63), primary_key=True),
    Column("baseline_version", String(64), primary_key=True),
    # A digest of the cause, without any value of a row.
    Column("identity", String(16), primary_key=True),
    Column("first_window", UtcDateTime, primary_key=True),
    Column("last_window", UtcDateTime, nullable=False),
)

window_counts = Table(
    "monitors_window_counts",
    metadata,
    Column("monitor", String(63), primary_key=True),
    Column("window_start", UtcDateTime, primary_key=True),
    Column("window_end", UtcDateTime, primary_key=True),
    # Digest of what decides which rows a window has: another endpoint's are not added to them.
    Column("source", String(16), nullable=False),
    Column("baseline_version", String(64), nullable=False),
    Column("row_count", BigCount, nullable=False),
    # None: of a kind that counts no columns.
    Column("counts", LargeBinary, nullable=True),
    # What the engine judges several windows by, of kinds that it judges.
    Column("sums", LargeBinary, nullable=True),
)

annotations_table = Table(
    "monitors_marks",
    metadata,
    Column("id", BigCount, primary_key=True),
    # No foreign key: as executions, they outlive the monitor.
    Column("monitor", String(63), nullable=False),
    # None: all of the window.
    Column("feature", FreeText),
    Column("check", String(64)),
    Column("window_start", UtcDateTime, nullable=False),
    Column("window_end", UtcDateTime, nullable=False),
    # Windows that start before it are meant, too.
    Column("until", UtcDateTime),
    Column("verdict", String(16), nullable=False),
    Column("author", FreeText, nullable=False),
    Column("reason", FreeText, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    # Of "new-normal": what was replaced by what, and the captured time it was made of.
    Column("baseline_version_before", String(64)),
    Column("baseline_version_after", String(64)),
    Column("rows_from", UtcDateTime),
    Column("rows_to", UtcDateTime),
    Column("withdrawn_at", UtcDateTime),
    Column("withdrawn_by", FreeText),
    Index(None, "monitor", "window_start"),
    sqlite_autoincrement=True,  # Of two marks the newer counts, so that no id comes twice.
)
