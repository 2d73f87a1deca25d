"""What the server is made with; built by driftline/app/processes.py, or by a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from driftline.alerts.notify.secrets import Vault
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.tap.place import CapturePlace
from driftline.serving.resources.artifacts import ModelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerContext:
    """Everything that the server needs from outside.

    Parameters
    ----------
    engine
        The database, its schema up to date.
    root
        The storage root, a path or URI.
    local_dir
        Folder of this machine for models that are served, where the root is elsewhere.
    spool_dir
        Where the tap writes.
    now
        The clock, aware, UTC.
    dashboard_url
        Where ``/ui/`` leads.
    recording
        How the tap records; None: as it does by default.
    trust_pickle
        Whether models may be joblib or pickle files.
    workers
        Processes of an endpoint that does not say how many.
    timeout_s
        Longest time that one invocation may take.
    start_timeout_s
        Longest time that loading a model may take.
    max_request_bytes
        Longest body of an invocation; of a call of the programming interface, too.
    max_open_requests
        How many invocations of one endpoint may be open; more are told to come again.
    body_timeout_s
        Longest time that a client may take to send a body.
    retention_days
        Days that captured records are kept.
    erasure_days
        Days that records under erased ids are dropped when they come.
    allow_networks
        Networks (CIDR) that channels may name although they are not public.
    scripts_dir
        Folder of the record scripts that monitors may name; empty: they may name none.
    vault
        Seals what is secret of channels.
    commands
        What channels may have run, by name.
    redactor
        Takes out of imported records what must not be stored; None: nothing.
    """

    engine: Engine
    root: str
    spool_dir: Path
    now: Callable[[], datetime]
    dashboard_url: str = "http://127.0.0.1:8081"
    recording: CapturePlace | None = None
    trust_pickle: bool = False
    workers: int = 1
    timeout_s: float = 60.0
    start_timeout_s: float = 120.0
    max_request_bytes: int = 25 << 20
    max_open_requests: int = 256
    body_timeout_s: float = 60.0
    retention_days: int = 90
    erasure_days: int = 30
    allow_networks: Sequence[str] = ()
    local_dir: Path | None = None
    redactor: Redactor | None = None
    scripts_dir: str = ""
    vault: Vault = field(default_factory=Vault)
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> CapturePlace:
        """How and where the tap records."""
        return self.recording or CapturePlace(self.spool_dir)

    @property
    def models(self) -> ModelStore:
        """The models under the storage root."""
        return ModelStore(self.root, self.local_dir)
