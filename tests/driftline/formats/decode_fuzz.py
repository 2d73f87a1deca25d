"""Decodes mutated bodies of every form; run as a program: ``decode_fuzz.py COUNT SEED``."""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import sys

import numpy as np
import pyarrow as pa

from driftline.capture.spool.frame import Flag, Frame, Kind
from driftline.capture.spool.records import Records
from driftline.capture.tables.decoding import decode
from driftline.signature import Column, Signature

SPOOL = "01890a5d-ac96-774b-bcce-b302099a8057"
SIGNATURE = Signature(
    (
        Column("temp", "feature_temp", "double"),
        Column("count", "feature_count", "int64"),
        Column("carrier", "feature_carrier", "string"),
        Column("wet", "feature_wet", "bool"),
        Column("when", "feature_when", "timestamp"),
    ),
    (
        Column("prediction", "prediction", "string", role="prediction"),
        Column("p", "probability", "double", role="probability"),
    ),
)
ROW = [1.5, 2, "UA", True, "2013-01-15T10:00:00Z"]
NAMES = [column.name for column in SIGNATURE.features]
ODD = [b"\0", b"\xff", b'"', b",", b"\n", b"\r", b"[", b"{", b"}", b"null", b"1e999", b"NaN", b"-",
       b"9" * 30, b"\\u", b"\xef\xbb\xbf", b"\x93NUMPY", b"PAR1", b"\xff\xff\xff\x7f"]  # fmt: skip
BATCH = 50


def corpus() -> list[tuple[str, str, bytes]]:
    """Return good bodies of every form: content type, encoding, bytes."""
    text = b"1.5,2,UA,true,2013-01-15\n2.5,3,AA,false,\n"
    rows = [ROW, ROW]
    tensors = [{"name": "x", "shape": [2, 5], "datatype": "FP32", "data": rows}]
    documents = [
        {"instances": rows},
        dict(zip(NAMES, ROW, strict=True)),
        {"dataframe_split": {"columns": NAMES, "data": rows}},
        {"inputs": tensors},
        {"predictions": [{"prediction": "a", "p": 0.5}]},
    ]
    array = io.BytesIO()
    np.save(array, np.arange(10.0).reshape(2, 5))
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    return [
        ("text/csv", "", text),
        ("text/csv", "", b'"1.5",2,"U,A",true,\r\n' * 3),
        ("text/csv", "gzip", gzip.compress(text)),
        ("text/csv", "zstd", pa.Codec("zstd").compress(text, asbytes=True)),
        ("text/csv", "br", pa.Codec("brotli").compress(text, asbytes=True)),
        ("application/jsonlines", "", lines),
        ("application/x-npy", "", array.getvalue()),
        *(("application/json", "", json.dumps(document).encode()) for document in documents),
    ]


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Change a body here and there: bytes, pieces, its end."""
    found = bytearray(body)
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(found) + 1)
        what = chance.randrange(5)
        if what == 0 and at < len(found):
            found[at] = chance.randrange(256)
        elif what == 1:
            found[at:at] = chance.choice(ODD)
        elif what == 2:
            del found[at : at + chance.randint(1, 9)]
        elif what == 3:
            found[at:at] = found[at : at + chance.randint(1, 40)] * chance.randint(1, 30)
        elif what == 4 and chance.random() < 0.3:
            del found[at:]
    return bytes(found)


def frame_of(kind: str, encoding: str, body: bytes, head: int) -> Frame:
    """Return a record that sends and answers the body."""
    meta = {
        f"{side}_{name}": value
        for side in ("request", "response")
        for name, value in (("content_type", kind), ("encoding", encoding))
    }
    if head:
        meta["request_inference_header_length"] = str(head)
    size = len(body)
    return Frame(Kind.RECORD, 0, 1, 0, 0, 0, 0, size, size, 200, meta, body, body)


def main() -> None:
    """Decode so many bodies and write down what became of them."""
    count, seed = map(int, sys.argv[1:])
    chance = random.Random(seed)
    good = corpus()
    decode(Records.of((SPOOL, frame_of(*each, 0)) for each in good), SIGNATURE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = 0
    for start in range(0, count, BATCH):
        frames = []
        for _ in range(min(BATCH, count - start)):
            kind, encoding, body = chance.choice(good)
            kind = chance.choice((kind, kind, kind, "", "text/csv", "application/json"))
            head = chance.randint(1, len(body)) if chance.random() < 0.05 else 0
            frames.append(frame_of(kind, encoding, mutated(body, chance), head))
        found = decode(Records.of((SPOOL, frame) for frame in frames), SIGNATURE)
        for column in found.columns.values():
            column.validate(full=True)
            assert len(column) == found.row_counts.sum() == len(found.unfit)
        read += int(((found.flags & Flag.REQUEST_UNPARSED) == 0).sum())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    told = {"bodies": count, "read": read, "refused": count - read, "grown_mib": grown}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
