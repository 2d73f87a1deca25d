"""The SQL tables of this package: resources, the installation, jobs and requests."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from driftline.database.columns import CONSTRAINT_NAMES, BigCount, UtcDateTime
from driftline.database.queue import Queue, queue_columns

metadata = MetaData(naming_convention=CONSTRAINT_NAMES)

# One table for all kinds: what is declared has one shape, and one diff, whatever its kind.
resources = Table(
    "serving_resources",
    metadata,
    Column("kind", String(16), primary_key=True),
    # The name as it is compared: without case, save for alarms, whose names are free text.
    Column("key", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("owner", String(255)),
    Column("tags", JSON, nullable=False),
    # As declared, with defaults filled in; secrets are replaced by a digest.
    Column("spec", JSON, nullable=False),
    # Digests of the files that it names, as they were when it was applied.
    Column("content", JSON, nullable=False),
    # Counts up with each change of what is declared.
    Column("generation", Integer, nullable=False),
    # What the last generation that became ready consists of (resources/store.py); {}: none did.
    Column("made", JSON, nullable=False),
    # How far the generation that is declared is, which one that is said of, and why it failed.
    Column("phase", String(16), nullable=False),
    Column("reason", Text),
    Column("observed_generation", Integer),
    # How often in a row it failed for a reason that may pass.
    Column("attempts", Integer, nullable=False, default=0),
    # Who applied it: in whose name its artifacts come into use.
    Column("applied_by", JSON, nullable=False),
    # The server that brings it about.
    Column("lease_owner", String(36)),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # The count of changes at the last one of what is to be served (of `installation`).
    Column("changes", Integer, nullable=False, server_default="0"),
    Index(None, "kind", "created_at", "key"),
)

# One row, written with the initial schema: tells this database from all others.
installation = Table(
    "serving_installation",
    metadata,
    Column("id", String(36), primary_key=True),
    # Counts up with each change of what is to be served: servers look at this number alone.
    Column("changes", Integer, nullable=False, server_default="0"),
)

# What scaling policies changed (scaling/controller.py).
scaling_activities = Table(
    "serving_scaling_activities",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("endpoint", String(63), nullable=False),
    Column("variant", String(63), nullable=False),
    Column("capacity_before", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_message", Text),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index(None, "ended_at"),
)

# What clients of AWS said of resources, and are shown again (echo.py).
echo = Table(
    "serving_echo",
    metadata,
    Column("kind", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),  # The name as it is compared.
    Column("document", JSON, nullable=False),
)

# Work on files in the background, of each kind under names of its own (jobs/).
jobs = Table(
    "serving_jobs",
    metadata,
    Column("key", String(80), primary_key=True),  # The kind, and the name without case.
    Column("kind", String(16), nullable=False),
    Column("name", String(63), nullable=False),
    Column("spec", JSON, nullable=False),
    # What a client of AWS said of it, and is shown again; {} of one that no such client created.
    Column("said", JSON, nullable=False, default={}),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    # The declared model that it asks, as it was when the job was created.
    Column("model", JSON),
    # Of a transform job: its files in the order in which they are scored, as found when it began,
    # path and output of each. Null: not looked for yet.
    Column("inputs", JSON),
    Column("file_count", Integer),
    Column("files_done", Integer, nullable=False, server_default="0"),  # The first so many.
    Column("record_count", BigInteger, nullable=False, server_default="0"),
    # Of a recommendation job: what was measured of each configuration.
    Column("results", JSON),
    # Of a processing or recommendation job: how it ended.
    Column("exit_message", Text),
    *queue_columns(),
    Index(None, "kind", "created_at"),
)
job_queue = Queue(jobs, jobs.c.key, (jobs.c.created_at,), ("InProgress", "Stopping"))

# Asynchronous invocations: accepted, and answered by a file.
async_requests = Table(
    "serving_async_requests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("endpoint", String(63), nullable=False),
    Column("inference_id", String(64), nullable=False),
    # One of them: where the body lies, or the body.
    Column("input_location", Text),
    Column("content", LargeBinary),
    Column("headers", JSON, nullable=False),
    Column("output_location", Text, nullable=False),
    Column("failure_location", Text, nullable=False),
    # As the endpoint said when it was accepted: who is told of the answer or of a failure, and the
    # variant that metrics are of where none answered.
    Column("success_topic", String(255)),
    Column("error_topic", String(255)),
    Column("variant", String(63), nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    *queue_columns(),
    Index(None, "status", "endpoint", "received_at"),
    Index(None, "ended_at"),
)
async_queue = Queue(
    async_requests, async_requests.c.id, (async_requests.c.received_at,), ("Queued",)
)
