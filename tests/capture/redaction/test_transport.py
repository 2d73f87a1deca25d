"""Records on their way from the spool to the table, past rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.frame import Frame
from driftline.capture.spool.writer import SpoolWriter


class _Exhausted:
    """Has no memory the first time."""

    def __init__(self) -> None:
        self.calls = 0

    def covers(self, endpoint: str) -> bool:
        return True

    def suspects(self, contents: pa.BinaryArray, is_packed: np.ndarray) -> np.ndarray:
        return np.zeros(len(contents), np.bool_)

    def frames(self, frames: list[Frame]) -> list[Frame]:
        self.calls += 1
        if self.calls == 2:
            raise MemoryError
        return frames


def test_what_was_read_is_not_lost_when_redaction_breaks_off(tmp_path: Path) -> None:
    for _ in range(2):
        writer = SpoolWriter(tmp_path)
        assert writer.append({"endpoint": "flights"}, [b"x"])
        writer.close()
    transport = LocalTransport(tmp_path, redactor=_Exhausted())

    with pytest.raises(MemoryError):
        transport.receive(100)
    found = transport.receive(100)

    assert [len(delivery) for delivery in found] == [1, 1]
    assert transport.receive(100) == []
    transport.close()
