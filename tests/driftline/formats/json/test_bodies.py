"""Bodies of JSON are read out of a larger buffer, of which no more is copied than they are."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pyarrow as pa

from driftline.formats.body_columns import Reading, Wanted
from driftline.formats.json.bodies import read_json
from driftline.formats.shapes.requests import RequestRows
from driftline.signature import Column, Signature

SIGNATURE = Signature(features=(Column("a", "feature_a", "double"),), outputs=())


def test_of_a_part_of_many_bodies_no_more_is_copied_than_the_part() -> None:
    texts = [json.dumps({"a": 0, "pad": "x" * 100_000}), '{"a": 12345678901234567890}', '{"a": 2}']
    whole = pa.array([text.encode() for text in [*texts[:1] * 80, *texts[1:], *texts[:1]]])
    reading = Reading(SIGNATURE.inputs, [None, None])
    wanted = Wanted(reading, RequestRows(SIGNATURE))

    tracemalloc.start()
    read_json(wanted, np.arange(2), whole.slice(80, 2))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    (found,) = reading.result().columns
    assert found.values.to_pylist() == [float("12345678901234567890"), 2.0]
    assert most_bytes < 1_000_000
