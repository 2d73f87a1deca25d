"""Looks at an installation and says what is wrong, and the mend.

Each examination answers a question that somebody asks at night: can it store, does the schema fit,
does anything wait, was anything lost, is anybody told. All that one changes is a probe file.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import pyarrow as pa
from sqlalchemy import Engine, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.tokens import is_valid, list_tokens, read_token
from driftline.alerts.alarms.records import list_alarms
from driftline.alerts.notify.channels import sealed_elsewhere
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.tables import outbox
from driftline.app.access import provider, trusted_proxy
from driftline.app.client.connection import tls_failure, trusted_certificates
from driftline.app.installation import another_installation
from driftline.app.processes import kafka_options
from driftline.app.settings.schema import Dashboard, Server
from driftline.app.settings.settings import Settings
from driftline.capture.audit.note import read_note
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.spool.backlog import measure
from driftline.capture.spool.counters import Drop
from driftline.capture.spool.host_counts import unreported
from driftline.capture.spool.quota import kept_free
from driftline.capture.tables.broken_files import broken_files
from driftline.capture.tables.dataset import Gap, read_gaps
from driftline.capture.tables.log_files import damaged_entries, kept_entries, list_tables
from driftline.database.engine import read_connection, sqlite_file, using_database
from driftline.database.migrations import known_revisions, stored_revision
from driftline.database.probe import write_failure
from driftline.errors import DriftlineError, UnavailableError
from driftline.formats.location import locate
from driftline.monitors.definitions import list_definitions
from driftline.monitors.run.overdue import overdue
from driftline.monitors.tables import executions
from driftline.sizes import bytes_text
from driftline.storage import disk_failure, is_remote, use_options

Verdict = Literal["ok", "warning", "defect"]

LITTLE_BYTES = 1 << 30
LITTLE_SHARE = 0.05
# A server keeps a socket for each client and each worker.
FEW_FILES = 1024
MUCH_SHARE = 0.7
LONG_WAIT = timedelta(minutes=5)
RECENT = timedelta(days=7)
DAY = timedelta(days=1)
LONG_VALID = timedelta(days=365)
READ_S = 5.0  # Of the tables' files, the newest first.
LATE_AUDIT = timedelta(hours=3)
ANSWER_WITHIN_S = 3.0
_MAX_SHOWN = 5
# What keeps records from being lost again, by the reason that a gap tells.
MENDS = {
    "full": "see that what stores them runs, or raise [capture] spool_max_bytes",
    "io_error": "make room on the disk of the spool, or repair it",
    "tap_error": "see the log of the server for the fault, and report it",
    "tap_off": "see the log of the server for a hundred faults in a row, then start it anew",
    "misuse": "see the log of the app for what dl.Logger was given that is no row",
    "corrupt": "check the disk of the spool",
    "torn": "nothing: a server was killed while it wrote",
    "power_loss": "nothing: what was answered in the last second before the power failed is lost",
    "removed": "let nobody remove files from the spool",
    "receiver_killed": "nothing: a server was killed while it wrote an event",
    "receiver_damaged": "check the disk of the spool, and let nobody remove files from it",
    "poison": "see the topic of dead letters for who sends what is no letter",
    "retention": "let the topic keep records for longer than a sink may be away",
    "unreadable": "see that all processes are of one version",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""  # Empty when all is well.


def examine(settings: Settings, *, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Examine the machine, the stores and the processes, one finding after the other."""
    yield from _machine(settings)
    use_options(settings.storage.options)
    store = _seen("store", lambda: examine_store(settings.root))
    yield store
    storing = "sidecar,sink" if settings.capture.transport == "kafka" else "capture"
    budget_bytes = settings.capture.spool_max_bytes
    yield _seen("spool", lambda: _spool(settings.spool_dir, budget_bytes, storing))
    if settings.capture.transport == "kafka":
        yield _kafka(kafka_options(settings))
    yield _access(settings)
    yield from _database(settings, now)
    if not is_remote(settings.root):
        yield _seen("tables", lambda: _logs(settings.root))
    yield from _losses(settings, store)
    yield _audit(settings.root, store)
    yield _server(settings, f"server,{storing},scheduler,alarms")
    yield examine_process("dashboard", f"{settings.dashboard_url}/", "dashboard", settings)


def _seen(what: str, look: Callable[[], Finding]) -> Finding:
    """Return what a look finds; a disk that refuses it is a finding, too."""
    try:
        return look()
    except OSError as error:
        found = f"{error.filename}: {error.strerror}"
        return Finding(what, "defect", found, "fix the disk, or let this user read there")


def _machine(settings: Settings) -> Iterator[Finding]:
    for what, folder in _disks(settings).items():
        if failure := disk_failure(folder):
            sentence, _, mend = failure.partition("; ")
            yield Finding(what, "defect", sentence, mend)
            continue
        there = next(one for one in (folder, *folder.parents) if one.exists())
        space = shutil.disk_usage(there)
        found = f"{bytes_text(space.free)} free of {bytes_text(space.total)} at {there}"
        if space.free < max(LITTLE_BYTES, LITTLE_SHARE * space.total):
            yield Finding(what, "warning", found, "make room, or move it")
        else:
            yield Finding(what, "ok", found)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{files:,} files may be open at once"
    if files < FEW_FILES:
        yield Finding("open files", "warning", found, f"raise the limit: ulimit -n {FEW_FILES}")
    else:
        yield Finding("open files", "ok", found)


def _disks(settings: Settings) -> dict[str, Path]:
    """Return the local folders that are written to."""
    disks = {
        "disk of the store": settings.local_dir,
        "disk of the spool": settings.spool_dir,
    }
    if not is_remote(settings.root):
        disks["disk of the store"] = Path(locate(settings.root).path)
        disks["disk of the local files"] = settings.local_dir
    if file := sqlite_file(settings.database_url):
        disks["disk of the database"] = file.absolute().parent
    return disks


def examine_store(root: str) -> Finding:
    """Write a file, read it, remove it."""
    name = f".doctor-{datetime.now(UTC).timestamp():.6f}"
    try:
        probe = locate(root) / name
        probe.write(b"probe")
        is_kept = probe.read() == b"probe"
        probe.system.delete_file(probe.path)
    except (DriftlineError, OSError) as error:
        # Of a bucket the sentence has its mend in it.
        found, _, mend = str(error).replace(f"/{name}", "").partition("; ")
        if not is_remote(root):
            mend = "let this user write there, or set [storage] root"
        return Finding("store", "defect", found, mend)
    if not is_kept:
        return Finding("store", "defect", f"{root} does not keep what is written", "check the disk")
    if not is_remote(root) and Path(locate(root).path).stat().st_mode & 0o007:
        found = f"{root} is open to all users of this machine, and holds raw bodies"
        return Finding("store", "warning", found, f"chmod -R o= {root}")
    return Finding("store", "ok", f"{root} can be written and read")


def _access(settings: Settings) -> Finding:
    """Return who is let in, and what is wrong with the secrets of it."""
    mode, file = settings.auth.mode, settings.token_file
    if mode == "off":
        return Finding("access", "ok", '"off": this machine only, and nobody shows who they are')
    try:
        if mode == "proxy":
            trusted_proxy(settings)
        provider(settings)
        if file.exists():
            read_token(file)
    except DriftlineError as error:
        found, _, mend = str(error).partition("; ")
        return Finding("access", "defect", found, mend or "set it")
    if clear := settings.in_the_clear:
        found = f"tokens for {' and '.join(clear)} travel in the clear"
        mend = "set tls_cert_file, or external_url to the address of a proxy with TLS"
        return Finding("access", "warning", found, mend)
    if nameless := _nameless(settings):
        found = f"[{'] and ['.join(nameless)}] listen for others, who are answered 403 by any name"
        mend = 'set [auth] hosts to the names by which they ask, such as ["drift.example.org"]'
        return Finding("access", "warning", found, mend)
    return Finding("access", "ok", f'"{mode}": who asks shows a token; own token in {file}')


def _nameless(settings: Settings) -> list[str]:
    """Return the listeners on all addresses of which nobody knows a name."""
    both: dict[str, Server | Dashboard] = {
        "server": settings.server, "dashboard": settings.dashboard
    }  # fmt: skip
    return [
        name
        for name, one in both.items()
        if one.host in ("0.0.0.0", "::") and not (settings.auth.hosts or one.external_url)  # noqa: S104
    ]


def _tokens(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Find tokens that were made long ago and never end."""
    if settings.auth.mode == "off":
        return
    now = datetime.now(UTC)
    with read_connection(engine) as connection:
        valid = [
            one for one in list_tokens(connection) if is_valid(one.revoked_at, one.expires_at, now)
        ]
    old = [
        one.name for one in valid if one.expires_at is None and now - one.created_at > LONG_VALID
    ]
    if old:
        shown = ", ".join(old[:_MAX_SHOWN])
        found = f"{len(old)} older than a year never end: {shown}"
        mend = "make new ones with --expires, then: driftline token revoke NAME"
        yield Finding("tokens", "warning", found, mend)
    else:
        yield Finding("tokens", "ok", f"{len(valid)} valid")


def _spool(folder: Path, budget_bytes: int, storing: str) -> Finding:
    """Return how much waits there, and since when; ``storing``: the roles that empty it."""
    volume = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists()))
    if volume.free <= kept_free(volume.total):
        shown = f"{bytes_text(volume.free)} free for {folder}: full, so records are dropped"
        return Finding("spool", "defect", shown, "make room there, or set [capture] spool_dir")
    if not folder.exists():
        return Finding("spool", "ok", f"{folder} is not there yet: nothing was captured")
    found = measure(folder)
    waiting = timedelta(seconds=found.oldest_s)
    shown = f"{bytes_text(found.size_bytes)} of {bytes_text(budget_bytes)} in {folder}"
    if folder.stat().st_mode & 0o077:
        shown = f"{folder} is open to other users, and holds raw bodies"
        return Finding("spool", "defect", shown, f"chmod 700 {folder}")
    if found.size_bytes > budget_bytes * (1 - LITTLE_SHARE):
        return Finding(
            "spool",
            "defect",
            f"{shown}: full, so records are dropped",
            f"start what stores them: driftline up --only {storing}",
        )
    if found.size_bytes > budget_bytes * MUCH_SHARE:
        return Finding(
            "spool",
            "warning",
            f"{shown}: nearly full, and records are dropped then",
            f"see that what stores them runs: driftline up --only {storing}; or raise [capture] "
            "spool_max_bytes",
        )
    if waiting > LONG_WAIT:
        return Finding(
            "spool",
            "warning",
            f"{shown}, the oldest record waits for {_span(waiting)}",
            f"see that what stores them runs: driftline up --only {storing}",
        )
    return Finding("spool", "ok", shown)


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


def _database(settings: Settings, now: Callable[[], datetime]) -> Iterator[Finding]:
    file = settings.local_dir / "driftline.db"
    try:
        if not settings.database.url and not file.exists():
            # Opening it would make it.
            yield Finding("database", "defect", f"{file}: not there yet", "driftline migrate")
            return
        with using_database(settings.database_url, read_only=True) as engine:
            yield from _examine_database(engine, settings, now)
    except (DriftlineError, OSError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        yield Finding("database", "defect", reason, "start it, or correct [database] url")


def _examine_database(
    engine: Engine, settings: Settings, now: Callable[[], datetime]
) -> Iterator[Finding]:
    with engine.connect() as connection:
        revision = stored_revision(connection)
    shown, known = engine.url.render_as_string(hide_password=True), known_revisions()
    if revision != known[0]:
        is_unknown = revision is not None and revision not in known
        yield Finding(
            "database",
            "defect",
            f"{shown}: schema {revision or 'empty'}, not {known[0]}",
            "install the version that made it, or set another [database] url"
            if is_unknown
            else "driftline migrate",
        )
        return
    with using_database(settings.database_url) as writing:  # The other one refuses to write.
        failure = write_failure(writing)
    if failure:
        found, _, mend = failure.partition("; ")
        yield Finding("database", "defect", found, mend)
        return
    yield Finding("database", "ok", f"{shown}, schema {revision}, takes writes")
    try:
        yield from _tokens(engine, settings)
        yield from _messages(engine)
        yield from _channels(engine, settings)
        yield from _monitors(engine, now())
    except UnavailableError as error:
        yield Finding("monitors", "defect", str(error), "write the file, or set [scheduler] clock")
    except SQLAlchemyError as error:
        yield Finding("database", "defect", str(error).splitlines()[0], "see the database's log")


def _channels(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Find channels that this machine cannot send to, though another could."""
    file, key = settings.secrets_key_file, settings.notify.secrets_key
    try:
        # To examine makes nothing: where there is no key yet, no secret can be opened.
        vault = Vault.at(key, file) if key or file.exists() else Vault()
    except DriftlineError as error:
        found, _, mend = str(error).partition("; ")
        yield Finding("channels", "defect", found, mend)
        return
    with read_connection(engine) as connection:
        closed = sealed_elsewhere(connection, vault)
    if closed:
        yield Finding(
            "channels",
            "defect",
            f"{', '.join(closed[:3])}: sealed with another key than this machine's "
            f"({'[notify] secrets_key' if key else file})",
            "give all machines the same [notify] secrets_key, or the key file of the machine where "
            "the channel was declared",
        )


def _monitors(engine: Engine, now: datetime) -> Iterator[Finding]:
    with engine.connect() as connection:
        known, late = len(list_definitions(connection)), overdue(connection, now)
        ahead = connection.execute(
            select(executions.c.monitor, func.count(), func.max(executions.c.window_end))
            .where(executions.c.started_at > now)
            .group_by(executions.c.monitor)
            .order_by(executions.c.monitor)
        ).all()
    if late:
        worst = max(late, key=lambda one: now - one.due_at)
        yield Finding(
            "monitors",
            "defect",
            f"{len(late)} of {known} overdue; {worst.monitor} for {_span(now - worst.due_at)}"
            + (f": {worst.failure}" if worst.failure else ""),
            "see that the scheduler runs: driftline up --only scheduler",
        )
    else:
        yield Finding("monitors", "ok", f"{known} declared, none overdue")
    if ahead:
        name, count, end = ahead[0]
        yield Finding(
            "clock",
            "warning",
            f"{sum(one[1] for one in ahead)} executions began later than now, such as {count} of "
            f"{name} on windows up to {end:%FT%TZ}: a clock was ahead",
            "set the clock of every machine by NTP; the scheduler runs these windows again when "
            "they have ended",
        )


def _messages(engine: Engine) -> Iterator[Finding]:
    """Return how messages fared lately: what was given up long ago is no news."""
    since = datetime.now(UTC) - RECENT
    with engine.connect() as connection:
        by_status = {
            str(status): int(count)
            for status, count in connection.execute(
                select(outbox.c.status, func.count())
                .where(or_(outbox.c.finished_at.is_(None), outbox.c.finished_at >= since))
                .group_by(outbox.c.status)
            )
        }
        alarms = list_alarms(connection)
    silent = [one.name for one in alarms if not one.definition.alarm_actions]
    if by_status.get("dead"):
        yield Finding(
            "messages",
            "defect",
            f"{by_status['dead']} could not be delivered in the last {RECENT.days} days",
            "see the page Alarms for the answers, and fix the channel",
        )
    elif silent:
        yield Finding(
            "messages",
            "warning",
            f'{len(silent)} alarms tell nobody, such as "{silent[0]}"',
            "declare a Channel, and name it in alarm_actions",
        )
    else:
        waiting = sum(by_status.get(one, 0) for one in ("pending", "delivering"))
        yield Finding(
            "messages", "ok", f"{by_status.get('delivered', 0)} delivered, {waiting} waiting"
        )


def _unread(what: str, kept: str, mend: str, error: Exception, store: Finding) -> Finding:
    """Report that something stored cannot be read: seldom its own fault, so keep it."""
    if store.verdict == "defect":
        return Finding(
            what, "defect", f"{kept} cannot be read, nor the store used", "see the store"
        )
    # Of a bucket the sentence has its mend in it.
    found, _, known = str(error).partition("\n")[0].partition("; ")
    return Finding(what, "defect", f"{kept} cannot be read ({found})", known or mend)


def _losses(settings: Settings, store: Finding) -> Iterator[Finding]:
    """Return what was lost lately, by reason, told by gaps or only counted by taps yet."""
    root = settings.root
    since = datetime.now(UTC) - RECENT
    try:
        gaps = [one for one in read_gaps(root) if one.last_time is None or one.last_time >= since]
        gaps += map(_gap_of, unreported(settings.spool_dir))
    except (DriftlineError, OSError, pa.ArrowInvalid) as error:
        mend = f"let this user read {root}/gaps; what is damaged there, bring back from a copy"
        yield _unread("capture", "the table of losses", mend, error, store)
        return
    if not gaps:
        yield Finding("capture", "ok", f"nothing lost in the last {RECENT.days} days")
        return
    reasons = ", ".join(sorted({one.reason for one in gaps}))
    counted = sum(one.records or 0 for one in gaps)
    unknown = sum(one.records is None for one in gaps)
    more = f" and {unknown} gaps of unknown size" if unknown else ""
    today = _by_reason(gaps, since + RECENT - DAY)
    shown = ", ".join(f"{reason} {count:,}" for reason, count in today.items())
    yield Finding(
        "capture",
        "warning",
        f"{counted:,} records{more} lost in the last {RECENT.days} days ({reasons})"
        + (f"; of them in the last day: {shown}" if today else ""),
        next((MENDS[one] for one in today if one in MENDS), "driftline capture stats"),
    )


def _gap_of(drop: Drop) -> Gap:
    """Return the gap that will report what a tap has dropped."""
    first, last = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (drop.first_ns, drop.last_ns))
    lost = drop.records - drop.reported
    return Gap("", 0, drop.endpoint, drop.reason, lost, drop.size_bytes, first, last)


def _logs(root: str) -> Finding:
    """Return what a loss of power, or the disk, has done to tables: to their logs, their files."""
    folder = str(locate(root).path)
    tables = list_tables(folder)
    damaged, kept = (
        [f"{Path(table).relative_to(folder)}/{name}" for table in tables for name in names(table)]
        for names in (damaged_entries, kept_entries)
    )
    if damaged:
        shown = ", ".join(damaged[:_MAX_SHOWN])
        found = f"{len(damaged)} log entries are empty or cut off: {shown}"
        mend = "start what writes to these tables, which replaces them: driftline up"
        return Finding("tables", "defect", found, mend)
    end = time.monotonic() + READ_S
    broken = [
        f"{Path(table).relative_to(folder)}/{name}"
        for table in tables
        for name in broken_files(table, within_s=max(end - time.monotonic(), 0))
    ]
    if broken:
        shown = ", ".join(broken[:_MAX_SHOWN])
        found = f"{len(broken)} files are gone or cannot be read: {shown}"
        mend = (
            "bring them back from a copy; where there is none, delete what is left of them and run "
            "DeltaTable(path).repair() of the package deltalake, which takes them out of the table"
        )
        return Finding("tables", "defect", found, mend)
    if kept:
        shown = ", ".join(kept[:_MAX_SHOWN])
        found = f"{len(kept)} log entries were cut off and replaced: {shown}"
        mend = "see that driftline capture audit adds up, then delete these files"
        return Finding("tables", "warning", found, mend)
    shown = f"{len(tables)}, their files are there, and all entries of their logs are whole"
    return Finding("tables", "ok", shown)


def _by_reason(gaps: Iterable[Gap], since: datetime) -> dict[str, int]:
    """Count records lost since a time, the most frequent reason first."""
    found: Counter[str] = Counter()
    for gap in gaps:
        if gap.last_time is not None and gap.last_time >= since:
            found[gap.reason] += gap.records or 0
    return dict(found.most_common())


def _audit(root: str, store: Finding) -> Finding:
    """Return what the last audit has found."""
    try:
        found = read_note(root)
    except DriftlineError as error:
        return _unread("capture audit", "what it found", f"let this user read {root}", error, store)
    if found is None:
        return Finding(
            "capture audit", "ok", "none was made yet; the scheduler makes one every hour"
        )
    made = datetime.fromisoformat(found["time"])
    age = datetime.now(UTC) - made
    shown = f"{found['numbers']:,} numbers of {found['spools']:,} spools, {_span(age)} ago"
    if not found["adds_up"]:
        what = ", ".join(f"{found[one]:,} {one}" for one in ("missing", "doubled"))
        files = f", {len(found['damaged'])} files gone" if found["damaged"] else ""
        mend = (
            "driftline capture audit --full says which; bring the files back from a copy: what "
            "stays missing counts against coverage"
        )
        return Finding("capture audit", "defect", f"does not add up ({what}{files}): {shown}", mend)
    if age > LATE_AUDIT:
        mend = "see that the scheduler runs: driftline up --only scheduler"
        return Finding("capture audit", "warning", f"adds up: {shown}; no newer one", mend)
    return Finding("capture audit", "ok", f"adds up: {shown}")


def _server(settings: Settings, roles: str) -> Finding:
    found = examine_process("server", f"{settings.server_url}/readyz", roles, settings)
    try:
        other = another_installation(settings) if found.verdict == "ok" else ""
    except DriftlineError as error:
        other = str(error)
    return Finding("server", "defect", other, "set another [server] port") if other else found


def examine_process(name: str, url: str, roles: str, settings: Settings) -> Finding:
    """Ask a process at its address; ``roles`` are those that start it."""
    try:
        verify = trusted_certificates(url, settings.ca_file)
        answer = httpx.get(url, timeout=ANSWER_WITHIN_S, follow_redirects=False, verify=verify)
    except httpx.HTTPError as error:
        if failure := tls_failure(url, error):
            found, _, mend = failure.partition("; ")
            return Finding(name, "defect", found, mend)
        found = f"{url} does not answer ({type(error).__name__})"
        return Finding(name, "warning", found, f"driftline up --only {roles}")
    is_json = answer.headers.get("content-type", "") == "application/json"
    if answer.status_code >= 500 or (is_json and len(answer.json()) > 1):
        found = f"{url}: {answer.status_code} {answer.text[:200]}"
        return Finding(name, "defect", found, "see its log")
    return Finding(name, "ok", f"{url} answers")


def _span(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of all."""
    order: tuple[Verdict, ...] = ("ok", "warning", "defect")
    return max((one.verdict for one in findings), key=order.index, default="ok")
