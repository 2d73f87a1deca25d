"""Evaluators and notifiers, killed again and again while a receiver flaps.

Nothing here is a test: the journey and the benchmark run the same rehearsal, at two lengths. Each
part is a process of its own that runs the loop that ``driftline alarms`` runs, forked from a server
that has imported everything, so that a kill hits work and not imports.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, func, select

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.notification_maintenance import NotificationMaintenance
from tests.journeys.alarm_receiver import SECRET, Receiver
from tests.servers.postgres import open_url

__all__ = ["Outcome", "rehearse"]

ALARMS = 8
DAY = datetime(2013, 1, 1, tzinfo=UTC)
PERIOD_S = 60
POLL_S = 0.05
LEASE_S = 20.0  # Longer than the 15 s that a request may take.
DELAYS_S = (0.0,) + (0.3,) * 200
PATIENCE_S = 300.0
PARTS = ("evaluator-1", "notifier-1", "evaluator-2", "notifier-2")


@dataclass
class Outcome:
    """What a rehearsal ended with; every list is empty when all is as promised."""

    kills: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    repeated_untaken: int = 0
    repeated_unmarked: int = 0
    wrong_history: list[str] = field(default_factory=list)
    not_delivered: list[str] = field(default_factory=list)
    told_twice: list[str] = field(default_factory=list)
    repeated_after_success: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    unverified: int = 0
    seconds: float = 0.0


def run_part(part: str, url: str) -> None:
    """Run one loop until killed."""
    _end_with_parent()
    engine = open_url(url)
    stop = threading.Event()
    if part.startswith("evaluator"):
        Evaluator(engine, now=_now, poll_s=POLL_S).run(stop)
        return
    policy = NotificationMaintenance(engine, now=_now, poll_s=POLL_S)
    threading.Thread(target=policy.run, args=(stop,), daemon=True).start()
    deliverer = Deliverer(
        engine,
        now=_now,
        allow_networks=["127.0.0.0/8"],
        poll_s=POLL_S,
        delays_s=DELAYS_S,
        lease_s=LEASE_S,
    )
    deliverer.run(stop)


def run_receiver(log: str, port: mp.Queue[int], calm: mp.synchronize.Event, seed: int) -> None:
    """Take messages until killed."""
    _end_with_parent()
    receiver = Receiver(Path(log), calm, seed)
    port.put(receiver.server_port)
    receiver.serve_forever()


def rehearse(
    folder: Path, url: str, *, kills: int, seed: int, say: Callable[[str], None]
) -> Outcome:
    """Have alarms change, kill whoever judges and tells, let all settle, and look at it."""
    began = time.monotonic()
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    chance = random.Random(seed)
    log, calm, port = folder / "requests.jsonl", context.Event(), context.Queue()
    log.touch()
    receiver = context.Process(target=run_receiver, args=(str(log), port, calm, seed), daemon=True)
    receiver.start()
    engine = open_url(url)
    parts: dict[str, mp.process.BaseProcess] = {}

    def start(part: str) -> None:
        parts[part] = context.Process(target=run_part, args=(part, url), daemon=True)
        parts[part].start()

    found = Outcome()
    try:
        _declare(engine, port.get(timeout=60))
        for part in PARTS:
            start(part)
        rounds = 0
        for number in range(1, kills + 1):
            _put_round(engine, rounds)
            rounds += 1
            # Work goes on between kills, however slow the machine is: what never gets anywhere
            # shows nothing.
            _wait_until(5.0, partial(_is_changed, engine, (rounds - 2) * ALARMS))
            # One that dies with all messages leased keeps the receiver idle for as long.
            _wait_until(30.0, lambda: len(log.read_bytes().splitlines()) >= ALARMS)
            time.sleep(chance.uniform(0.05, 0.6))  # At any moment of the work: that is the point.
            victim = chance.choice(PARTS)
            parts[victim].kill()
            parts[victim].join()
            start(victim)
            found.kills[victim] += 1
            say(f"kill {number}/{kills}: {victim}")
        calm.set()
        _settle(engine, rounds)
    finally:
        for part in (*parts.values(), receiver):
            part.kill()
            part.join()
    _judge(engine, log, rounds, found)
    engine.dispose()
    found.seconds = time.monotonic() - began
    return found


def _end_with_parent() -> None:
    """Leave nothing behind when the rehearsal itself is killed."""
    parent = mp.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _now() -> datetime:
    return datetime.now(UTC)


def _declare(engine: Engine, port: int) -> None:
    """Two channels: one that is told each change, and one that groups."""
    now = _now()
    with engine.begin() as connection:
        for name, options in (
            ("each", {"rate_limit_per_minute": 0}),
            ("group", {"group_by": ["endpoint"], "group_wait_s": 0.5, "group_interval_s": 1.0}),
        ):
            url = f"http://127.0.0.1:{port}/{name}"
            put_channel(connection, Channel(name, url, SECRET, options=options), now)
        for number in range(ALARMS):
            definition = AlarmDefinition(
                alarm_name=f"alarm-{number}",
                namespace="Driftline",
                metric_name=f"metric-{number}",
                dimensions={"Endpoint": "flights"},
                period=PERIOD_S,
                evaluation_periods=1,
                threshold=0.5,
                comparison_operator="GreaterThanThreshold",
                treat_missing_data="ignore",
                alarm_actions=("each", "group"),
                ok_actions=("each", "group"),
            )
            put_alarm(connection, definition, now)


def _put_round(engine: Engine, number: int) -> None:
    """Put the next period of every metric: each of them changes its alarm's state."""
    points = [
        Datapoint(
            "Driftline",
            f"metric-{alarm}",
            {"Endpoint": "flights"},
            DAY + timedelta(seconds=PERIOD_S * number),
            value=float(number % 2 == 0),
            period_s=PERIOD_S,
        )
        for alarm in range(ALARMS)
    ]
    with engine.begin() as connection:
        metrics.put(connection, points, source=f"round:{number}")


def _wait_until(patience_s: float, is_so: Callable[[], bool]) -> None:
    """Wait until something is so, for some seconds at most."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end and not is_so():
        threading.Event().wait(0.02)


def _is_changed(engine: Engine, count: int) -> bool:
    is_change = tables.history.c.type == "StateUpdate"
    query = select(func.count()).select_from(tables.history).where(is_change)
    with engine.connect() as connection:
        return (connection.scalar(query) or 0) >= count


def _settle(engine: Engine, rounds: int) -> None:
    """Wait until every change is found and nothing is open any more."""
    is_open = tables.outbox.c.status.in_(("pending", "delivering", "waiting"))

    def is_settled() -> bool:
        # First the changes: their messages come with them.
        if not _is_changed(engine, rounds * ALARMS):
            return False
        with engine.connect() as connection:
            query = select(tables.outbox.c.id).where(is_open).limit(1)
            return connection.execute(query).first() is None

    _wait_until(PATIENCE_S, is_settled)


def _judge(engine: Engine, log: Path, rounds: int, found: Outcome) -> None:
    """Compare history, outbox and the receiver's book."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found.requests = Counter(line["manner"] for line in lines)
    found.unverified = sum(not line["genuine"] for line in lines)
    requests: dict[str, list[dict[str, object]]] = {}
    for line in lines:
        requests.setdefault(line["id"], []).append(line)
    with engine.connect() as connection:
        history = connection.execute(
            # Without an order PostgreSQL gives what was written last where there was room.
            select(tables.history)
            .where(tables.history.c.type == "StateUpdate")
            .order_by(tables.history.c.id)
        ).all()
        rows = connection.execute(
            select(tables.outbox).order_by(tables.outbox.c.alarm_id, tables.outbox.c.state_seq)
        ).all()
    found.changes = len(history)
    found.statuses = Counter(f"{row.channel}: {row.kind} {row.status}" for row in rows)
    _judge_history(history, rounds, found)
    by_id = {row.id: row for row in rows}
    told: Counter[tuple[str, int]] = Counter()
    for row in rows:
        own = requests.get(row.id, [])
        if row.status == "delivered":
            if not any(one["manner"] in ("ok", "slow", "late") for one in own):
                found.not_delivered.append(f"{row.id}: marked, never taken")
            late = [one for one in own if one["at"] > row.finished_at.timestamp()]
            found.repeated_after_success += [f"{row.id}: again {one['manner']}" for one in late]
        elif row.status == "grouped":
            if by_id[row.carrier_id].status != "delivered":
                found.not_delivered.append(f"{row.id}: carrier not delivered")
        elif not (row.status == "superseded" and row.reason and row.channel == "group"):
            found.not_delivered.append(f"{row.id}: {row.status}, {row.last_error}")
        if row.kind == "change":
            told[row.channel, row.alarm_id, row.state_seq] += 1
        taken = [one for one in own if one["manner"] in ("ok", "slow", "late")]
        found.repeated_untaken += max(0, len(own) - max(1, len(taken)))
        # The sender died, or gave up waiting, after the receiver had said yes.
        found.repeated_unmarked += max(0, len(taken) - 1)
    found.told_twice = [f"{key}: {count}" for key, count in told.items() if count > 1]
    missing = set(requests) - set(by_id)
    found.wrong_history += [f"{one}: told, and nowhere in the outbox" for one in missing]
    for row in rows:
        if row.channel == "each" and row.kind == "change":
            # Every change of each alarm has a row of its own here.
            told["each", row.alarm_id] += 1
    for alarm in {row.alarm_id for row in rows if row.kind == "change"}:
        if told["each", alarm] != rounds:
            found.not_delivered.append(f"alarm {alarm}: {told['each', alarm]} of {rounds} messages")
    found.overtaken = _overtaken(lines)


def _judge_history(history: list[object], rounds: int, found: Outcome) -> None:
    seqs: dict[str, list[int]] = {}
    for item in history:
        seqs.setdefault(item.alarm_name, []).append(item.data["seq"])
    for number in range(ALARMS):
        own = seqs.get(f"alarm-{number}", [])
        if own != list(range(1, rounds + 1)):
            extra = [seq for seq, count in Counter(own).items() if count > 1]
            missing = sorted(set(range(1, rounds + 1)) - set(own))
            found.wrong_history.append(
                f"alarm-{number}: {len(own)} changes, twice {extra}, missing {missing}"
            )


def _overtaken(lines: list[dict[str, object]]) -> list[str]:
    """Name messages that came before an older one of their alarm had been taken."""
    found: list[str] = []
    newest: Counter[str] = Counter()
    for line in lines:
        if line["type"] != "alarm.state_changed" or line["path"] != "/each":
            continue
        alarm, seq = str(line["alarm"]), int(str(line["seq"]))
        # Repeats of the newest are no overtaking; what is newer must be the very next.
        if seq > newest[alarm] + 1:
            found.append(f"{alarm}: {seq} after {newest[alarm]}")
        newest[alarm] = max(newest[alarm], seq)
    return found
