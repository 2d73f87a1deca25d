"""Kills evaluators and notifiers while a receiver flaps; counts what became of each change."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.journeys.alarm_kills import ALARMS, Outcome, rehearse  # noqa: E402 - found by the above.
from tests.servers import postgres  # noqa: E402

KILLS, SEED = 200, 6
LISTS = {
    "wrong_history": "changes missing in the history, or there twice",
    "not_delivered": "changes not delivered",
    "told_twice": "changes under two ids",
    "repeated_after_success": "repeated after a 2xx was recorded",
    "overtaken": "told before an older change of the alarm",
}


def main() -> None:
    kills, seed = (int(word) for word in (sys.argv[1:] or (KILLS, SEED)))
    print("# Kills of evaluators and notifiers\n")
    print(
        f"`bench/alarm_kills.py {kills} {seed}`: two evaluators and two notifiers, {ALARMS} alarms "
        "that change with each\nround, a channel that is told each change and one that groups, and "
        "a receiver that takes half of what\nit gets.\n"
    )
    logs = {}
    for name, url in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
        order: list[str] = []

        def say(line: str, order: list[str] = order) -> None:
            print(line, file=sys.stderr)
            order.append(line.split(": ")[1])

        with tempfile.TemporaryDirectory() as folder, url(Path(folder)) as address:
            found = rehearse(Path(folder), address, kills=kills, seed=seed, say=say)
        show(name, found)
        logs[name] = order
    for name, order in logs.items():
        print(f"\nIn order, on {name}:\n")
        told = ", ".join(f"{number} {victim}" for number, victim in enumerate(order, 1))
        print(textwrap.fill(told, 100) + ".")


def show(name: str, found: Outcome) -> None:
    print(f"## {name}\n")
    print(f"{sum(found.kills.values())} kills in {found.seconds:.0f} s.\n")
    print("| | |\n|---|---:|")
    for victim, count in sorted(found.kills.items()):
        print(f"| kills of {victim} | {count} |")
    print(f"| changes of state in the history | {found.changes} |")
    for status, count in sorted(found.statuses.items()):
        print(f"| messages, {status} | {count} |")
    for manner, count in sorted(found.requests.items()):
        print(f"| requests answered by: {manner} | {count} |")
    print(f"| repeats of what was not taken | {found.repeated_untaken} |")
    print(f"| repeats of what was taken, the sender killed before it was marked | "
          f"{found.repeated_unmarked} |")  # fmt: skip
    print(f"| signatures that do not verify | {found.unverified} |")
    for key, words in LISTS.items():
        print(f"| **{words}** | **{len(getattr(found, key))}** |")
    print()
    for key in LISTS:
        for line in getattr(found, key)[:10]:
            print(f"- {key}: {line}")


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield postgres.new_sqlite(folder)


@contextmanager
def postgresql(_folder: Path) -> Iterator[str]:
    with postgres.running() as server:
        yield server.url(server.new_database())


if __name__ == "__main__":
    main()
