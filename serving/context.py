"""The server's dependencies; built by driftline/app/processes.py, or by a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen

from sqlalchemy import Engine

from driftline.access.authentication import Authenticator
from driftline.alerts.notify.secrets import Vault
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.tap.place import CapturePlace
from driftline.formats.body_limits import MAX_REQUEST_ROWS
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.reach import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerContext:
    """Everything that the server needs from outside."""

    engine: Engine  # Its schema is up to date.
    root: str  # Storage root, a path or URI.
    spool_dir: Path
    now: Callable[[], datetime]  # Aware, UTC.
    dashboard_url: str = "http://127.0.0.1:8081"
    authenticator: Authenticator | None = None  # None: whoever reaches it may do everything.
    hosts: Sequence[str] = ()  # Names by which it may be asked, besides those of this machine.
    external_url: str = ""  # Under which a proxy hands requests on to the server.
    recording: CapturePlace | None = None  # How the tap records; None: as it does by default.
    trust_pickle: bool = False
    trust_commands: bool = False  # Whether models may be programs.
    workers: int = 1  # Processes of an endpoint that does not say how many.
    timeout_s: float = 60.0  # Of one invocation.
    start_timeout_s: float = 120.0  # Of loading a model.
    serverless_idle_s: float = 300.0  # After which a worker of a serverless variant ends.
    max_request_bytes: int = 25 << 20
    max_request_rows: int = MAX_REQUEST_ROWS
    max_open_requests: int = 256  # Of one endpoint; more are told to come again.
    body_timeout_s: float = 60.0
    max_undeclared_endpoints: int = 50  # Begun by cloud events and imports.
    retention_days: int = 90
    # Days for which records under erased ids are dropped when they arrive.
    erasure_days: int = 30
    # Networks (CIDR) that channels may name although they are not public.
    allow_networks: Sequence[str] = ()
    local_dir: Path | None = None  # For models that are served, where the root is a bucket.
    redactor: Redactor | None = None  # Of imported records; None takes nothing out.
    reach: Reach = field(default_factory=Reach)  # The files that resources may name.
    access: Access = UNLIMITED  # What tables of others may be read from.
    # Real time by which leases end, the same for all who share the database.
    lease_clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    scripts_dir: str = ""  # Of the record scripts that monitors may name; empty: none.
    commands_dir: str = ""  # Of the programs that monitors may run; empty: none.
    vault: Vault = field(default_factory=Vault)
    commands: Mapping[str, str] = field(default_factory=dict)  # What channels may run, by name.
    # Starts the process of a transform job, by the job's name and the owner of its lease; None:
    # jobs wait for another server.
    start_transform: Callable[[str, str], Popen[bytes]] | None = None
    max_transform_jobs: int = 1  # At once, of this server.

    @property
    def place(self) -> CapturePlace:
        """How and where the tap records."""
        return self.recording or CapturePlace(self.spool_dir)

    @property
    def model_logs_dir(self) -> Path:
        """The folder of what models print, with one for each endpoint."""
        return (self.local_dir or self.spool_dir.parent) / "model-logs"

    def model_logs_of(self, endpoint: str) -> Path:
        """Return the folder of what the workers of an endpoint print."""
        return self.model_logs_dir / endpoint.casefold()

    @property
    def models(self) -> ModelStore:
        """The models under the storage root."""
        return ModelStore(self.root, self.local_dir)
