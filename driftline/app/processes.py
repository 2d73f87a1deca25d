"""The composition root, alone in building things."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from driftline.app.exit_codes import exit_code
from driftline.app.logs import configure_logging
from driftline.app.reach import reach, table_access
from driftline.app.stopping import stop_on_signals, stop_with_parent
from driftline.errors import DriftlineError, UnavailableError
from driftline.forked import ALLOCATORS
from driftline.loopback import require_loopback
from driftline.settings.schema import read_rules
from driftline.settings.settings import Settings, describe, load
from driftline.storage import make_files_private, use_options
from driftline.tracing import tracing

if TYPE_CHECKING:
    import socket

    from prometheus_client import CollectorRegistry
    from sqlalchemy import Engine

    from driftline.capture.line.kafka_options import KafkaOptions
    from driftline.capture.redaction.redactor import Redactor

log = logging.getLogger(__name__)

# In the spool folder, for it is this host's own: the names of the sinks that run here.
SINK_NAMES = ".sinks"
# What is flushed at the end of a minute is there a moment later: an alarm that looked at once would
# find the newest minute empty, and tell a minute late.
_SETTLE_S = 3.0
IN_THE_CLEAR = "tokens travel in the clear; set tls_cert_file, or external_url to a proxy with TLS"
_POLL_S = 5.0

Ready = Callable[[], object]
Loop = Callable[[threading.Event], None]


def _every(usual_s: float) -> float:
    """Return the seconds between two looks for work; tests and the demo look more often."""
    return min(usual_s, float(os.environ.get("DRIFTLINE_POLL_S", "inf")))


def clock(settings: Settings) -> Callable[[], datetime]:
    """Return the clock of scheduler and alarms: the system's or, in replays, a file's text."""
    file = Path(settings.scheduler.clock.removeprefix("file:"))

    def read() -> datetime:
        try:
            return datetime.fromisoformat(file.read_text(encoding="ascii").strip()).astimezone(UTC)
        except (OSError, ValueError) as error:
            raise UnavailableError(f"[scheduler] clock {file}: {error}") from error

    return read if settings.scheduler.clock != "system" else lambda: datetime.now(UTC)


def run_server(settings: Settings, ready: Ready) -> None:
    """Answer invocations and the programming interface until told to stop."""
    # Imported here and below: each process loads only what it runs.
    from driftline.alerts.notify.receivers.programs import commands_of
    from driftline.alerts.notify.secrets import Vault
    from driftline.app.access import authenticator, register_token_file
    from driftline.app.listener import serve
    from driftline.database.clock import DatabaseClock
    from driftline.database.engine import using_database
    from driftline.database.migrations import migrate
    from driftline.serving.app import create_app
    from driftline.serving.context import ServerContext

    listener = _listen(settings, "server")
    prepare(settings)
    with using_database(settings.database_url) as engine:
        migrate(engine)
        register_token_file(settings, engine)
        vault = Vault.at(settings.notify.secrets_key, settings.secrets_key_file)
        context = ServerContext(
            settings=settings,
            engine=engine,
            now=clock(settings),
            lease_clock=DatabaseClock(engine),
            authenticator=authenticator(settings, engine, unseal=vault.unseal),
            redactor=redactor(settings),
            reach=reach(settings),
            access=table_access(settings),
            vault=vault,
            commands=commands_of(settings.notify.commands),
            start_job=partial(start_job, settings.file),
        )
        serve(create_app(context), listener, ready, settings.tls_files)


def start_job(
    settings_file: Path | None, kind: str, job: str, owner: str
) -> subprocess.Popen[bytes]:
    """Start the process of a server's job; it ends with this one, by its standard input."""
    command = [sys.executable, "-P", "-m", "driftline.app.job_process", kind, job, owner]
    command += [str(settings_file)] if settings_file is not None else []
    return subprocess.Popen(  # noqa: S603 - our own module, with our own arguments
        command, stdin=subprocess.PIPE, start_new_session=True
    )


def _listen(settings: Settings, section: Literal["server", "dashboard"]) -> socket.socket:
    """Take a port; refuse an address that others reach while nobody is asked who they are."""
    from driftline.app.listener import listen

    chosen = settings.server if section == "server" else settings.dashboard
    if settings.auth.mode == "off":
        require_loopback(section, chosen.host)
    elif section in settings.in_the_clear:
        log.warning("[%s] host %s: %s", section, chosen.host, IN_THE_CLEAR)
    return listen(section, chosen.host, chosen.port, tls=settings.tls_files)


def prepare(settings: Settings) -> None:
    """Open the storage as the settings say, and make files for this user alone."""
    make_files_private()
    use_options(settings.storage.options, settings.buckets_dir)


def run_dashboard(settings: Settings, ready: Ready) -> None:
    """Answer the pages until told to stop."""
    from driftline.app.access import dashboard_access
    from driftline.app.client.connection import ServerCalls
    from driftline.app.listener import serve
    from driftline.dashboard.app import create_app
    from driftline.dashboard.login import SECRET
    from driftline.dashboard.queries.stores import Stores
    from driftline.database.engine import using_database
    from driftline.database.migrations import migrate
    from driftline.serving.resources.endpoints import declared_endpoints, signature_of

    listener = _listen(settings, "dashboard")
    prepare(settings)
    with (
        using_database(settings.database_url) as writer,
        using_database(settings.database_url, read_only=True) as engine,
    ):
        migrate(writer)
        server = ServerCalls(
            settings.server_url, settings=None, ca_file=settings.ca_file, timeout_s=30
        )
        stores = Stores(
            engine,
            settings.root,
            clock(settings),
            signature_of=lambda endpoint: signature_of(engine, endpoint),
            access=table_access(settings),
            ask=lambda path: server.read(path, SECRET.get()),
            declared=lambda: declared_endpoints(engine),
            settings=describe(settings),
        )
        access = dashboard_access(settings, engine, writer)
        app = create_app(stores, server.send, access, external_url=settings.dashboard.external_url)
        serve(app, listener, ready, settings.tls_files)


def run_sidecar(settings: Settings, ready: Ready) -> None:
    """Ship this host's spool to the broker until told to stop; needs no database."""
    from driftline.app.process_metrics import exposed, observe, registry_of
    from driftline.capture.line.kafka import kafka_sender
    from driftline.capture.line.sidecar import Sidecar

    rules = redactor(settings)

    def ship(stop: threading.Event) -> None:
        sender = kafka_sender(kafka_options(settings), settings.spool_dir, stop)
        sidecar = Sidecar(settings.spool_dir, sender, redactor=rules)
        observe(registry, "sidecar", sidecar.counters, rules.counters if rules else {})
        observe(registry, "sender", sender.counters)
        sidecar.run(stop)

    registry = registry_of(settings, "sidecar")
    with exposed(registry, settings.metrics, "sidecar"):
        _run_loops({"sidecar": ship}, ready)


def run_background(settings: Settings, roles: Sequence[str], ready: Ready) -> None:
    """Run sink, scheduler and alarms, or some of them, until told to stop."""
    from driftline.app.process_metrics import exposed, registry_of
    from driftline.database.engine import using_database
    from driftline.database.migrations import migrate

    prepare(settings)
    with using_database(settings.database_url) as engine:
        migrate(engine)
        # Alone they may stand beside a scheduler of this machine, which has another port.
        name = roles[0] if roles[0] in ("alarms", "sink") else "background"
        registry = registry_of(settings, name)
        loops: dict[str, Loop] = {}
        for role in roles:
            if role == "scheduler":
                loops |= _scheduler_loops(settings, engine)
            elif role == "alarms":
                loops |= _alarm_loops(settings, engine)
            else:
                loops |= _storing_loops(settings, engine, role, registry)
        with exposed(registry, settings.metrics, name):
            _run_loops(loops, ready)


def _run_loops(loops: Mapping[str, Loop], ready: Ready) -> None:
    """Run each loop in a thread until told to stop; when one fails for good, all stop."""
    stop = stop_on_signals()
    with ThreadPoolExecutor(len(loops)) as threads:
        running = [threads.submit(loop, stop) for loop in loops.values()]
        for one in running:
            one.add_done_callback(lambda _: stop.set())
        ready()
        stop.wait()
    for one in running:
        one.result()


def redactor(settings: Settings) -> Redactor | None:
    """Return what masks secrets and applies ``[[capture.redact]]``; None where neither is set."""
    capture = settings.capture
    if not capture.redact and not capture.redact_names:
        return None
    # Imported here: not every process reads records.
    from driftline.capture.redaction.keys import read_keys
    from driftline.capture.redaction.redactor import Redactor

    keys, rules = read_keys(capture.redact_keys), read_rules(capture.redact)
    found = Redactor(rules, keys, capture.redact_names)
    for endpoint, side in found.unguarded():
        log.warning(
            'redaction of "%s": all rules for a %s are optional, so bodies of another shape pass '
            "as they were sent",
            endpoint, side,
        )  # fmt: skip
    return found


def kafka_options(settings: Settings) -> KafkaOptions:
    """Return what the settings say of the brokers."""
    from driftline.capture.line.kafka_options import KafkaOptions

    # The sinks of another installation, at the same broker, have another topic.
    return KafkaOptions(**settings.kafka.model_dump(), group=f"{settings.kafka.topic}.sink")


def _storing_loops(
    settings: Settings, engine: Engine, role: str, registry: CollectorRegistry
) -> dict[str, Loop]:
    from driftline.app.process_metrics import observe
    from driftline.capture.line.instruments import SinkInstruments
    from driftline.capture.line.sink import Sink
    from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
    from driftline.capture.line.transport import LocalTransport, Transport
    from driftline.monitors.run.erasure import clear_windows
    from driftline.serving.asynchronous.erasing import clear_requests
    from driftline.serving.resources.endpoints import served_models, signature_of, trusts_event_time

    retention = timedelta(days=settings.capture.retention_days)
    maintenance = TableMaintenance(
        settings.root,
        settings.spool_dir / NAMES,
        keep_from=lambda: (datetime.now(UTC) - retention).date(),
        signatures=partial(signature_of, engine),
        served=partial(served_models, engine),
        windows=partial(clear_windows, engine, settings.root),
        requests=partial(clear_requests, engine),
        interval_s=5 * _every(12.0),
    )

    def write(stop: threading.Event) -> None:
        transport: Transport
        counters: Mapping[str, int]
        if role == "capture":
            rules = redactor(settings)
            transport = LocalTransport(settings.spool_dir, redactor=rules)
            counters = rules.counters if rules else {}
        else:
            from driftline.capture.line.kafka import KafkaTransport
            from driftline.capture.line.low_watermark import LowWatermarkTransport

            kafka = KafkaTransport(kafka_options(settings), settings.spool_dir / SINK_NAMES, stop)
            # Who audits, on whatever host, learns up to where nothing is on its way any more.
            transport, counters = LowWatermarkTransport(kafka, settings.root), kafka.counters
        sink = Sink(
            settings.root, transport, partial(signature_of, engine),
            trusts_event_time=partial(trusts_event_time, engine),
            commit_interval_s=settings.capture.commit_interval_s,
            observe=SinkInstruments(registry).observe,
        )  # fmt: skip
        observe(registry, "sink", sink.counters, maintenance.counters, counters)
        sink.run(stop)

    return {role: write, "upkeep": maintenance.run}


def _scheduler_loops(settings: Settings, engine: Engine) -> dict[str, Loop]:
    from driftline.baseline.cache import BaselineCache
    from driftline.database.clock import DatabaseClock
    from driftline.monitors.run.auditor import Auditor
    from driftline.monitors.run.scheduler import Scheduler
    from driftline.serving.hosting.asked_models import EndpointModels
    from driftline.serving.resources.endpoints import signature_of

    now, shared = clock(settings), DatabaseClock(engine)
    asked = EndpointModels(
        engine, settings.root, local_dir=settings.local_dir,
        trust_pickle=settings.serving.trust_pickle,
    )  # fmt: skip
    make = partial(
        Scheduler, engine, settings.root, partial(signature_of, engine),
        # Schedulers whose clocks differ would set aside each other's windows as yet to end.
        now=shared if settings.scheduler.clock == "system" else now,
        lease_clock=shared, predictors=asked.open,
        poll_s=_every(_POLL_S), revisit_s=10 * _every(30.0),
        scripts_dir=settings.scheduler.scripts_dir,
        commands_dir=settings.scheduler.commands_dir,
        retention_days=settings.capture.retention_days,
        access=table_access(settings), baselines=BaselineCache(),
    )  # fmt: skip

    def explain(stop: threading.Event) -> None:
        try:
            make(asks_models=True).run(stop)
        finally:
            asked.close()

    auditor = Auditor(
        engine, settings.root, now=now, spool_dir=settings.spool_dir,
        is_local=settings.transport == "local",
    )  # fmt: skip
    # A model may take minutes to answer: other monitors do not wait for it.
    return {
        "scheduler": make(asks_models=False).run, "explanations": explain, "audit": auditor.run,
    }  # fmt: skip


def _alarm_loops(settings: Settings, engine: Engine) -> dict[str, Loop]:
    from driftline.alerts.evaluation.evaluator import Evaluator
    from driftline.alerts.math.band_models import BandModels
    from driftline.alerts.math.training import Trainer
    from driftline.alerts.metrics.retention import MetricRetention
    from driftline.alerts.notify.deliverer import Deliverer
    from driftline.alerts.notify.notification_maintenance import NotificationMaintenance
    from driftline.alerts.notify.receivers.programs import commands_of
    from driftline.alerts.notify.secrets import Vault
    from driftline.database.clock import DatabaseClock

    now, wall_clock, band_models = clock(settings), DatabaseClock(engine), BandModels()
    evaluator = Evaluator(
        engine, now=now, dashboard_url=settings.dashboard_link, poll_s=_every(_POLL_S),
        settle_s=_SETTLE_S, bands=band_models, lease_clock=wall_clock,
    )  # fmt: skip
    # Messages go out by the wall clock, whatever clock the monitors live by.
    deliverer = Deliverer(
        engine, now=wall_clock, allow_networks=settings.notify.allow_networks,
        vault=Vault.at(settings.notify.secrets_key, settings.secrets_key_file),
        commands=commands_of(settings.notify.commands), poll_s=_every(_POLL_S),
    )  # fmt: skip
    policy = NotificationMaintenance(
        engine, now=wall_clock, retention_days=settings.capture.retention_days, poll_s=_every(1.0)
    )
    return {
        "alarms": evaluator.run,
        "detectors": Trainer(engine, now=now, band_models=band_models).run,
        "deliveries": deliverer.run,
        "policy": policy.run,
        "metrics": MetricRetention(engine, now).run,
    }


def run_process(name: str, settings: Settings, ready: Ready, roles: Sequence[str] = ()) -> None:
    """Be one process of an installation until told to stop."""
    os.environ.update(ALLOCATORS | os.environ)  # Of libraries that are loaded from now on.
    alone = {"server": run_server, "dashboard": run_dashboard, "sidecar": run_sidecar}
    with tracing(name):
        if name in alone:
            alone[name](settings, ready)
        else:
            run_background(settings, roles, ready)


@contextmanager
def as_process(name: str, settings_file: Path | None, link: int) -> Iterator[Settings]:
    """Be a process that another one started and ends by the descriptor ``link``."""
    configure_logging(process=name)
    stop_with_parent(link)
    try:
        settings = load(settings_file, environment=os.environ)
        configure_logging(settings.log.format, process=name)
        yield settings
    except Exception as error:
        if isinstance(error, DriftlineError):
            log.error("%s", error)
        else:
            log.exception("process=%s failed", name)
        sys.exit(exit_code(error))


def run_supervised(name: str, roles: Sequence[str], settings_file: Path | None, link: int) -> None:
    """Be one process of an installation, and say through the link that it is ready."""
    with as_process(name, settings_file, link) as settings:
        run_process(name, settings, lambda: os.write(link, b"1"), roles)
