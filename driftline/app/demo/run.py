"""``driftline demo``: from real flights to a page on a pager, on the embedded default.

Nothing here is special but the clock, which is replayed: the installation is the one that
``driftline up`` starts, and the demo talks to it over HTTP as any client would.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import signal
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from pyarrow import parquet
from rich.console import Console

from driftline.app.client.client import Client
from driftline.app.demo import bug, flights, model, resources, telling
from driftline.app.demo.home import Home
from driftline.app.demo.installation import Installation
from driftline.app.demo.labels import LabelFeed
from driftline.app.demo.pace import ClockFile, Pace
from driftline.app.demo.receiver import Receiver
from driftline.app.demo.reconcile import Run, Traffic, reconcile, show
from driftline.app.demo.replay import Replay
from driftline.app.demo.settle import Ending, settle
from driftline.app.progress import progress
from driftline.app.settings.settings import Settings, load
from driftline.app.up import Supervisor, start
from driftline.database.engine import using_database
from driftline.errors import InputError

READY_WITHIN_S = 60.0
SECRET_BYTES = 32


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
    # That a process is ready is told by the stages.
    logging.getLogger("driftline.app.up").setLevel(logging.WARNING)
    stages = _Stages(Console(stderr=True, highlight=False))
    end = flights.year_end(datetime.now(UTC))
    with _ending_on_terminate(), Home(folder) as home:
        settings = _settings(home)
        clock = ClockFile(home.clock_file, end - timedelta(days=days))
        supervisor = start(
            home.settings_file, log_folder=home.log_folder, transport=settings.capture.transport
        )

        def at_end() -> None:
            clock.go_on(datetime.now(UTC))
            if stay:
                _stay(stages.console, settings, supervisor, browser=browser)

        try:
            traffic = _prepare(home, end, clock.time, stages)
            supervisor.wait_ready(READY_WITHIN_S)
            stages.done(f"installation ready: server {settings.server_url}")
            agrees = _play(home, settings, clock, traffic, supervisor, stages, at_end)
        finally:
            supervisor.stop()
        if not stay:
            # In one piece, to be copied.
            how = telling.look_on(home.settings_file, settings.dashboard_url)
            stages.console.print(how, soft_wrap=True)
    return 0 if agrees else 3


def _prepare(home: Home, end: datetime, start_of_replay: datetime, stages: _Stages) -> Traffic:
    """Make the traffic, with the fault in it, and the model that it is sent to."""
    year = flights.load(end)
    planted = bug.plant(year.between(start_of_replay, end), year.shift)
    requests = flights.requests_of(planted.table)
    stages.done(f"{planted.table.num_rows:,} flights read, {len(requests):,} requests made of them")
    telling.tell(stages.console, telling.fault(year.shift, start_of_replay))
    trained = model.train(year.reference())
    model.save(trained.estimator, home.model_file)
    parquet.write_table(trained.reference, home.reference_file)
    stages.done(f"model trained on the {trained.reference.num_rows:,} flights of the first quarter")
    faulty = [day for day in bug.bug_days(year.shift) if start_of_replay <= day]
    return Traffic(start_of_replay, end, requests, planted, faulty)


def _play(
    home: Home,
    settings: Settings,
    clock: ClockFile,
    traffic: Traffic,
    supervisor: Supervisor,
    stages: _Stages,
    at_end: Callable[[], None],
) -> bool:
    """Declare, send, wait and compare; then do what is left while the pager still listens."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    with (
        Receiver(secret, lambda page: telling.show_page(stages.console, page)) as receiver,
        Installation(settings.server_url, settings=lambda: settings) as installation,
    ):
        declared = _declare(home, installation, traffic, receiver.url, secret)
        stages.done(f"resources applied: {home.resources_file}")
        ending, labels = _replay(traffic, settings, clock, installation, supervisor, stages.console)
        stages.done("requests answered")
        run = Run(
            Path(settings.root), traffic, declared, ending.replay, labels, receiver, installation
        )
        agrees = _account(run, ending, settings, supervisor, stages)
        at_end()
    return agrees


def _replay(
    traffic: Traffic,
    settings: Settings,
    clock: ClockFile,
    installation: Installation,
    supervisor: Supervisor,
    console: Console,
) -> tuple[Ending, LabelFeed]:
    """Send everything, while labels and clock follow what is stored."""
    start, end = traffic.start, traffic.end
    replay = Replay(
        settings.server_url,
        resources.ENDPOINT,
        traffic.requests,
        start=start,
        headers=installation.shown,
    )
    labels = LabelFeed(
        installation, resources.ENDPOINT, traffic.planted.table, traffic.requests, start
    )
    cadences = resources.cadences(start, end)
    pace = Pace(start, clock, cadences, installation.judged_until, labels)

    def meanwhile() -> None:
        supervisor.check()
        sent = len(replay.ledger.answers)
        pace.follow(lambda: replay.whole_days(installation.stored_requests(sent)), replay.event_ids)

    with progress("replaying", unit="requests", console=console) as advance:
        replay.run(advance, meanwhile)
    return Ending(replay, pace, installation, cadences, end), labels


def _account(
    run: Run, ending: Ending, settings: Settings, supervisor: Supervisor, stages: _Stages
) -> bool:
    """Wait for the end of everything, compare all accounts, and say whether they agree."""
    with progress("judging", unit="days", console=stages.console) as advance:
        unfinished = settle(ending, supervisor.check, advance)
    for one in unfinished:
        stages.console.print(f"unfinished: {one}")
    stages.done("windows judged, alarms evaluated, messages delivered")
    with using_database(settings.database_url, read_only=True) as engine:
        checks = reconcile(run, engine)
    stages.done("accounts compared")
    show(checks, Console(highlight=False))
    agrees = all(check.agrees for check in checks)
    if about := telling.missing_weather(run.traffic.planted.table, run.traffic.end):
        telling.tell(stages.console, about)
    stages.total("everything adds up" if agrees else "the accounts do NOT agree")
    return agrees


class _Stages:
    """The stages of a run, each printed with the time that it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began_s = self._last_s = time.monotonic()

    def done(self, what: str) -> None:
        """Print a stage that is done."""
        now = time.monotonic()
        self.console.print(f"{now - self._last_s:6.1f} s  {what}", soft_wrap=True)
        self._last_s = now

    def total(self, what: str) -> None:
        """Print the result of the run."""
        self.console.print(f"{time.monotonic() - self._began_s:6.1f} s  {what}", soft_wrap=True)


def _settings(home: Home) -> Settings:
    home.write_settings()  # The ports are those that the environment asks for.
    # A DRIFTLINE_STORAGE__ROOT left in somebody's shell would send the flights into a real store.
    for name in [name for name in os.environ if name.startswith("DRIFTLINE_")]:
        del os.environ[name]
    return load(home.settings_file, environment={})


def _declare(
    home: Home, client: Client, traffic: Traffic, receiver_url: str, secret: str
) -> list[dict[str, Any]]:
    """Write the resources to a file and apply the file, as a user would."""
    declared = resources.declare(
        model_file=home.model_file,
        reference_file=home.reference_file,
        start=traffic.start,
        end=traffic.end,
        receiver_url=receiver_url,
        secret=secret,
    )
    resources.write(declared, home.resources_file)
    client.apply(resources.read(home.resources_file))
    return declared


def _stay(console: Console, settings: Settings, supervisor: Supervisor, *, browser: bool) -> None:
    """Keep the installation running until Ctrl-C."""
    console.print(f"dashboard {settings.dashboard_url}  (Ctrl-C ends the demo)", soft_wrap=True)
    if browser:
        webbrowser.open(settings.dashboard_url)
    stop = threading.Event()
    with _on_signals((signal.SIGINT, signal.SIGTERM), lambda *_: stop.set()):
        supervisor.watch(stop)


@contextmanager
def _ending_on_terminate() -> Iterator[None]:
    """Let a polite kill end the demo as Ctrl-C does, so that no process stays behind."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _on_signals((signal.SIGTERM,), end):
        yield


@contextmanager
def _on_signals(
    numbers: tuple[signal.Signals, ...], act: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    before = {number: signal.signal(number, act) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
