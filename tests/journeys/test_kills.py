"""Random kills of every process of an installation over Kafka: every answer is stored once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.kills import VICTIMS, rehearse
from tests.kit.services import KafkaBroker

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

SEED = 20


def test_every_answer_is_stored_exactly_once_after_kills_of_every_process(
    kafka_broker: KafkaBroker,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> None:
    folder: Path = tmp_path_factory.mktemp("kills")
    say = print  # Shown when it fails: with the seed the same kills come again.
    say(f"seed {SEED}")
    # Each process once at least.
    kills = 40 if pytestconfig.getoption("full") else len(VICTIMS)

    found = rehearse(folder, kafka_broker, seed=SEED, kills=kills, say=say)

    lost = found.answered - set(found.stored)
    say(f"{found.kills}, {found.statuses}, {found.seconds:.0f} s")
    assert set(found.kills) == set(VICTIMS)
    assert found.statuses[200] > 100
    assert len(lost) <= found.counted
    assert len(found.stored) == len(set(found.stored))
    assert found.spools_left <= 1
    assert found.audited["adds_up"], found.audited
    assert found.audited["in_flight"] == 0, found.audited
    assert found.audited["stored"] == len(found.stored)
    assert found.audited["numbers"] == found.audited["stored"] + found.audited["gaps"]
