"""Kills what evaluates and notifies while a receiver flaps; counts what became of each change."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.journeys.alarm_kills import ALARMS, rehearse  # noqa: E402 - found by the above.
from tests.kit.services import on_postgres  # noqa: E402
from tests.servers import postgres  # noqa: E402

KILLS, SEED = 200, 6
LISTS = {
    "wrong_history": "alarms with changes missing in the history, or there twice",
    "not_delivered": "changes not delivered",
    "told_twice": "changes under two ids",
    "overtaken": "told before an older change of the alarm",
}


def main() -> None:
    kills, seed = (int(word) for word in (sys.argv[1:] or (KILLS, SEED)))
    print("# Kills of evaluators and notifiers\n")
    print(
        f"`bench/alarm_kills.py {kills} {seed}`: two processes that evaluate and notify, {ALARMS} "
        "alarms that change with\neach round, and a receiver that refuses two first attempts of "
        "five.\n"
    )
    with postgres.running() as server:
        for name, database in (("SQLite", ""), ("PostgreSQL", on_postgres(server))):
            with tempfile.TemporaryDirectory() as folder:
                found = rehearse(Path(folder), database, kills=kills, seed=seed, say=show)
            print(f"## {name}\n\n{found.kills.total()} kills in {found.seconds:.0f} s.\n")
            print("| | |\n|---|---:|")
            print(f"| changes of state in the history | {found.changes} |")
            for status, count in sorted(found.answers.items()):
                print(f"| requests answered with {status} | {count} |")
            print(f"| requests with a wrong signature | {found.unverified} |")
            for key, about in LISTS.items():
                print(f"| {about} | {len(getattr(found, key))} |")


def show(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
