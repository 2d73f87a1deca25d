"""Erasure over HTTP, by the client and by the command."""

import json
from pathlib import Path

import polars as pl
import pytest

from driftline.app.client.client import Client
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.errors import InputError
from tests.capture.conftest import SIGNATURE, record
from tests.servers.commands import driftline
from tests.sinking import sink_all


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("erasure")) as found:
        yield found


@pytest.fixture(scope="module")
def captured(server):
    """Store ten requests of an endpoint that nobody declared."""
    writer = SpoolWriter(server.context.spool_dir)
    for number in range(10):
        record(writer, event_id=f"e{number}", inference_id=f"i{number}")
    writer.close()
    sink_all(server.root, server.context.spool_dir, lambda _: SIGNATURE)
    return server


def command(server, *arguments):
    where = ("--server", str(server.client.base_url))
    done = driftline("capture", "erase", *arguments, *where, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_client_erases_and_counts(captured):
    with Client(str(captured.client.base_url)) as client:
        dry = client.erase(inference_ids=["i1"], dry_run=True)
        done = client.erase(inference_ids=["i1"], event_ids=["e2"])
        again = client.erase(inference_ids=["i1"], endpoint="flights")
        stats = client.capture_stats("flights")

        with pytest.raises(InputError, match="no id"):
            client.erase()
    assert dry["endpoints"] == {"flights": {"requests": 1, "rows": 1, "labels": 0, "files": 1}}
    assert done["endpoints"]["flights"]["requests"] == 2
    assert (again["endpoints"], again["unknown"]) == ({}, 1)
    assert stats["erased"] >= 2
    assert stats["requests"] <= 8


def test_an_unknown_endpoint_is_not_found(captured):
    answer = captured.client.post(
        "/api/v1/capture/erasures", json={"event_ids": ["e1"], "endpoint": "nobody"}
    )
    assert answer.status_code == 404


def test_the_command_takes_a_file_and_says_what_went(captured, tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text("i5\n\n i6 \nnobody\n")

    code, told, _ = command(captured, "--file", str(file))

    assert code == 0
    assert "flights: 2 requests (2 rows) and 0 labels erased" in told
    assert "nothing is stored under 1 of 3 ids" in told
    assert "what comes later under these ids is dropped until" in told


def test_the_command_tells_of_a_spool_that_its_writer_keeps_open(captured):
    _, before, _ = command(captured, "--event-id", "e8")
    writer = SpoolWriter(captured.context.spool_dir)
    record(writer, event_id="e7", inference_id="i7")

    _, told, _ = command(captured, "--event-id", "e7")
    _, dry, _ = command(captured, "--event-id", "e7", "--dry-run")
    writer.close()

    sentence = "not in the spool of the server's host: 1 open there may hold them, raw, until"
    assert sentence in told
    assert not any("spool" in one for one in (before, dry))


def test_nothing_found_is_all_right_and_no_id_is_wrong_use(captured):
    code, told, _ = command(captured, "--inference-id", "nobody")
    assert (code, told.splitlines()[0]) == (0, "nothing is stored under this id")

    code, told, _ = command(captured, "--event-id", "nobody", "--json", "--dry-run")
    assert code == 0
    assert (json.loads(told)["unknown"], json.loads(told)["until"]) == (1, None)

    code, _, said = command(captured)
    assert code == 2
    assert "expected --inference-id, --event-id, --file or --where" in said


@pytest.fixture(scope="module")
def declared(server, trained):
    """Store four requests of a declared endpoint; two of them of one origin, one of two rows."""
    assert server.apply(*trained.flights()).status_code == 200
    writer = SpoolWriter(server.context.spool_dir)
    bodies = (
        "UA,Ada's Lane,100,1.5", "UA,JFK,200,2.5\nAA,Ada's Lane,300,3.5", "DL,EWR,400,4.5",
        "DL,,500,5.5",
    )  # fmt: skip
    for number, body in enumerate(bodies):
        record(writer, body.encode(), b"1", event_id=f"w{number}", inference_id=f"o{number}")
    writer.close()
    server.sink_all()
    return server


def test_requests_are_erased_by_what_a_column_holds(declared):
    asked = "--endpoint", "flights", "--where", 'origin == "Ada\'s Lane" and distance < 350'

    _, dry, _ = command(declared, *asked, "--dry-run")
    code, told, _ = command(declared, *asked)
    _, again, _ = command(declared, *asked)

    # With all rows of the second request, also the one that does not meet it.
    assert "flights: 2 requests (3 rows) and 0 labels would be erased" in dry
    assert (code, "flights: 2 requests (3 rows) and 0 labels erased" in told) == (0, True)
    assert "what comes later under these ids is dropped until" in told
    assert again.splitlines()[0] == "no stored row meets the condition"
    folder = Dataset(declared.context.root, "flights")
    left = pl.read_delta(folder.uri).filter(pl.col("event_id").str.starts_with("w"))
    assert sorted(left["event_id"]) == ["w2", "w3"]
    for path in Path(declared.context.root).rglob("*.parquet"):
        assert "Ada's Lane" not in repr(pl.read_parquet(path, hive_partitioning=False).to_dicts())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--where", "origin == 'JFK'"], "--where without --endpoint"),
        (
            ["--where", "origin == 'JFK'", "--endpoint", "flights", "--event-id", "w1"],
            "--where together with ids",
        ),
        (["--where", "origim == 'JFK'", "--endpoint", "flights"], 'no column "origim"'),
        (["--where", "origin = 'JFK'", "--endpoint", "flights"], "not readable"),
        (["--where", "distance > 'far'", "--endpoint", "flights"], "distance > 'far'"),
        (["--where", "origin.__class__ == 1", "--endpoint", "flights"], '".__class__"'),
        (["--where", "1 == 1", "--endpoint", "flights"], "names no column"),
        (["--where", "open('x') == origin", "--endpoint", "flights"], 'no function "open"'),
    ],
)
def test_a_condition_that_is_none_is_wrong_use_and_erases_nothing(declared, arguments, sentence):
    folder = Dataset(declared.context.root, "flights")
    before = pl.read_delta(folder.uri).height

    code, _, said = command(declared, *arguments)

    assert code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert pl.read_delta(folder.uri).height == before
