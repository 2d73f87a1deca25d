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
from driftline.app.processes import IN_THE_CLEAR
from driftline.database.engine import sqlite_file, using_database
from driftline.database.migrations import known_revisions, stored_revision
from driftline.errors import DriftlineError, UnavailableError
from driftline.monitors.run.planning import list_states, overdue
from driftline.settings.settings import Settings
from driftline.sizes import bytes_text
from driftline.storage import bucket_failure, disk_failure, is_remote, use_options

Verdict = Literal["ok", "warning", "defect"]

LITTLE_BYTES = 1 << 30
LITTLE_SHARE = 0.05
ANSWER_WITHIN_S = 3.0


class ConcernError(DriftlineError):
    """What works and should be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""  # Empty when all is well.


def examine(settings: Settings, *, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Examine the machine, the stores and the processes, one finding after the other."""
    disks = {settings.local_dir, settings.spool_dir}
    if not is_remote(settings.root):
        disks.add(Path(settings.root))
    if file := sqlite_file(settings.database_url):
        disks.add(file.absolute().parent)
    for folder in sorted(disks):
        yield _look("disk", partial(_disk, folder))
    use_options(settings.storage.options, settings.buckets_dir)
    if is_remote(settings.root):
        yield _look("store", partial(_store, settings.root))
    yield _look("access", partial(_access, settings))
    database = _look("database", partial(_database, settings))
    yield database
    if database.verdict == "ok":
        yield _look("monitors", partial(_monitors, settings, now()))
    yield _look("server", partial(_server, settings))
    yield _look("dashboard", partial(_ask, f"{settings.dashboard_url}/", settings))


def _look(what: str, look: Callable[[], str]) -> Finding:
    """Return what a look finds; its error is a sentence whose fix stands behind its "; "."""
    try:
        return Finding(what, "ok", look())
    except (DriftlineError, OSError, SQLAlchemyError) as error:
        found, _, mend = str(error).partition("\n")[0].partition("; ")
        verdict: Verdict = "warning" if isinstance(error, ConcernError) else "defect"
        return Finding(what, verdict, found, mend or "let this user in, or correct the settings")


def _disk(folder: Path) -> str:
    if failure := disk_failure(folder):
        raise UnavailableError(failure)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if there == folder and folder.stat().st_mode & 0o007:
        raise ConcernError(
            f"{folder} is open to all users of this machine, and holds raw bodies; "
            f"chmod -R o= {folder}"
        )
    space = shutil.disk_usage(there)
    found = f"{bytes_text(space.free)} free of {bytes_text(space.total)} for {folder}"
    if space.free < max(LITTLE_BYTES, LITTLE_SHARE * space.total):
        raise ConcernError(f"{found}; make room, or move it")
    return found


def _store(root: str) -> str:
    if failure := bucket_failure(root):
        raise UnavailableError(failure)
    return f"{root} answers"


def _access(settings: Settings) -> str:
    mode, file = settings.auth.mode, settings.token_file
    if mode == "off":
        return '"off": this machine only, and nobody shows who they are'
    if mode == "proxy":
        trusted_proxy(settings)
    provider(settings)
    if file.exists():
        read_token(file)
    if clear := settings.in_the_clear:
        raise ConcernError(f"{' and '.join(clear)}: {IN_THE_CLEAR}")
    return f'"{mode}": who asks shows a token; own token in {file}'


def _database(settings: Settings) -> str:
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():  # Opening it would make it.
        raise UnavailableError(f"{file}: not there yet; driftline migrate")
    with using_database(settings.database_url, read_only=True) as engine:
        with engine.connect() as connection:
            revision, known = stored_revision(connection), known_revisions()
        shown = engine.url.render_as_string(hide_password=True)
    if revision != known[0]:
        is_unknown = revision is not None and revision not in known
        mend = "install the version that made it" if is_unknown else "driftline migrate"
        raise UnavailableError(f"{shown}: schema {revision or 'empty'}, not {known[0]}; {mend}")
    return f"{shown}, schema {revision}"


def _monitors(settings: Settings, now: datetime) -> str:
    with (
        using_database(settings.database_url, read_only=True) as engine,
        engine.connect() as connection,
    ):
        states = list_states(connection)
        known, late = len(states), overdue(connection, now, states)
    if late:
        first = min(late, key=lambda one: one.due_at)
        why = f": {first.failure}".replace("; ", ", ") if first.failure else ""
        raise UnavailableError(
            f"{len(late)} of {known} overdue, {first.monitor} since {first.due_at:%Y-%m-%d %H:%M}"
            f"{why}; see that the scheduler runs: driftline up --only scheduler"
        )
    return f"{known} declared, none overdue"


def _server(settings: Settings) -> str:
    found = _ask(f"{settings.server_url}/readyz", settings)
    with Client(settings.server_url, settings=lambda: settings) as client:
        require_same(client, settings)
    return found


def _ask(url: str, settings: Settings) -> str:
    try:
        verify = trusted_certificates(url, settings.ca_file)
        answer = httpx.get(url, timeout=ANSWER_WITHIN_S, follow_redirects=False, verify=verify)
    except httpx.HTTPError as error:
        raise ConcernError(f"{url} does not answer ({error}); driftline up") from error
    is_json = answer.headers.get("content-type", "") == "application/json"
    if answer.status_code >= 500 or (is_json and len(answer.json()) > 1):
        said = answer.text[:200].replace("; ", ", ")
        raise UnavailableError(f"{url}: {answer.status_code} {said}; see its log")
    return f"{url} answers"


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of all."""
    order: tuple[Verdict, ...] = ("ok", "warning", "defect")
    return max((one.verdict for one in findings), key=order.index, default="ok")
