"""A secret that a rule names is on no disk behind the spool, in no message and in no log."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, TopicPartition

import driftline as dl
from tests.kit.installation import Installation
from tests.kit.services import KafkaBroker, on_kafka

pytestmark = pytest.mark.slow

# As it could be written, escaped, packed or quoted by an app that answers with an error.
SECRET = "078-05-1120"
NAME = "S\u00f8ren \u201cQ\u201d Kierkegaard"
KEY = "k1:9f8e7d6c5b4a39281706f5e4d3c2b1a0"
RULES = [
    ("people", "/instances/*/ssn", "hash", "request", {"optional": True}),
    ("people", "/instances/*/name", "mask", "request", {"keep": 3}),
    ("people", "/predictions/*/name", "drop", "response", {}),
    ("people", "column:1", "null", "request", {}),
    ("people", "header:X-Amzn-SageMaker-Custom-Attributes", "drop", None, {}),
    ("logged", "/*/ssn", "drop", "request", {}),
]
ANSWER = json.dumps({"predictions": [{"name": NAME, "p": 0.5}]}).encode()
REDACTION_FAILED = 1024  # Of docs/capture.md.


def settings_of(folder: Path, more: str = "") -> str:
    (folder / "keys").write_text(KEY)
    (folder / "keys").chmod(0o600)
    rules = [
        {"endpoint": endpoint, "field": path, "action": action, **given}
        | ({"side": side} if side else {})
        for endpoint, path, action, side, given in RULES
    ]
    return (
        more
        + f"""
        [capture]
        spool_dir = "spool"
        redact_keys_file = "{folder / "keys"}"
        redact = {table_array(rules)}
    """
    )


def table_array(rows: list[dict[str, Any]]) -> str:
    cells = [
        ", ".join(f"{key} = {json.dumps(value)}" for key, value in row.items()) for row in rows
    ]
    return "[" + ", ".join(f"{{{row}}}" for row in cells) + "]"


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


def send_secrets(shop: Installation) -> None:
    """Record secrets in all the ways that there are: nine of people, one logged."""
    spool_dir = shop.folder / "spool"
    app = dl.Capture(echoing, endpoint="people", spool_dir=spool_dir)
    rows = {"instances": [{"ssn": SECRET, "name": NAME}, {"ssn": None, "name": NAME}]}
    plain, raw = json.dumps(rows).encode(), json.dumps(rows, ensure_ascii=False).encode()
    for path, body, kind, encoding in (
        ("/good", plain, "application/json", ""),
        ("/good", raw, "application/json", ""),
        ("/good", gzip.compress(raw), "application/json", "gzip"),
        ("/good", f"1,{SECRET}\n2,{SECRET}\n".encode(), "text/csv", ""),
        ("/good", plain[:-1], "application/json", ""),
        ("/good", SECRET.encode(), "application/x-npy", ""),
        ("/bad", plain, "application/json", ""),
        ("/bad", SECRET.encode(), "text/csv", ""),
    ):
        ask(app, path, body, kind, encoding)
    app.spool.close()
    with dl.Logger("logged", spool_dir=spool_dir) as log:
        log({"ssn": SECRET, "age": 3}, {"prediction": 1})
    for kind, body in (("request", raw), ("response", ANSWER)):
        headers = {
            "ce-specversion": "1.0", "ce-id": "person", "ce-source": "s",
            "ce-type": f"org.kubeflow.serving.inference.{kind}",
            "ce-inferenceservicename": "people", "content-type": "application/json",
        }  # fmt: skip
        answer = shop.request("POST", "/v1/cloudevents", content=body, headers=headers)
        assert answer.status_code == 200, answer.text


def traces() -> list[bytes]:
    names = [NAME, json.dumps(NAME)[1:-1], json.dumps(NAME, ensure_ascii=False)[1:-1], "Kierkega"]
    return [SECRET.encode(), *(name.encode() for name in names)]


def is_nowhere(shop: Installation) -> None:
    """Look for the secrets in every file, and in every value of every Parquet file."""
    for path in shop.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += repr(pq.read_table(path).to_pylist()).encode()
            assert not any(trace in content for trace in traces()), path
    assert KEY.partition(":")[2] not in shop.log
    assert not any(trace in shop.log.encode() for trace in traces())


def is_redacted(shop: Installation) -> None:
    """Look at what became of the records."""
    rows = shop.captured("people", 9)
    assert len(shop.captured("logged", 1)) == 1
    rows = rows.astype(object).where(rows.notna(), None)
    table = rows[rows["row_index"] == 0].to_dict("records")
    failed = [row for row in table if row["flags"] & REDACTION_FAILED]
    assert len(table) == 9
    assert len(failed) == 3
    assert all(not row["request_body"] and not row["response_body"] for row in failed)
    assert all(row["request_bytes"] for row in table)
    assert {row["custom_attributes"] for row in table} == {None}
    sent = [row["request_body"] or b"" for row in table]
    opened = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in sent]
    assert not any(trace in body for body in opened for trace in traces())
    assert len([body for body in opened if b"k1:" in body]) == 5


def spool_is_empty(shop: Installation) -> bool:
    return not list((shop.folder / "spool").glob("*/*.dls"))


def test_no_secret_gets_past_the_local_line(tmp_path: Path) -> None:
    words = ("--only", "server,capture")
    with Installation(
        tmp_path / "shop", settings_of(tmp_path), words=words, is_forked=True
    ) as shop:
        send_secrets(shop)
        is_redacted(shop)
        # Whoever comes next removes the spools of those that have ended.
        shop.restart()
        shop.wait(lambda: spool_is_empty(shop))

    assert "failed, bodies are left out" in shop.log
    is_nowhere(shop)


@pytest.mark.kafka
def test_no_secret_gets_into_kafka(tmp_path: Path, kafka_broker: KafkaBroker, topic: str) -> None:
    settings = settings_of(tmp_path, on_kafka(kafka_broker, topic))
    words = ("--only", "server,sidecar,sink")
    with Installation(tmp_path / "shop", settings, words=words, is_forked=True) as shop:
        send_secrets(shop)
        is_redacted(shop)
        shop.restart()
        shop.wait(lambda: spool_is_empty(shop))

    values = list(messages(kafka_broker, topic))
    assert values
    assert not any(trace in value for value in values for trace in traces())
    is_nowhere(shop)


def messages(broker: KafkaBroker, topic: str) -> Iterator[bytes]:
    """Return the messages of a topic, unpacked as docs/kafka.md says, and its dead letters."""
    consumer = KafkaConsumer(bootstrap_servers=[broker.bootstrap], auto_offset_reset="earliest")
    try:
        parts = [
            TopicPartition(name, number)
            for name in (topic, f"{topic}.dlq")
            for number in consumer.partitions_for_topic(name) or ()
        ]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < end for part, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                for message in batch:
                    raw = int(dict(message.headers)["dl.raw"])
                    yield pa.Codec("zstd").decompress(message.value, raw, asbytes=True)
    finally:
        consumer.close()


def test_the_spool_is_for_its_owner_only(tmp_path: Path) -> None:
    app = dl.Capture(echoing, endpoint="people", spool_dir=tmp_path / "spool")
    ask(app, "/good", b"{}", "application/json")

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "spool").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    app.spool.close()
