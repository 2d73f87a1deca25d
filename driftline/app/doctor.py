"""Examines an installation: settings, disk space, and the server's /readyz.

It changes nothing but a probe file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
import pyarrow as pa
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.tokens import read_token
from driftline.app.access import provider, trusted_proxy
from driftline.app.client.connection import trusted_certificates
from driftline.app.installation import another_installation
from driftline.app.processes import kafka_options
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.database.engine import sqlite_file, using_database
from driftline.database.migrations import known_revisions, stored_revision
from driftline.database.probe import write_failure
from driftline.errors import DriftlineError, UnavailableError
from driftline.formats.location import locate
from driftline.monitors.definitions import list_definitions
from driftline.monitors.run.overdue import overdue
from driftline.settings.settings import Settings
from driftline.sizes import bytes_text
from driftline.storage import disk_failure, is_remote, use_options

Verdict = Literal["ok", "warning", "defect"]

LITTLE_BYTES = 1 << 30
LITTLE_SHARE = 0.05
ANSWER_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""  # Empty when all is well.


def examine(settings: Settings, *, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Examine the machine, the stores and the processes, one finding after the other."""
    for folder in _disks(settings):
        yield _look("disk", partial(_disk, folder))
    use_options(settings.storage.options)
    yield examine_store(settings.root)
    storing = "sidecar,sink" if settings.transport == "kafka" else "capture"
    yield _look("spool", lambda: _spool(settings.spool_dir))
    if settings.transport == "kafka":
        yield _look("kafka", lambda: _kafka(kafka_options(settings)))
    yield _look("access", lambda: _access(settings))
    database = _look("database", lambda: _database(settings))
    yield database
    if database.verdict == "ok":
        yield _look("monitors", lambda: _monitors(settings, now()))
    yield _look("server", lambda: _server(settings, f"server,{storing},scheduler,alarms"))
    yield examine_process("dashboard", f"{settings.dashboard_url}/", "dashboard", settings)


def _look(what: str, look: Callable[[], Finding]) -> Finding:
    """Return what a look finds; an error is a defect, whose fix stands behind its "; "."""
    try:
        return look()
    except (DriftlineError, OSError, SQLAlchemyError, pa.ArrowInvalid) as error:
        found, _, mend = str(error).partition("\n")[0].partition("; ")
        return Finding(what, "defect", found, mend or "let this user in, or correct the settings")


def _disks(settings: Settings) -> list[Path]:
    """Return the local folders that are written to."""
    disks = [settings.local_dir, settings.spool_dir]
    if not is_remote(settings.root):
        disks.append(Path(locate(settings.root).path))
    if file := sqlite_file(settings.database_url):
        disks.append(file.absolute().parent)
    return list(dict.fromkeys(disks))


def _disk(folder: Path) -> Finding:
    if failure := disk_failure(folder):
        raise UnavailableError(failure)
    space = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists()))
    found = f"{bytes_text(space.free)} free of {bytes_text(space.total)} for {folder}"
    if space.free < max(LITTLE_BYTES, LITTLE_SHARE * space.total):
        return Finding("disk", "warning", found, "make room, or move it")
    return Finding("disk", "ok", found)


def examine_store(root: str) -> Finding:
    """Write a file, read it, remove it."""
    name = f".doctor-{datetime.now(UTC).timestamp():.6f}"
    try:
        probe = locate(root) / name
        probe.write(b"probe")
        probe.read()
        probe.system.delete_file(probe.path)
    except (DriftlineError, OSError) as error:
        # Of a bucket the sentence has its mend in it.
        found, _, mend = str(error).replace(f"/{name}", "").partition("; ")
        if not is_remote(root):
            mend = "let this user write there, or set [storage] root"
        return Finding("store", "defect", found, mend)
    if not is_remote(root) and Path(locate(root).path).stat().st_mode & 0o007:
        found = f"{root} is open to all users of this machine, and holds raw bodies"
        return Finding("store", "warning", found, f"chmod -R o= {root}")
    return Finding("store", "ok", f"{root} can be written and read")


def _access(settings: Settings) -> Finding:
    """Return who is let in, and what is wrong with the secrets of it."""
    mode, file = settings.auth.mode, settings.token_file
    if mode == "off":
        return Finding("access", "ok", '"off": this machine only, and nobody shows who they are')
    if mode == "proxy":
        trusted_proxy(settings)
    provider(settings)
    if file.exists():
        read_token(file)
    if clear := settings.in_the_clear:
        found = f"tokens for {' and '.join(clear)} travel in the clear"
        mend = "set tls_cert_file, or external_url to the address of a proxy with TLS"
        return Finding("access", "warning", found, mend)
    return Finding("access", "ok", f'"{mode}": who asks shows a token; own token in {file}')


def _spool(folder: Path) -> Finding:
    if folder.exists() and folder.stat().st_mode & 0o077:
        shown = f"{folder} is open to other users, and holds raw bodies"
        return Finding("spool", "defect", shown, f"chmod 700 {folder}")
    return Finding("spool", "ok", f"{folder} is for this user alone")


def _kafka(options: KafkaOptions) -> Finding:
    """Ask the broker for the topic that lies between sidecar and sink."""
    # The client takes a while to load, and only this transport needs it.
    from driftline.capture.line.kafka import find_partitions

    shown = f'{",".join(options.bootstrap_servers)}, topic "{options.topic}"'
    try:
        count = find_partitions(options)
    except UnavailableError as error:
        mend = "start the broker, or correct [kafka] bootstrap_servers; records wait in the spool"
        return Finding("kafka", "defect", str(error), mend)
    if count is None:
        mend = "start what makes it: driftline up --only sidecar,sink; or correct [kafka] topic"
        return Finding("kafka", "defect", f"{shown}: there is no such topic", mend)
    return Finding("kafka", "ok", f"{shown}: {count} partitions")


def _database(settings: Settings) -> Finding:
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():  # Opening it would make it.
        return Finding("database", "defect", f"{file}: not there yet", "driftline migrate")
    with using_database(settings.database_url) as engine:
        with engine.connect() as connection:
            revision, known = stored_revision(connection), known_revisions()
        shown = engine.url.render_as_string(hide_password=True)
        if revision != known[0]:
            is_unknown = revision is not None and revision not in known
            mend = "install the version that made it" if is_unknown else "driftline migrate"
            found = f"{shown}: schema {revision or 'empty'}, not {known[0]}"
            return Finding("database", "defect", found, mend)
        if failure := write_failure(engine):
            raise UnavailableError(failure)
    return Finding("database", "ok", f"{shown}, schema {revision}, takes writes")


def _monitors(settings: Settings, now: datetime) -> Finding:
    with (
        using_database(settings.database_url, read_only=True) as engine,
        engine.connect() as connection,
    ):
        known, late = len(list_definitions(connection)), overdue(connection, now)
    if not late:
        return Finding("monitors", "ok", f"{known} declared, none overdue")
    worst = max(late, key=lambda one: now - one.due_at)
    return Finding(
        "monitors",
        "defect",
        f"{len(late)} of {known} overdue; {worst.monitor} since {worst.due_at:%Y-%m-%d %H:%M}"
        + (f": {worst.failure}" if worst.failure else ""),
        "see that the scheduler runs: driftline up --only scheduler",
    )


def _server(settings: Settings, roles: str) -> Finding:
    found = examine_process("server", f"{settings.server_url}/readyz", roles, settings)
    other = another_installation(settings) if found.verdict == "ok" else ""
    return Finding("server", "defect", other, "set another [server] port") if other else found


def examine_process(name: str, url: str, roles: str, settings: Settings) -> Finding:
    """Ask a process at its address; ``roles`` are those that start it."""
    try:
        verify = trusted_certificates(url, settings.ca_file)
        answer = httpx.get(url, timeout=ANSWER_WITHIN_S, follow_redirects=False, verify=verify)
    except httpx.HTTPError as error:
        found = f"{url} does not answer ({error})"
        return Finding(name, "warning", found, f"driftline up --only {roles}")
    is_json = answer.headers.get("content-type", "") == "application/json"
    if answer.status_code >= 500 or (is_json and len(answer.json()) > 1):
        found = f"{url}: {answer.status_code} {answer.text[:200]}"
        return Finding(name, "defect", found, "see its log")
    return Finding(name, "ok", f"{url} answers")


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of all."""
    order: tuple[Verdict, ...] = ("ok", "warning", "defect")
    return max((one.verdict for one in findings), key=order.index, default="ok")
