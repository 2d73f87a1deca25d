"""Data in a bucket: every form, folders and patterns, as on a disk."""

from __future__ import annotations

import gzip
import io
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.errors import UnavailableError
from driftline.formats import opening
from driftline.formats.location import locate
from driftline.formats.source import Files, open_source
from tests.servers.s3 import S3Server

ROWS = {"a": [1, 2, 3], "c": ["Köln", "y", "z"]}


def contents() -> dict[str, bytes]:
    table = pa.table(ROWS)
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    return {
        "x.csv": b"a,c\n1,K\xc3\xb6ln\n2,y\n3,z\n",
        "latin.csv": "a;c\n1;Köln\n2;y\n3;z\n".encode("latin-1"),
        "x.csv.gz": gzip.compress(b"a,c\n1,K\xc3\xb6ln\n2,y\n3,z\n"),
        "x.jsonl": '{"a":1,"c":"Köln"}\n{"a":2,"c":"y"}\n{"a":3,"c":"z"}\n'.encode(),
        "x.parquet": parquet.getvalue(),
        "x.arrow": arrow.getvalue(),
    }


@pytest.mark.parametrize("name", contents())
@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
def test_files_of_every_form_are_read_from_a_bucket(
    s3_root: str, monkeypatch: pytest.MonkeyPatch, name: str, is_big: bool
) -> None:
    uri = f"{s3_root}/{PurePosixPath(name)}"
    locate(uri).write(contents()[name])
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)

    found = open_source(Files(uri, encoding="latin-1") if name == "latin.csv" else uri)

    assert pa.Table.from_batches(found.batches(), found.schema).to_pydict() == ROWS


def test_a_storage_that_does_not_answer_is_not_the_users_fault(
    s3_server: S3Server, s3_root: str
) -> None:
    uri = f"{s3_root}/x.csv"
    locate(uri).write(contents()["x.csv"])
    s3_server.kill()

    with pytest.raises(UnavailableError):
        open_source(uri)
