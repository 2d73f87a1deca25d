"""Two processes that evaluate and notify, killed again and again while a receiver flaps.

Nothing here is a test: the journey and the benchmark run the same rehearsal, at two lengths.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

import driftline as dl
from tests.kit.installation import Installation
from tests.kit.receiver import Message, Receiver
from tests.kit.resources import resource
from tests.kit.waiting import wait

__all__ = ["ALARMS", "Outcome", "rehearse"]

ALARMS = 8
PATIENCE_S = 180.0
# What the first attempt of a message meets; the next one, five seconds later, is taken.
MANNERS = {204: 60, 500: 25, 503: 15}


@dataclass
class Outcome:
    """What a rehearsal ended with; every list is empty when all is as promised."""

    kills: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    wrong_history: list[str] = field(default_factory=list)
    not_delivered: list[str] = field(default_factory=list)
    told_twice: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    unverified: int = 0
    seconds: float = 0.0


class Flapping:
    """Answers by chance; may let the first request of all wait longer than senders do."""

    def __init__(self, chance: random.Random, *, hangs: bool) -> None:
        self.answered: list[tuple[Message, int]] = []
        self._chance, self._lock, self._seen = chance, threading.Lock(), set[str]()
        self._hangs = hangs

    def __call__(self, message: Message) -> int:
        with self._lock:
            is_first = message.id not in self._seen
            hangs, self._hangs = self._hangs, False
            (drawn,) = self._chance.choices([*MANNERS], [*MANNERS.values()])
            status = drawn if is_first else 204
            self._seen.add(message.id)
        if hangs:
            threading.Event().wait(18.0)
            status = 500
        with self._lock:
            self.answered.append((message, status))
        return status


def rehearse(
    folder: Path, database: str, *, kills: int, seed: int, hangs: bool, say: Callable[[str], None]
) -> Outcome:
    """Have alarms change, kill whoever evaluates and notifies, and look at what came of it.

    ``database`` is the text of [database] in the settings; empty: SQLite. ``hangs`` says whether
    the receiver lets the first request wait.
    """
    began, chance, found = time.monotonic(), random.Random(seed), Outcome()
    flapping = Flapping(chance, hangs=hangs)
    shared = database or f'[database]\nurl = "sqlite:///{folder / "shared.db"}"'
    shared += f'\n[notify]\nsecrets_key = "{Fernet.generate_key().decode()}"'
    with ExitStack() as running:
        receiver = running.enter_context(Receiver(flapping))
        parts = [
            running.enter_context(
                Installation(folder / name, shared, words=("--only", roles), is_forked=True)
            )
            for name, roles in (("first", "server,alarms"), ("second", "alarms,dashboard"))
        ]
        first = parts[0]
        declare(first, receiver)
        for number in range(kills):
            state = ("ALARM", "OK")[number % 2]
            put(first, state)
            # At any moment of the work: that is the point.
            time.sleep(chance.uniform(0.05, 0.6))
            victim = chance.choice(wait(lambda: alive(parts), within_s=PATIENCE_S))
            victim.kill("background")
            found.kills[victim.folder.name] += 1
            say(f"kill {number + 1}/{kills}: {victim.folder.name}")
            wait(lambda state=state: are_all(first, state), within_s=PATIENCE_S, every_s=1.0)
            wait(lambda number=number: is_told(flapping, number + 1), within_s=PATIENCE_S)
        judge(first, receiver, flapping, kills, found)
    found.seconds = time.monotonic() - began
    return found


def alive(parts: list[Installation]) -> list[Installation]:
    """Return those whose process has been started again since its last kill."""
    return [part for part in parts if "background" in part.processes().values()]


def declare(first: Installation, receiver: Receiver) -> None:
    first.apply(
        receiver.channel("each"),
        *(
            resource(
                "Alarm", f"alarm-{number}", namespace="Shop", metric_name=f"metric-{number}",
                statistic="Maximum", period=10, evaluation_periods=1, threshold=0.5,
                comparison_operator="GreaterThanThreshold", treat_missing_data="ignore",
                alarm_actions=["each"], ok_actions=["each"],
            )
            for number in range(ALARMS)
        ),
    )  # fmt: skip


def put(first: Installation, state: str) -> None:
    """Put values that bring all alarms into this state, as of now."""
    value = float(state == "ALARM")
    data = [
        {"MetricName": f"metric-{number}", "Value": value, "StorageResolution": 1}
        for number in range(ALARMS)
    ]
    with dl.Client(first.url) as client:
        client.put_metrics("Shop", data)


def are_all(first: Installation, state: str) -> bool:
    """Whether all alarms are in a state; values go on coming until they are."""
    items = first.get("/api/v1/alarm-states")["items"]
    if {one["state_value"] for one in items} == {state}:
        return True
    put(first, state)
    return False


def is_told(flapping: Flapping, rounds: int) -> bool:
    """Whether this round's change of each alarm has been taken."""
    taken = {(m.alarm, m.data["seq"]) for m, status in [*flapping.answered] if status == 204}
    return {(f"alarm-{number}", rounds) for number in range(ALARMS)} <= taken


def judge(
    first: Installation, receiver: Receiver, flapping: Flapping, rounds: int, found: Outcome
) -> None:
    """Compare the history with what the receiver got."""
    found.unverified = sum(not message.is_genuine for message in receiver.attempts)
    found.answers = Counter(status for _, status in flapping.answered)
    ids: dict[tuple[str, int], set[str]] = {}
    newest: Counter[str] = Counter()
    for message in receiver.attempts:
        seq = int(message.data["seq"])
        ids.setdefault((message.alarm, seq), set()).add(message.id)
        # Repeats of the newest are no overtaking; what is newer must be the very next.
        if seq > newest[message.alarm] + 1:
            found.overtaken.append(f"{message.alarm}: {seq} after {newest[message.alarm]}")
        newest[message.alarm] = max(newest[message.alarm], seq)
    found.told_twice = [f"{key}: {sorted(names)}" for key, names in ids.items() if len(names) > 1]
    wait(lambda: not first.get("/api/v1/deliveries?status=sending")["items"])
    undelivered = ("pending", "sending", "failed", "superseded")
    found.not_delivered = [
        f"{one['id']}: {status}"
        for status in undelivered
        for one in first.get(f"/api/v1/deliveries?status={status}")["items"]
    ]
    for number in range(ALARMS):
        history = first.get(f"/api/v1/alarms/alarm-{number}/history?type=StateUpdate&limit=1000")
        seqs = sorted(int(item["data"]["seq"]) for item in history["items"])
        found.changes += len(seqs)
        if seqs != list(range(1, rounds + 1)):
            found.wrong_history.append(f"alarm-{number}: {seqs}")
