"""The server's dependencies; built by driftline/app/processes.py, or by a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from subprocess import Popen

from sqlalchemy import Engine

from driftline.access.authentication import Authenticator
from driftline.alerts.notify.secrets import Vault
from driftline.capture.redaction.redactor import Redactor
from driftline.formats.body_limits import MAX_REQUEST_ROWS
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.reach import Reach
from driftline.settings.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """The settings, and everything that the server needs besides them."""

    settings: Settings
    engine: Engine  # Its schema is up to date.
    now: Callable[[], datetime]  # Aware, UTC.
    # Real time by which leases end, the same for all who share the database.
    lease_clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    authenticator: Authenticator | None = None  # None: whoever reaches it may do everything.
    redactor: Redactor | None = None  # Of imported records; None takes nothing out.
    reach: Reach = field(default_factory=Reach)  # The files that resources may name.
    access: Access = UNLIMITED  # What tables of others may be read from.
    vault: Vault = field(default_factory=Vault)
    commands: Mapping[str, str] = field(default_factory=dict)  # What channels may run, by name.
    # Starts the process of a job, by what kind of job it is (processes.py), its name and the owner
    # of its lease; None: jobs wait for another server.
    start_job: Callable[[str, str, str], Popen[bytes]] | None = None
    start_timeout_s: float = 120.0  # Of loading a model.
    max_request_rows: int = MAX_REQUEST_ROWS
    max_open_requests: int = 256  # Of one endpoint; more are told to come again.
    body_timeout_s: float = 60.0
    max_undeclared_endpoints: int = 50  # Begun by cloud events and imports.

    @property
    def root(self) -> str:
        """The storage root, a path or URI."""
        return self.settings.root

    @property
    def local_dir(self) -> Path:
        """The folder of this machine."""
        return self.settings.local_dir

    @property
    def spool_dir(self) -> Path:
        """The folder of the spool."""
        return self.settings.spool_dir

    @property
    def dashboard_url(self) -> str:
        """What links to the dashboard begin with."""
        return self.settings.dashboard_link

    @property
    def model_logs_dir(self) -> Path:
        """The folder of what models print, with one for each endpoint."""
        return self.local_dir / "model-logs"

    def model_logs_of(self, endpoint: str) -> Path:
        """Return the folder of what the workers of an endpoint print."""
        return self.model_logs_dir / endpoint.casefold()

    @cached_property
    def models(self) -> ModelStore:
        """The models under the storage root."""
        return ModelStore(self.root, self.local_dir)
