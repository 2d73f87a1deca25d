"""What the wire of AWS costs: calls a second with 1,000 endpoints, and an invocation by boto3.

- Describe and list: a server with 1,000 serverless endpoints in service, copies of one, whose model
  is looked into for the first alone; each request is what boto3 sends, on one connection. Given is
  the processor time of the server's process a call, and so the calls a second of one core.
- Invoke: a server with one endpoint, asked in turn as curl does and as boto3 does, which signs.
  Given is the processor time of the server's process a request, its worker left out.

    PYTHONPATH=. python bench/wire.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import skops.io
from botocore.client import BaseClient
from botocore.config import Config
from sqlalchemy import Engine

from driftline.serving import tables
from driftline.serving.hosting import pool
from tests.serving.conftest import make_frame, make_model, running

ENDPOINTS = 1_000
HERE = Path(__file__).parent


def client_of(port: int, service: str) -> BaseClient:
    return boto3.client(
        service, endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1",
        aws_access_key_id="123456789012", aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def sent_by(client: BaseClient, name: str, **given: object) -> bytes:
    """Return the bytes of a request of boto3."""
    kept: list[Any] = []
    client.meta.events.register_first("before-send", lambda request, **_: kept.append(request))
    getattr(client, name)(**given)
    request = kept[-1]
    body = request.body or b""
    headers = {"Host": request.url.split("/")[2], **request.headers}
    lines = [
        f"{key}: {one.decode() if isinstance(one, bytes) else one}" for key, one in headers.items()
    ]
    path = "/" + request.url.split("/", 3)[3]
    return "\r\n".join([f"{request.method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


def cost_s(port: int, request: bytes, seconds: float) -> float:
    """Return the processor time of this process a request; another one sends them."""
    code = (
        "import sys; from driftline.app.recommend.load import Phase, run; port, s = sys.argv[1:]; "
        "found = run(int(port), [sys.stdin.buffer.read()], Phase(1, seconds=float(s))); "
        "print(len(found.latencies_s))"
    )
    began_s = time.process_time()
    done = subprocess.run(
        [sys.executable, "-c", code, str(port), str(seconds)],
        cwd=HERE.parent, input=request, stdout=subprocess.PIPE, check=True, timeout=60,
    )  # fmt: skip
    took_s = time.process_time() - began_s
    return took_s / int(done.stdout)


def copy_endpoint(engine: Engine, name: str) -> None:
    """Store a ready endpoint again and again, and have the server follow."""
    resources = tables.resources
    with engine.begin() as connection:
        declared = resources.select().where(resources.c.name == name)
        row = connection.execute(declared).one()._asdict()
        names = [f"e{number:04}" for number in range(1, ENDPOINTS)]
        copies = [{**row, "key": one, "name": one, "changes": row["changes"] + 1} for one in names]
        connection.execute(resources.insert(), copies)
        connection.execute(tables.installation.update().values(changes=row["changes"] + 1))


async def no_look(_spec: object, *, timeout_s: float) -> None:
    """Stand in for the process that looks into a serverless variant's model."""


CALLS: Sequence[tuple[str, dict[str, object]]] = (
    ("describe_endpoint", {"EndpointName": "e0500"}),
    ("describe_endpoint_config", {"EndpointConfigName": "c"}),
    ("describe_model", {"ModelName": "late"}),
    ("list_endpoints", {}),
    ("list_endpoint_configs", {}),
    ("list_models", {}),
    ("list_endpoints", {"NameContains": "99"}),
    ("list_endpoints", {"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 100}),
)


def describe_and_list(folder: Path, seconds: float) -> None:
    skops.io.dump(make_model(make_frame(60)), folder / "late.skops")
    with running(folder) as server:
        port = int(server.url.rpartition(":")[2])
        client = client_of(port, "sagemaker")
        container = {"Image": "driftline", "ModelDataUrl": str(folder / "late.skops")}
        client.create_model(ModelName="late", PrimaryContainer=container)
        serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
        variant = {"VariantName": "v", "ModelName": "late", "ServerlessConfig": serverless}
        client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        client.create_endpoint(EndpointName="e0000", EndpointConfigName="c")
        client.get_waiter("endpoint_in_service").wait(EndpointName="e0000")
        with patch.object(pool, "describe_model", no_look):
            copy_endpoint(server.engine, "e0000")
            for number in range(ENDPOINTS):
                client.get_waiter("endpoint_in_service").wait(EndpointName=f"e{number:04}")
        for name, given in CALLS:
            request = sent_by(client, name, **given)
            best = min(cost_s(port, request, seconds) for _ in range(3))
            print(f"{name} {given}: {best * 1e6:,.0f} µs, {1 / best:,.0f} calls/s", flush=True)


def invoke(folder: Path, seconds: float) -> None:
    frame = make_frame()
    skops.io.dump(make_model(frame), folder / "late.skops")
    model = {"kind": "Model", "name": "late", "spec": {"path": str(folder / "late.skops")}}
    endpoint = {"kind": "Endpoint", "name": "late", "spec": {"model": "late"}}
    body = b"UA,EWR,1400,40.5\n"
    with running(folder) as server:
        assert server.apply(model, endpoint).is_success
        port = int(server.url.rpartition(":")[2])
        client = client_of(port, "sagemaker-runtime")
        head = (
            "POST /endpoints/late/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: text/csv"
        )
        plain = f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        signed = sent_by(
            client, "invoke_endpoint", EndpointName="late", ContentType="text/csv", Body=body
        )
        pairs = [[cost_s(port, one, seconds) * 1e6 for one in (plain, signed)] for _ in range(7)]
    before, after = (statistics.median(one) for one in zip(*pairs, strict=True))
    more = statistics.median(b - a for a, b in pairs)
    print(f"invoke: plain {before:,.0f} µs, by boto3 {after:,.0f} µs, more {more:+,.1f} µs")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    given = parser.parse_args(arguments)
    for measure in (describe_and_list, invoke):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), given.seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
