"""docs/kafka.md and docs/capture.md: a stranger can read the topic, the flags and a signature."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from driftline.capture.spool.writer import SpoolWriter
from tests.capture.conftest import record
from tests.capture.line.kafka_tools import options, ship_all
from tests.servers.kafka import KafkaBroker

DOCS = Path(__file__).parents[3] / "docs"
KAFKA, CAPTURE = ((DOCS / name).read_text() for name in ("kafka.md", "capture.md"))


@pytest.mark.kafka
def test_the_program_in_the_document_decodes_a_message_of_a_real_broker(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", KAFKA, flags=re.DOTALL)
    (tmp_path / "read_topic.py").write_text(code)
    found = options(kafka_broker.bootstrap, f"t{uuid.uuid4().hex}")
    with closing(SpoolWriter(tmp_path / "spool")) as writer:
        record(writer, b"1.5,3,UA", event_id="e1")
        writer.count_drop("full", "flights")
        record(writer, b"2.5,4,AA", b"0,0.125", event_id="e2")
    ship_all(found, tmp_path / "spool")

    said = subprocess.run(
        [sys.executable, "read_topic.py", kafka_broker.bootstrap, found.topic],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    ).stdout.splitlines()  # fmt: skip

    heads, bodies = said[::2], said[1::2]
    assert [line.split()[0] for line in heads] == ["1", "2", "1"]
    assert [line.split()[2] for line in heads] == ["1", "2", "3"]
    assert "'event_id': 'e1'" in heads[0]
    assert "'reason': 'full'" in heads[1]
    assert bodies == ["b'1.5,3,UA' b'1,0.25'", "b'' b''", "b'2.5,4,AA' b'0,0.125'"]
    assert len(code.splitlines()) <= 22
