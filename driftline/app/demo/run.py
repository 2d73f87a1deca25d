"""``driftline demo``: from real flights to a page on a pager, on the embedded default.

Only the clock is special, which is replayed: ``driftline up`` starts the installation, and the demo
talks to it over HTTP as any client would.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import shlex
import signal
import threading
import time
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from pyarrow import parquet
from rich.console import Console

from driftline.app.client.client import Client
from driftline.app.demo import bug, flights, model, resources
from driftline.app.demo.home import ClockFile, Home
from driftline.app.demo.receiver import Pager
from driftline.app.demo.reconcile import Run, reconcile, show
from driftline.app.demo.replay import Replay, Traffic
from driftline.app.progress import progress
from driftline.app.settings.settings import Settings, load
from driftline.app.up import Supervisor, start
from driftline.errors import InputError

READY_WITHIN_S = 60.0


def run_demo(
    *,
    days: int = flights.USUAL_DAYS,
    browser: bool = True,
    stay: bool = True,
    folder: Path | None = None,
) -> int:
    """Replay the last days of a year of flights, and say whether everything adds up."""
    if not 1 <= days <= flights.YEAR_DAYS:
        raise InputError(f"--days {days}; expected 1 to {flights.YEAR_DAYS}")
    # That a process is ready is said below.
    logging.getLogger("driftline.app.up").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _interrupt)  # A polite kill ends it as Ctrl-C does.
    console = Console(stderr=True, highlight=False)
    end = flights.year_end(datetime.now(UTC))
    with Home(folder) as home:
        home.write_settings()
        # A DRIFTLINE_STORAGE__ROOT left in somebody's shell would send the flights elsewhere.
        for name in [name for name in os.environ if name.startswith("DRIFTLINE_")]:
            del os.environ[name]
        os.environ["DRIFTLINE_POLL_S"] = "0.05"
        settings = load(home.settings_file, environment={})
        clock = ClockFile(home.clock_file, end - timedelta(days=days))
        supervisor = start(home.settings_file, log_folder=home.folder / "logs")
        try:
            agrees = _play(home, settings, clock, supervisor, console, end)
            if stay:
                _stay(console, settings, supervisor, browser=browser)
        finally:
            supervisor.stop()
    if not stay:
        command = f"driftline up -c {shlex.quote(str(home.settings_file))}"
        console.print(f"look on: {command}, then {settings.dashboard_url}", soft_wrap=True)
    return 0 if agrees else 3


def _play(
    home: Home,
    settings: Settings,
    clock: ClockFile,
    supervisor: Supervisor,
    console: Console,
    end: datetime,
) -> bool:
    """Train, declare, send, wait and compare."""
    began_s = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began_s:6.1f} s  {text}", soft_wrap=True)

    begin = clock.time
    year = flights.load(end)
    planted = bug.plant(year.between(begin, end), year.shift)
    cadences = resources.cadences(begin, end)
    traffic = Traffic(begin, end, flights.requests_of(planted.table), planted, cadences)
    say(f"{planted.table.num_rows:,} flights read, {len(traffic.requests):,} requests made of them")
    say(bug.told(year.shift, begin))
    trained, model_file = model.train(year.reference()), home.folder / "flights.skops"
    reference_file = home.folder / "reference.parquet"
    model.save(trained.estimator, model_file)
    parquet.write_table(trained.reference, reference_file)
    say(f"model trained on the {trained.reference.num_rows:,} flights of the first quarter")
    supervisor.wait_ready(READY_WITHIN_S)
    say(f"installation ready: server {settings.server_url}")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with (
        Pager(secret, lambda page: console.print(page, soft_wrap=True, markup=False)) as pager,
        Client(settings.server_url, settings=lambda: settings) as client,
    ):
        declared = resources.declare(
            model=model_file, reference=reference_file, start=begin, end=end, pager_url=pager.url,
            secret=secret,
        )  # fmt: skip
        resources.write(declared, home.folder / "resources.yaml")
        client.apply(declared)
        say(f"resources applied: {home.folder / 'resources.yaml'}")
        replay = Replay(client, clock, traffic, supervisor.check)
        with progress("replaying", unit="days", console=console) as advance:
            replay.run(advance)
        say("requests answered, windows judged, alarms evaluated, messages delivered")
        checks = reconcile(Run(Path(settings.root), traffic, declared, replay, pager, client))
    agrees = show(checks, Console(highlight=False))
    say("everything adds up" if agrees else "the accounts do NOT agree")
    clock.go_on(datetime.now(UTC))
    return agrees


def _stay(console: Console, settings: Settings, supervisor: Supervisor, *, browser: bool) -> None:
    """Keep the installation running until Ctrl-C."""
    console.print(f"dashboard {settings.dashboard_url}  (Ctrl-C ends the demo)", soft_wrap=True)
    if browser:
        webbrowser.open(settings.dashboard_url)
    try:
        supervisor.watch(threading.Event())
    except KeyboardInterrupt:
        return


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
