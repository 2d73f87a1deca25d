"""Examines an installation: settings, disk space, and what the server's /readyz says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.tokens import read_token
from driftline.app.access import provider, trusted_proxy
from driftline.app.client.client import Client
from driftline.app.client.connection import trusted_certificates
from driftline.app.installation import require_same
from driftline.app.processes import IN_THE_CLEAR, kafka_options
from driftline.database.engine import sqlite_file, using_database
from driftline.database.migrations import known_revisions, stored_revision
from driftline.errors import DriftlineError, UnavailableError
from driftline.monitors.definitions import list_definitions
from driftline.monitors.run.overdue import overdue
from driftline.settings.settings import Settings
from driftline.sizes import bytes_text
from driftline.storage import bucket_failure, disk_failure, is_remote, use_options

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
    if is_remote(settings.root):
        yield _look("store", partial(_store, settings.root))
    if settings.transport == "kafka":
        yield _look("kafka", partial(_kafka, settings))
    yield _look("access", partial(_access, settings))
    database = _look("database", partial(_database, settings))
    yield database
    if database.verdict == "ok":
        yield _look("monitors", partial(_monitors, settings, now()))
    yield _look("server", partial(_server, settings))
    yield _look("dashboard", partial(_process, "dashboard", f"{settings.dashboard_url}/", settings))


def _look(what: str, look: Callable[[], Finding]) -> Finding:
    """Return what a look finds; an error is a defect, whose fix stands behind its "; "."""
    try:
        return look()
    except (DriftlineError, OSError, SQLAlchemyError) as error:
        found, _, mend = str(error).partition("\n")[0].partition("; ")
        return Finding(what, "defect", found, mend or "let this user in, or correct the settings")


def _disks(settings: Settings) -> list[Path]:
    """Return the local folders that are written to."""
    disks = [settings.local_dir, settings.spool_dir]
    if not is_remote(settings.root):
        disks.append(Path(settings.root))
    if file := sqlite_file(settings.database_url):
        disks.append(file.absolute().parent)
    return list(dict.fromkeys(disks))


def _disk(folder: Path) -> Finding:
    if failure := disk_failure(folder):
        raise UnavailableError(failure)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if there == folder and folder.stat().st_mode & 0o007:
        found = f"{folder} is open to all users of this machine, and holds raw bodies"
        return Finding("disk", "defect", found, f"chmod -R o= {folder}")
    space = shutil.disk_usage(there)
    found = f"{bytes_text(space.free)} free of {bytes_text(space.total)} for {folder}"
    if space.free < max(LITTLE_BYTES, LITTLE_SHARE * space.total):
        return Finding("disk", "warning", found, "make room, or move it")
    return Finding("disk", "ok", found)


def _store(root: str) -> Finding:
    if failure := bucket_failure(root):
        raise UnavailableError(failure)
    return Finding("store", "ok", f"{root} answers")


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
        return Finding("access", "warning", " and ".join(clear), IN_THE_CLEAR)
    return Finding("access", "ok", f'"{mode}": who asks shows a token; own token in {file}')


def _kafka(settings: Settings) -> Finding:
    """Ask the broker for the topic that lies between sidecar and sink."""
    # The client takes a while to load, and only this transport needs it.
    from driftline.capture.line.kafka import find_partitions

    count, topic = find_partitions(kafka_options(settings)), settings.kafka.topic
    if count is None:
        mend = "start what makes it: driftline up --only sidecar,sink; or correct [kafka] topic"
        return Finding("kafka", "defect", f'there is no topic "{topic}"', mend)
    return Finding("kafka", "ok", f'topic "{topic}": {count} partitions')


def _database(settings: Settings) -> Finding:
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():  # Opening it would make it.
        return Finding("database", "defect", f"{file}: not there yet", "driftline migrate")
    with using_database(settings.database_url, read_only=True) as engine:
        with engine.connect() as connection:
            revision, known = stored_revision(connection), known_revisions()
        shown = engine.url.render_as_string(hide_password=True)
    if revision != known[0]:
        is_unknown = revision is not None and revision not in known
        mend = "install the version that made it" if is_unknown else "driftline migrate"
        found = f"{shown}: schema {revision or 'empty'}, not {known[0]}"
        return Finding("database", "defect", found, mend)
    return Finding("database", "ok", f"{shown}, schema {revision}")


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


def _server(settings: Settings) -> Finding:
    found = _process("server", f"{settings.server_url}/readyz", settings)
    if found.verdict == "ok":
        with Client(settings.server_url, settings=lambda: settings) as client:
            require_same(client, settings)
    return found


def _process(name: str, url: str, settings: Settings) -> Finding:
    """Ask a process at its address."""
    try:
        verify = trusted_certificates(url, settings.ca_file)
        answer = httpx.get(url, timeout=ANSWER_WITHIN_S, follow_redirects=False, verify=verify)
    except httpx.HTTPError as error:
        return Finding(name, "warning", f"{url} does not answer ({error})", "driftline up")
    is_json = answer.headers.get("content-type", "") == "application/json"
    if answer.status_code >= 500 or (is_json and len(answer.json()) > 1):
        found = f"{url}: {answer.status_code} {answer.text[:200]}"
        return Finding(name, "defect", found, "see its log")
    return Finding(name, "ok", f"{url} answers")


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of all."""
    order: tuple[Verdict, ...] = ("ok", "warning", "defect")
    return max((one.verdict for one in findings), key=order.index, default="ok")
