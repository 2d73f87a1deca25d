"""An alarm against a real Alertmanager: fires, is told again, is resolved, is refused.

The contract (API v2) is tested in tests/alerts/notify/receivers/test_alertmanager.py; this shows
that the program of the distribution (apt: prometheus-alertmanager), found on the PATH, keeps to it,
too.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import Engine, select

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from driftline.alerts import tables  # noqa: E402 - found by the above.
from driftline.alerts.evaluation.evaluator import Evaluator  # noqa: E402
from driftline.alerts.notify.deliverer import Deliverer  # noqa: E402
from driftline.alerts.notify.receivers.alertmanager import RESEND_S  # noqa: E402
from tests.alerts.conftest import Clock, House  # noqa: E402
from tests.servers import postgres  # noqa: E402

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CONFIG = "route:\n  receiver: none\nreceivers:\n  - name: none\n"
ALARMS = 200
LOOPBACK = ("127.0.0.0/8",)


def main() -> int:
    if PROGRAM is None:
        print("no Alertmanager on the PATH; apt-get install prometheus-alertmanager")
        return 3
    asked = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True)
    version = (asked.stdout + asked.stderr).split()[2]
    print("# Alarms in a real Alertmanager\n")
    print(f"`bench/alertmanager.py` with Alertmanager {version}.\n")
    print("| | |\n|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        with alertmanager(Path(folder)) as url:
            told = life_of_an_alarm(house(Path(folder), "one"), url)
            told += what_is_refused(house(Path(folder), "refused"), url)
        with alertmanager(Path(folder)) as url:
            told += many(house(Path(folder), "many"), url)
    for what, seen in told:
        print(f"| {what} | {seen} |")
    return 0


def life_of_an_alarm(home: House, url: str) -> list[tuple[str, object]]:
    clock = home.clock
    clock.advance(seconds=-2 * RESEND_S)  # So that the end, too, lies behind the program's now.
    home.channel("am", url, type="alertmanager", secret=None, options={"labels": {"a": "b"}})
    home.alarm(alarm_actions=("am",), ok_actions=("am",), severity="ticket")
    home.put(1)
    evaluate(home)
    sender = deliverer(home)
    expect(sender.step(), 1)
    (first,) = known(url)
    expect(first["status"]["state"], "active")
    labels = {key: first["labels"].get(key) for key in ("alertname", "endpoint", "severity", "a")}
    expect(labels, {"alertname": "drift", "endpoint": "flights", "severity": "ticket", "a": "b"})
    expect(datetime.fromisoformat(first["startsAt"]), clock())

    clock.advance(seconds=RESEND_S)
    expect(sender.resend(), 1)
    (again,) = known(url)
    expect([again[key] for key in ("fingerprint", "startsAt")],
           [first[key] for key in ("fingerprint", "startsAt")])  # fmt: skip
    expect(again["endsAt"] > first["endsAt"], True)

    home.put(0, day=1)
    evaluate(home)
    expect(sender.step(), 1)
    expect(known(url), [])
    clock.advance(seconds=RESEND_S)
    expect(sender.resend(), 0)
    return [
        ("an alarm in ALARM", "active, with its labels and onset"),
        ("told again after a minute", "the same alert, a later end"),
        ("an alarm in OK", "gone"),
        ("after that", "told no more"),
    ]


def what_is_refused(home: House, url: str) -> list[tuple[str, object]]:
    home.channel("am", f"{url}/nowhere/api/v2/alerts", type="alertmanager", secret=None)
    home.alarm(alarm_actions=("am",))
    home.put(1)
    evaluate(home)
    deliverer(home).step()
    with home.engine.begin() as connection:
        (row,) = connection.execute(select(tables.outbox)).all()
    expect((row.status, row.last_status), ("pending", 404))
    return [("a path that it does not know", "404, tried again")]


def many(home: House, url: str) -> list[tuple[str, object]]:
    """Report on many alarms, and of all of them again."""
    home.clock.advance(seconds=-2 * RESEND_S)
    home.channel("am", url, type="alertmanager", secret=None, options={"rate_limit_per_minute": 0})
    for number in range(ALARMS):
        home.alarm(f"alarm {number}", alarm_actions=("am",))
    home.put(1)
    evaluate(home)
    sender = deliverer(home)
    while sender.step():
        pass
    expect(len(known(url)), ALARMS)
    before = {one["fingerprint"]: one["endsAt"] for one in known(url)}
    home.clock.advance(seconds=RESEND_S)
    expect(sender.resend(), ALARMS)
    after = {one["fingerprint"]: one["endsAt"] for one in known(url)}
    expect(after.keys(), before.keys())
    expect(all(after[key] > before[key] for key in before), True)
    return [(f"{ALARMS} alarms told again", "all of them, with later ends")]


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"found {found!r}; expected {wanted!r}")


def house(folder: Path, name: str) -> House:
    (folder / name).mkdir()
    engine: Engine = postgres.open_url(postgres.new_sqlite(folder / name))
    return House(engine, Clock())


def evaluate(home: House) -> None:
    Evaluator(home.engine, now=home.clock, dashboard_url="http://127.0.0.1:8081").step()


def deliverer(home: House) -> Deliverer:
    return Deliverer(home.engine, now=home.clock, allow_networks=LOOPBACK)


def known(url: str) -> list[dict]:
    """What the Alertmanager holds as firing."""
    return httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """Run an Alertmanager of its own and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(CONFIG)
    url = f"http://127.0.0.1:{port}"
    with (folder / f"log-{port}").open("w") as log:
        process = subprocess.Popen(
            [
                PROGRAM, f"--config.file={folder}/config.yml", f"--storage.path={folder}/{port}",
                f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while True:
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
                break
            except OSError:
                expect(process.poll(), None)
                expect(datetime.now(UTC) < deadline, True)
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
