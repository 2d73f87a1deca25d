"""A real server, and boto3's clients that know nothing of it but its address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config

from driftline.app.reach import reach as reach_of
from driftline.loopback import Receive, Scope, Send
from driftline.serving.aws.s3 import S3
from driftline.serving.context import ServerContext
from driftline.serving.operations.authorization import AuditLog
from driftline.serving.provisioning.apply import Applier
from driftline.settings.settings import Settings
from tests.servers.postgres import new_sqlite, open_url
from tests.servers.s3 import S3Server
from tests.serving.conftest import NOW, Running, listening

REGION = "eu-west-1"
ACCOUNT = "123456789012"

WireClient = Callable[..., Any]


@cache
def session() -> boto3.Session:
    """Return the session of all clients, which loads each model once."""
    return boto3.Session(
        aws_access_key_id=ACCOUNT, aws_secret_access_key="secret", region_name=REGION
    )


def client_of(url: str, service: str, **config: Any) -> Any:
    """Return a client of a service; it tries nothing twice, so a failure shows at once."""
    usual = {"retries": {"total_max_attempts": 1}, "read_timeout": 60}
    return session().client(service, endpoint_url=url, config=Config(**{**usual, **config}))


def moto_of(server: S3Server, service: str) -> Any:
    """Return a client of a service of moto's, which has more than S3."""
    keys = server.environment
    return boto3.client(
        service, endpoint_url=server.url, region_name=REGION,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@contextlib.contextmanager
def serve_s3(settings: Settings) -> Iterator[int]:
    """Serve S3 alone; return its port."""
    folder = settings.local_dir
    folder.mkdir(parents=True, exist_ok=True)
    engine = open_url(new_sqlite(folder))
    context = ServerContext(
        settings=settings, engine=engine, now=lambda: NOW, reach=reach_of(settings)
    )
    s3 = S3(context, AuditLog(context))

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await s3(scope, receive, send)

    with listening(serve) as port:
        yield port
    engine.dispose()


@pytest.fixture(scope="module")
def wire_server(
    start: Callable[..., contextlib.AbstractContextManager[Running]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """Run the whole server, one for the tests of a file; auth is off, its clock stands at NOW."""
    with start(tmp_path_factory.mktemp("wire")) as server:
        yield server


@pytest.fixture(scope="module")
def wire_client(wire_server: Running) -> Iterator[WireClient]:
    """Return what makes boto3's client of a service, asked of the real server.

    How to try an operation that you serve::

        def test_a_model_is_described(wire_client, wire_server):
            client = wire_client("sagemaker")
            client.create_model(ModelName="late", ...)
            assert client.describe_model(ModelName="late")["ModelArn"] == ...

    ``wire_server`` is the same server (`Running`): apply, invoke, engine, url. The keys are those
    of an account (its number as access key), so ARNs hold `ACCOUNT` and `REGION` of this file. A
    server with settings: ``with start(tmp_path, **settings) as server``, then `client_of`. An
    error is ``client.exceptions.ClientError``, its code and message in ``error.response["Error"]``.
    Your module must be imported by serving/aws/areas.py.
    """
    with contextlib.ExitStack() as clients:
        yield lambda service, **config: clients.enter_context(
            contextlib.closing(client_of(wire_server.url, service, **config))
        )


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return what does something once, after the next request has read what it then applies."""
    apply = Applier.apply

    def interrupt(change: Callable[[], object]) -> None:
        async def first(*given: Any, **named: Any) -> Any:
            monkeypatch.setattr(Applier, "apply", apply)
            await asyncio.to_thread(change)
            return await apply(*given, **named)

        monkeypatch.setattr(Applier, "apply", first)

    return interrupt
