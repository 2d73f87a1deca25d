"""A secret that a rule names is on no disk behind the spool, in no message and in no log."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from kafka import KafkaConsumer

from driftline.capture.line.envelope import read_envelope
from driftline.capture.spool.frame import Flag
from driftline.capture.tap.logger import Logger
from driftline.capture.tap.tap import Capture
from tests.journeys.conftest import eventually, forked
from tests.servers.kafka import KafkaBroker
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

# As it could be written, escaped, packed or quoted by an app that answers with an error.
SECRET = "078-05-1120"
NAME = "S\u00f8ren \u201cQ\u201d Kierkegaard"
KEY = "k1:9f8e7d6c5b4a39281706f5e4d3c2b1a0"
RULES = """
[[capture.redact]]
endpoint = "people"
field = "/instances/*/ssn"
action = "hash"
side = "request"
optional = true

[[capture.redact]]
endpoint = "people"
field = "/instances/*/name"
action = "mask"
keep = 3
side = "request"

[[capture.redact]]
endpoint = "people"
field = "/predictions/*/name"
action = "drop"
side = "response"

[[capture.redact]]
endpoint = "people"
field = "column:1"
action = "null"
side = "request"

[[capture.redact]]
endpoint = "people"
field = "header:X-Amzn-SageMaker-Custom-Attributes"
action = "drop"

[[capture.redact]]
endpoint = "logged"
field = "/*/ssn"
action = "drop"
side = "request"
"""
ANSWER = json.dumps({"predictions": [{"name": NAME, "p": 0.5}]}).encode()


async def echoing(scope: Any, receive: Any, send: Any) -> None:
    """Answer well-formed requests by a prediction, others by an error that quotes them."""
    body = (await receive())["body"]
    is_good = scope["path"] == "/good"
    answer = ANSWER if is_good else b'{"detail": "cannot read ' + body[:80] + b'"}'
    headers = [(b"content-type", b"application/json")]
    await send(
        {"type": "http.response.start", "status": 200 if is_good else 422, "headers": headers}
    )
    await send({"type": "http.response.body", "body": answer})


def ask(app: Any, path: str, body: bytes, kind: str, encoding: str = "") -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    headers = [
        (b"content-type", kind.encode()),
        (b"x-amzn-sagemaker-custom-attributes", f"ssn={SECRET}".encode()),
        *([(b"content-encoding", encoding.encode())] if encoding else []),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(app(scope, receive, send))


def send_secrets(spool_dir: Path, server: str) -> int:
    """Record secrets in all the ways that there are; give how many records."""
    app = Capture(echoing, endpoint="people", spool_dir=spool_dir)
    rows = {"instances": [{"ssn": SECRET, "name": NAME}, {"ssn": None, "name": NAME}]}
    plain = json.dumps(rows).encode()
    raw = json.dumps(rows, ensure_ascii=False).encode()
    for path, body, kind, encoding in (
        ("/good", plain, "application/json", ""),
        ("/good", raw, "application/json", ""),
        ("/good", gzip.compress(raw), "application/json", "gzip"),
        ("/good", f"1,{SECRET}\n2,{SECRET}\n".encode(), "text/csv", ""),
        ("/good", plain[:-1], "application/json", ""),
        ("/good", SECRET.encode(), "application/octet-stream", ""),
        ("/bad", plain, "application/json", ""),
        ("/bad", SECRET.encode(), "text/plain", ""),
    ):
        ask(app, path, body, kind, encoding)
    app.spool.close()
    with Logger("logged", spool_dir=spool_dir) as log:
        log({"ssn": SECRET, "age": 3}, {"prediction": 1})
    for kind, body in (("request", raw), ("response", ANSWER)):
        headers = {
            "ce-specversion": "1.0", "ce-id": "person", "ce-source": "s",
            "ce-type": f"org.kubeflow.serving.inference.{kind}",
            "ce-inferenceservicename": "people", "content-type": "application/json",
        }  # fmt: skip
        answer = httpx.post(f"{server}/v1/cloudevents", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
    return 10


def traces() -> list[bytes]:
    names = [NAME, json.dumps(NAME)[1:-1], json.dumps(NAME, ensure_ascii=False)[1:-1], "Kierkega"]
    return [SECRET.encode(), *(name.encode() for name in names)]


def assert_nowhere(folder: Path) -> None:
    """Look for the secrets in every file, and in every value of every Parquet file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        for trace in traces():
            assert trace not in content, path


def assert_stored(root: Path) -> None:
    """Look at what became of the records."""
    rows = DeltaTable(str(root / "capture" / "people")).to_pyarrow_table()
    table = rows.filter(rows["row_index"].to_numpy() == 0).to_pylist()
    failed = [row for row in table if row["flags"] & Flag.REDACTION_FAILED]
    assert len(table) == 9
    assert len(failed) == 3
    assert all(not row["request_body"] and not row["response_body"] for row in failed)
    assert all(row["request_bytes"] for row in table)
    assert {row["custom_attributes"] for row in table} == {None}
    sent = [row["request_body"] or b"" for row in table]
    opened = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in sent]
    hashed = [body for body in opened if b"k1:" in body]
    assert not any(trace in body for body in opened for trace in traces())
    assert len(hashed) == 5


@pytest.fixture
def house(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str, Path]]:
    """Start the processes that capture; give folder, server and log."""
    port, log = free_port(), tmp_path / "log"
    more = getattr(request, "param", "")
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "keys").chmod(0o600)
    settings = f"""
[server]
port = {port}
[storage]
root = "store"
[capture]
spool_dir = "spool"
commit_interval_s = 0.2
redact_key_file = "keys"
{more}
{RULES}
"""
    (tmp_path / "driftline.toml").write_text(settings)
    yield tmp_path, f"http://127.0.0.1:{port}", log


def run_and_stop(house: tuple[Path, str, Path], roles: str) -> None:
    """Send secrets through a running line, wait until all is stored, and end it."""
    folder, server, log = house
    with ExitStack() as stack:
        process = stack.enter_context(
            forked("up", "--only", roles, until="ready; Ctrl-C", cwd=folder)
        )
        with log.open("wb") as out:
            assert process.stderr is not None
            count = send_secrets(folder / "spool", server)

            def is_stored() -> bool:
                found = httpx.get(f"{server}/api/v1/capture").json()["items"]
                return sum(item["requests"] for item in found) >= count

            eventually(is_stored)
            process.terminate()
            out.write((process.stderr.read()).encode())


def test_no_secret_gets_past_the_local_line(house: tuple[Path, str, Path]) -> None:
    folder, _, log = house

    run_and_stop(house, "server,capture")
    # Whoever comes next removes the spools of those that have ended.
    with forked("up", "--only", "capture", until="ready; Ctrl-C", cwd=folder):
        eventually(lambda: not list((folder / "spool").glob("*/*.dls")))

    assert "redaction failed" in log.read_text()
    assert KEY.partition(":")[2] not in log.read_text()
    assert_stored(folder / "store")
    assert_nowhere(folder)


def test_spool_and_halves_are_for_their_owner_only(tmp_path: Path) -> None:
    app = Capture(echoing, endpoint="people", spool_dir=tmp_path / "spool")
    ask(app, "/good", b"{}", "application/json")

    for path in (tmp_path / "spool").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    app.spool.close()


@pytest.mark.kafka
def test_no_secret_gets_into_kafka(
    tmp_path: Path, house: tuple[Path, str, Path], kafka_broker: KafkaBroker
) -> None:
    folder, _, log = house
    settings = folder / "driftline.toml"
    text = settings.read_text().replace("[capture]\n", '[capture]\ntransport = "kafka"\n')
    topic = f"redacted-{free_port()}"
    settings.write_text(
        f'[kafka]\nbootstrap_servers = ["{kafka_broker.bootstrap}"]\ntopic = "{topic}"\n'
        f'group = "{topic}"\npartitions = 1\nreplication = 1\n{text}'
    )

    run_and_stop(house, "server,sidecar,sink")
    with forked("up", "--only", "sidecar", until="ready; Ctrl-C", cwd=folder):
        eventually(lambda: not list((folder / "spool").glob("*/*.dls")))

    letters = list(messages(kafka_broker, topic))
    assert sum(len(list(found)) for found in letters) >= 10
    for frames in letters:
        for trace in traces():
            assert trace not in repr(frames).encode()
            assert not any(trace in frame.request + frame.response for frame in frames)
    assert KEY.partition(":")[2] not in log.read_text()
    assert_stored(folder / "store")
    assert_nowhere(folder)


def messages(broker: KafkaBroker, topic: str) -> Iterator[list[Any]]:
    """Return the frames of every letter of a topic, and of its dead letters."""
    consumer = KafkaConsumer(
        topic, f"{topic}.dlq", bootstrap_servers=[broker.bootstrap],
        auto_offset_reset="earliest", consumer_timeout_ms=10_000,
    )  # fmt: skip
    try:
        for message in consumer:
            yield read_envelope(message.value, message.headers)[1].frames()
    finally:
        consumer.close()
