"""The sink as a member of its group: it stays one, whatever happens to the topic."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient

from driftline.capture.line.kafka import KafkaTransport
from tests.capture.line.kafka_tools import options, wait_until
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("room", [0, pytest.param(100, marks=pytest.mark.full)])
def test_a_sink_takes_new_partitions_and_waits_calmly(
    kafka_broker: KafkaBroker, tmp_path: Path, room: int
) -> None:
    found = options(kafka_broker.bootstrap, f"group-{uuid4().hex}", partitions=2)
    stop, pause = threading.Event(), threading.Event()
    with closing(KafkaTransport(found, tmp_path, stop)) as transport:

        def partitions() -> int:
            transport.receive(room)
            pause.wait(0.05)
            assert transport._consumer is not None
            return len(transport._consumer.assignment())

        wait_until(lambda: partitions() == 2)
        with closing(KafkaAdminClient(**found.configured())) as admin:
            admin.create_partitions({found.topic: 5})
        assert transport._consumer is not None
        transport._consumer._client.cluster.request_update()
        wait_until(lambda: partitions() == 5)

        # Beyond the session's timeout: whoever shows no sign of life is out of the group by then.
        end_s, began_s = time.monotonic() + 2 * found.session_timeout_ms / 1000, time.process_time()
        while time.monotonic() < end_s:
            assert partitions() == 5
        spent_s = time.process_time() - began_s
        assert spent_s < 0.15 * 2 * found.session_timeout_ms / 1000
        assert transport._consumer._coordinator.heartbeat.last_receive > end_s - 4
