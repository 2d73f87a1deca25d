"""Kills a whole installation over Kafka sixty times and counts what became of each answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.journeys.kills import rehearse  # noqa: E402 - found by the line above.
from tests.servers.kafka import KafkaBroker  # noqa: E402

KILLS = 60


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    libs = subprocess.run([ROOT / "scripts/kafka"], check=True, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        (folder / "kills").mkdir()
        broker = KafkaBroker(folder / "broker", Path(libs.stdout.strip()))
        broker.start()
        try:
            found = rehearse(
                folder / "kills",
                broker,
                seed=seed,
                kills=KILLS,
                say=lambda line: print(line, file=sys.stderr),
            )
        finally:
            broker.stop()
    lost = found.answered - set(found.stored)
    print("# Kills\n")
    print(f"`bench/kills.py {seed}`: {KILLS} kills in {found.seconds:.0f} s.\n")
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


if __name__ == "__main__":
    main()
