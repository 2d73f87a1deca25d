"""Batches that were logged in parts before their endpoint was declared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import driftline as dl
from driftline.capture.audit.audit import audit
from driftline.capture.line.sink import Sink
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.redecoding import decode_again
from tests.capture.tap.test_logger_batches import ROWS, SIGNATURE, frame, made, stored

__all__ = ["frame"]


def test_every_part_of_a_batch_that_came_before_the_signature_is_decoded(
    root: str, spool_dir: Path, drain: Callable[..., Sink], frame: object
) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir)
    log(frame, np.arange(ROWS), inference_id="batch-7")
    drain(None)
    parts = stored(root).num_rows

    found = decode_again(Dataset(root, "flights"), SIGNATURE)

    assert (found.decoded, found.rows, found.left) == (parts, ROWS, 0)
    rows = stored(root)
    assert rows["row_index"].to_pylist() == list(range(ROWS))
    assert rows["prediction"].to_pylist() == list(range(ROWS))
    assert rows["feature_a"].to_pylist() == made(ROWS)["a"].to_list()
    assert sum(size is not None for size in rows["request_bytes"].to_pylist()) == parts
    assert audit(root, now=lambda: datetime.now(UTC), spool_dir=spool_dir).adds_up
