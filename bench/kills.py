"""Kills a whole installation over Kafka again and again; counts what became of each answer."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.journeys.kills import rehearse  # noqa: E402 - found by the line above.
from tests.servers.kafka import KafkaBroker, kafka_jars  # noqa: E402

KILLS, SEED = 500, 4


def main() -> None:
    kills, seed = (int(word) for word in (sys.argv[1:] or (KILLS, SEED)))
    order: list[str] = []

    def say(line: str) -> None:
        print(line, file=sys.stderr)
        order.append(line.split(": ")[1])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        (folder / "kills").mkdir()
        broker = KafkaBroker(folder / "broker", kafka_jars())
        broker.start()
        try:
            found = rehearse(folder / "kills", broker, seed=seed, kills=kills, say=say)
        finally:
            broker.stop()
    lost = found.answered - set(found.stored)
    print("# Kills\n")
    print(f"`bench/kills.py {kills} {seed}`: {kills} kills in {found.seconds:.0f} s.\n")
    print("| | |\n|---|---:|")
    for victim, count in sorted(found.kills.items()):
        print(f"| kills of the {victim} | {count} |")
    for status, count in sorted(found.statuses.items()):
        print(f"| answers with {status} | {count} |")
    print(f"| stored requests | {len(found.stored)} |")
    print(f"| stored twice | {len(found.stored) - len(set(found.stored))} |")
    print(f"| answered, not stored | {len(lost)} |")
    print(f"| of these counted as gaps | {found.counted} |")
    print(f"| spools left behind | {found.spools_left} |")
    print("\nIn order (the spool left behind is that of the server that still runs):\n")
    told = ", ".join(f"{number} {victim}" for number, victim in enumerate(order, 1))
    print(textwrap.fill(told, 100) + ".")


if __name__ == "__main__":
    main()
