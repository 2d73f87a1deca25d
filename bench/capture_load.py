"""What the benches of capture send: records of 1 KiB with twenty features, in CSV or JSON."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

from driftline.capture.spool.frame import pack_meta
from driftline.capture.spool.writer import SpoolWriter
from driftline.signature import Column, Signature

__all__ = ["FORMS", "SIGNATURE", "fill", "requests"]

FORMS = ("text/csv", "application/json")
BODY_BYTES = 1024
_NUMBERS, _TEXTS = 14, 6
_DIFFERENT = 20_000  # All of a commit: what repeats as a whole would pack too well.
NAMES = [f"f{number}" for number in range(_NUMBERS + _TEXTS)]
SIGNATURE = Signature(
    tuple(
        Column(name, f"feature_{name}", "double" if number < _NUMBERS else "string")
        for number, name in enumerate(NAMES)
    ),
    (
        Column("prediction", "prediction", "int64", "prediction"),
        Column("probability", "probability", "double", "probability"),
    ),
)


def requests(form: str, seed: int = 1) -> list[tuple[bytes, bytes]]:
    """Make requests with their answers, each request of 1 KiB: doubles in full, texts to fill."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghij klmnop", k=400)) for _ in range(200)]
    found = []
    for _ in range(_DIFFERENT):
        numbers = [chance.gauss(0, 100) for _ in range(_NUMBERS)]
        texts = [chance.choice(words) for _ in range(_TEXTS)]
        probability = chance.random()
        frame_of = _csv if form == "text/csv" else _json
        room = BODY_BYTES - len(frame_of(numbers, [""] * _TEXTS))
        cut = [text[: room // _TEXTS] for text in texts]
        request = frame_of(numbers, cut)
        answer = [int(probability > 0.5), probability]
        response = (
            b"%d,%r" % (answer[0], answer[1])
            if form == "text/csv"
            else json.dumps({"predictions": [answer]}).encode()
        )
        found.append((request, response))
    return found


def _csv(numbers: list[float], texts: list[str]) -> bytes:
    return ",".join([*map(repr, numbers), *texts]).encode()


def _json(numbers: list[float], texts: list[str]) -> bytes:
    row = dict(zip(NAMES, [*numbers, *texts], strict=True))
    return json.dumps({"instances": [row]}).encode()


def metas(form: str, seed: int = 1) -> Iterator[bytes]:
    """Make what the tap tells of each request; only the id differs."""
    chance = random.Random(seed)
    told = {
        "endpoint": "flights", "variant": "AllTraffic", "model": "flights-1", "rate": "1.0",
        "request_content_type": form, "response_content_type": form,
    }  # fmt: skip
    packed = pack_meta(told) + b"\0event_id\0"
    while True:
        yield packed + str(uuid.UUID(int=chance.getrandbits(128), version=4)).encode()


def fill(folder: Path, form: str, count: int, *, seed: int = 1) -> None:
    """Write records as a server does, all of one spool."""
    writer = SpoolWriter(folder, max_bytes=1 << 40)
    pairs, told = requests(form), metas(form, seed)
    for number in range(count):
        request, response = pairs[number % len(pairs)]
        assert writer.append(
            next(told), [request], [response], wall_ns=1_700_000_000_000_000_000 + number * 1_000,
            first_byte_us=800, total_us=900, request_bytes=len(request),
            response_bytes=len(response), status=200,
        )  # fmt: skip
    writer.close()
