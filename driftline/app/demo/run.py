"""``driftline demo``: an installation by ``driftline up``, whose clock alone is replayed."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import webbrowser
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import skops.io
import yaml
from pyarrow import parquet
from rich.console import Console

from driftline.app.client.client import Client
from driftline.app.demo import flights, model
from driftline.app.demo.receiver import Pager
from driftline.app.demo.reconcile import reconcile, table_of
from driftline.app.demo.replay import LABELLED_AFTER, WEEK, Replay
from driftline.app.progress import progress
from driftline.app.up import SupervisorProcess
from driftline.capture.spool.folder import lock_file, replace_file
from driftline.errors import ConflictError, InputError
from driftline.settings.settings import Settings, load

MARKER = ".driftline-demo"
# The replayed year began more than the usual 90 days ago. The pager listens on this machine.
SETTINGS = """\
# Written by "driftline demo". Look on with: driftline up -c driftline.toml
[server]
port = {server}
[dashboard]
port = {dashboard}
[storage]
root = "store"
[capture]
commit_interval_s = 0.5
retention_days = 400
[scheduler]
clock = {clock}
[notify]
allow_networks = ["127.0.0.0/8"]
"""


def run_demo(
    *, days: int, browser: bool, stay: bool, folder: Path, played: int | None = None
) -> int:
    """Replay the last days of a year of flights, or so many of these; 3 if it does not add up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ends it as Ctrl-C does.
    console = Console(stderr=True, highlight=False)
    folder, year_end = folder.resolve(), flights.year_end(datetime.now(UTC))
    begin = year_end - timedelta(days=days)
    end = begin + timedelta(days=played or days)
    make_folder(folder)
    settings_file = write_settings(folder)
    # A DRIFTLINE_STORAGE__ROOT left in somebody's shell would send the flights elsewhere.
    for name in [name for name in os.environ if name.startswith("DRIFTLINE_")]:
        del os.environ[name]
    os.environ["DRIFTLINE_POLL_S"] = "0.5"
    settings = load(settings_file, environment={})
    _write_clock(folder / "clock", begin)
    supervisor = SupervisorProcess(settings_file, folder / "driftline.log")
    try:
        agrees = _play(folder, settings, supervisor, console, begin, end, year_end)
        if stay:
            console.print(f"dashboard {settings.dashboard_url}  (Ctrl-C ends the demo)")
            if browser:
                webbrowser.open(settings.dashboard_url)
            with suppress(KeyboardInterrupt):
                supervisor.wait()
    finally:
        supervisor.stop()
    console.print(f"look on: driftline up -c {shlex.quote(str(settings_file))}", soft_wrap=True)
    return 0 if agrees else 3


def _play(
    folder: Path,
    settings: Settings,
    supervisor: SupervisorProcess,
    console: Console,
    begin: datetime,
    end: datetime,
    year_end: datetime,
) -> bool:
    say = partial(console.print, soft_wrap=True, markup=False)
    year = flights.load(year_end)
    traffic = year.filter(flights.is_between(year, begin, end))
    faulty_days = [day for day in flights.bug_days(year_end) if begin <= day < end]
    table, faulty = flights.plant(traffic, year_end)
    estimator, reference = model.train(flights.reference(year, year_end))
    files = {"model": folder / "flights.skops", "reference": folder / "reference.parquet"}
    skops.io.dump(estimator, files["model"])
    parquet.write_table(reference, files["reference"])
    say(f"model trained on the {reference.num_rows:,} flights of the first quarter")
    supervisor.wait_ready()
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with (
        Pager(secret, say) as pager,
        Client(settings.server_url, settings=lambda: settings) as client,
    ):
        declared = declare(**files, start=begin, end=end, pager_url=pager.url, secret=secret)
        client.apply(declared)
        say(f"{len(declared)} resources applied")
        replay = Replay(
            client, Path(settings.root), begin, end, table,
            set_clock=partial(_write_clock, folder / "clock"), check=supervisor.check,
        )  # fmt: skip
        days = [f"{day:%d %B}" for day in faulty_days]
        say(f"replaying {table.num_rows:,} flights as {len(replay.requests):,} requests")
        say(f"planted: EWR sends Celsius, and 9E comes as EDV, on {', '.join(days) or 'no day'}")
        with progress("replaying", unit="days", console=console) as advance:
            replay.run(advance)
        checks = reconcile(Path(settings.root), replay, faulty_days, faulty, declared, pager)
    Console(highlight=False).print(table_of(checks), markup=False, soft_wrap=True)
    agrees = all(one.expected == one.found for one in checks)
    say("everything adds up" if agrees else "the accounts do NOT agree")
    return agrees


def declare(
    *, model: Path, reference: Path, start: datetime, end: datetime, pager_url: str, secret: str
) -> list[dict[str, Any]]:
    """Return the demo's resources, ready to be applied all or nothing."""
    values = {
        "model": str(model), "reference": str(reference), "pager_url": pager_url, "secret": secret,
        "day": start.isoformat(), "week": (end - (end - start) // WEEK * WEEK).isoformat(),
        "labelled_after_s": LABELLED_AFTER.total_seconds(),
    }  # fmt: skip
    text = Template(Path(__file__).with_name("resources.yaml").read_text(encoding="utf-8"))
    # What JSON writes is YAML, too.
    written = {name: json.dumps(value) for name, value in values.items()}
    found: list[dict[str, Any]] = yaml.safe_load(
        text.substitute(written, weekday=f"{end:%a}".upper())
    )
    return found


def make_folder(folder: Path) -> int:
    """Empty a demo's folder, and no other one; return what locks it while this process lives."""
    try:
        if folder.exists() and not (folder / MARKER).is_file() and any(folder.iterdir()):
            raise ConflictError(
                f"{folder} is not empty and not a demo's folder (it has no {MARKER}); nothing was "
                "changed; choose another with --folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_file(folder / MARKER)
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()
    except BlockingIOError:
        raise ConflictError(
            f"{folder}: a demo is running here; end it first, or choose another with --folder"
        ) from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be used ({error.strerror})") from error
    return lock


def write_settings(folder: Path) -> Path:
    """Write the settings of the demo's installation; all others keep their defaults."""
    file, clock = folder / "driftline.toml", json.dumps(f"file:{folder / 'clock'}")
    text = SETTINGS.format(clock=clock, server=_port("SERVER"), dashboard=_port("DASHBOARD"))
    file.write_text(text, encoding="utf-8")
    return file


def _port(section: str) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return os.environ.get(f"DRIFTLINE_{section}__PORT", str(listener.getsockname()[1]))


def _write_clock(file: Path, time: datetime) -> None:
    replace_file(file, time.isoformat().encode())
