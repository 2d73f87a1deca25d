"""The fast line, in bulk, and the slow one, frame by frame, come to the same rows and gaps."""

from __future__ import annotations

import gzip
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.capture.line.batch import Batch
from driftline.capture.line.envelope import Envelope, read_envelope
from driftline.capture.line.producer import Producer
from driftline.capture.line.validate import gap_of, valid_records
from driftline.capture.spool.delivery import Delivery, redacted
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Frame, Kind, frame_bytes
from driftline.capture.spool.records import Records
from driftline.capture.tables.rows import build_rows
from tests.capture.conftest import SIGNATURE

SPOOLS = [str(uuid.UUID(int=number)) for number in (7, 8)]
CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
REQUESTS = st.sampled_from([
    b"1.5,3,UA", b"1.5,3,UA\n2,x,DL", b"", b"1,2", b'1,2,"a,b"', b"\xff\xfe,1,2", b"NaN,9e99,",
    b'{"instances":[[1.5,3,"UA"]]}', b'{"temp":1,"Dep Delay":2,"carrier":"x","more":[1]}', b"[]",
    b'{"instances":[{"temp":1},{"carrier":null}]}', b"{", gzip.compress(b"1.5,3,UA"), b"null",
]) | st.binary(max_size=20)  # fmt: skip
RESPONSES = st.sampled_from([
    b"1,0.25", b"1,0.25\n0,0.5", b'{"predictions":[{"prediction":1,"probability":0.25}]}', b"x",
    b"[[1,0.5],[0,0.5]]", b"",
]) | st.binary(max_size=10)  # fmt: skip
METAS = st.fixed_dictionaries(
    {"endpoint": st.sampled_from(["flights"] * 6 + ["other", "../odd", ""])},
    optional={
        "request_content_type": st.sampled_from([CSV, JSON, LINES, "x/y; charset=utf-8"]),
        "response_content_type": st.sampled_from([CSV, JSON, LINES]),
        "request_encoding": st.sampled_from(["gzip", "identity", "br"]),
        "event_id": st.sampled_from(["", "e-1", "é"]),
        "inference_id": st.text("ab\u00e9", max_size=3),
        "variant": st.sampled_from(["AllTraffic", ""]),
        "rate": st.sampled_from(["1.0", "0.5", "nan", "often", ""]),
        "event_time_us": st.sampled_from(["1", " 5 ", "-7", "noon", "9" * 18, "1_0", "\u0663"]),
        "custom_attributes": st.text(
            st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=5
        ),
    },
)
NUMBERS = st.sampled_from([0, 5, 2**31, 2**62]) | st.integers(0, 2**64 - 1)


@st.composite
def runs(draw: st.DrawFn) -> list[Frame]:
    """Draw what a spool holds: records and gaps in sequence."""
    found = []
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        request, response = draw(REQUESTS), draw(RESPONSES)
        is_gap = draw(st.integers(0, 9)) == 0
        meta = {"reason": "full", "records": draw(st.sampled_from(["2", "many"]))}
        found.append(
            Frame(
                Kind.GAP if is_gap else Kind.RECORD, draw(st.sampled_from([0, 1, 2, 4, 32])), seq,
                draw(st.sampled_from([10**18, 0, 2**63 - 1, 2**63])), 0, 0,
                draw(st.integers(0, 2**32 - 1)), draw(NUMBERS), len(response),
                draw(st.sampled_from([200, 200, 200, 0, 404, 65_535])),
                meta if is_gap else draw(METAS), request, response,
            )
        )  # fmt: skip
    return found


class Shelf:
    """A wire that keeps envelopes."""

    max_bytes = 1 << 20

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    def partitions(self) -> int:
        return 1

    def put(self, envelopes: list[Envelope]) -> list[None]:
        self.envelopes += envelopes
        return [None] * len(envelopes)

    def close(self) -> None:
        pass


def carried(spools: dict[str, list[Frame]], folder: Path) -> list[Delivery]:
    """Take frames through segments, envelopes and back."""
    shelf = Shelf()
    sender = Producer(shelf, folder)
    for spool_id, frames in spools.items():
        place = folder / spool_id
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        half = len(frames) // 2 + 1
        for part in (frames[:half], frames[half:]):
            if part:
                segment = place / f"{part[0].seq:016x}.dls"
                segment.write_bytes(b"".join(frame_bytes(spool_id, frame) for frame in part))
        reader = SpoolReader(place)
        while not reader.is_finished:
            found = reader.read_records(5, 600)
            if len(found):
                sender.send([Delivery(spool_id, found)])
    return [Delivery(*read_envelope(one.value, one.headers)) for one in shelf.envelopes]


def in_bulk(deliveries: list[Delivery]) -> tuple[dict[str, pa.Table], list[tuple[str, Frame]]]:
    batch = Batch(deliveries)
    built = {name: build_rows(batch.records(name), SIGNATURE) for name in batch.endpoints}
    assert not any(made.unreadable for made in built.values())
    return {name: made.rows for name, made in built.items()}, batch.gaps


def one_by_one(
    spools: dict[str, list[Frame]],
) -> tuple[dict[str, pa.Table], list[tuple[str, Frame]]]:
    rows: dict[str, list[pa.Table]] = {}
    gaps = []
    for spool_id, frames in spools.items():
        for frame in frames:
            record = Records.of([(spool_id, frame)])
            if not valid_records(record)[0]:
                gaps.append((spool_id, gap_of(frame)))
                continue
            made = build_rows(record, SIGNATURE)
            rows.setdefault(frame.meta["endpoint"], []).append(made.rows)
    return {name: pa.concat_tables(tables) for name, tables in rows.items()}, gaps


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings.default.max_examples // 3,
)
@given(st.tuples(runs(), runs()))
def test_both_ways_give_the_same_rows_and_gaps(
    tmp_path: Path, found: tuple[list[Frame], list[Frame]]
) -> None:
    spools = dict(zip(SPOOLS, found, strict=True))

    rows, gaps = in_bulk(carried(spools, tmp_path))
    expected, expected_gaps = one_by_one(spools)

    assert gaps == expected_gaps
    assert rows.keys() == expected.keys()
    for name, table in expected.items():
        # As text, for NaN is not equal to itself.
        assert str(rows[name].to_pylist()) == str(table.to_pylist())


class Eraser:
    """A redactor that empties what it is to look at."""

    def covers(self, endpoint: str) -> bool:
        return endpoint == "flights"

    def suspects(self, contents: pa.BinaryArray, is_packed: np.ndarray) -> np.ndarray:
        return np.zeros(len(contents), np.bool_)

    def frames(self, frames: list[Frame]) -> list[Frame]:
        assert all(frame.meta["endpoint"] == "flights" for frame in frames)
        return [frame._replace(request=b"", response=b"") for frame in frames]


@given(runs())
def test_redaction_changes_what_has_rules_and_leaves_the_rest_as_it_lies(
    frames: list[Frame],
) -> None:
    given = Delivery.of(SPOOLS[0], frames)

    found = redacted(given, Eraser())

    assert found.frames == [
        frame._replace(request=b"", response=b"")
        if frame.meta.get("endpoint") == "flights"
        else frame
        for frame in frames
    ]
