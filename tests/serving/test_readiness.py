"""Whether a server is in service: it is, whatever one model or the database does."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.kit.installation import Installation
from tests.kit.services import Postgres, on_postgres

# Slow, since it waits half a minute; others work meanwhile.
pytestmark = [pytest.mark.postgres, pytest.mark.slow]

# Ends its process when it is told to; loads for ever where a file says so.
CODE = """
import os
import time

def model_fn(model_dir):
    if os.path.exists({hangs!r}):
        time.sleep(600)
    return model_dir

def transform_fn(model, body, content_type, accept):
    if body == "crash":
        os._exit(3)
    return body, content_type
"""


def declared(folder: Path, name: str) -> list[dict[str, Any]]:
    code = CODE.format(hangs=str(folder / f"{name}-hangs")).encode()
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    return [
        {"kind": "Model", "name": name, "spec": {"path": str(folder / f"{name}.tar.gz")}},
        {"kind": "Endpoint", "name": name, "spec": {"model": name}},
    ]


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return on_postgres(postgres)


@pytest.fixture(scope="module")
def running(install: Callable[..., Installation], database: str) -> Installation:
    """Two endpoints, one of which can be made to crash, or to hang as it starts."""
    found = install(
        "[serving]\ntrust_pickle = true\n" + database, words=("--only", "server"), is_forked=True
    )
    found.apply(*declared(found.folder, "steady"), *declared(found.folder, "brittle"))
    return found


def test_a_model_that_crashes_again_and_again_takes_no_server_out_of_service(running):
    stop = threading.Event()

    def crash() -> None:
        while not stop.is_set():
            running.invoke("brittle", b"crash")

    caller = threading.Thread(target=crash)
    caller.start()
    try:
        running.wait(lambda: running.get("/readyz").get("endpoints", "").startswith("1 not ready"))
        samples = running.get("/metrics?of=server").splitlines()
        answers = [running.invoke("steady", b"1").status_code for _ in range(10)]
        probes = [running.request("GET", "/readyz") for _ in range(10)]
    finally:
        stop.set()
        caller.join()

    assert 'driftline_endpoint_ready{endpoint="brittle"} 0.0' in samples
    assert 'driftline_endpoint_ready{endpoint="steady"} 1.0' in samples
    assert answers == [200] * 10
    assert {(probe.status_code, probe.json()["status"]) for probe in probes} == {(200, "ready")}


def test_a_database_that_is_away_is_reported_and_requests_are_answered(running, database, postgres):
    name = urlsplit(database.partition('"')[2].partition('"')[0]).path.strip("/")
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        postgres.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        running.wait(lambda: "database" in running.get("/readyz"))
        answers = [running.invoke("steady", b"1").status_code for _ in range(10)]
        health = running.get("/healthz")
        samples = running.get("/metrics?of=server").splitlines()
    finally:
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert answers == [200] * 10
    assert health["status"] == "impaired"
    assert "driftline_database_up 0.0" in samples
    running.wait(lambda: running.get("/readyz") == {"status": "ready"})


def test_a_server_that_starts_gives_a_model_that_hangs_half_a_minute(running):
    (running.folder / "brittle-hangs").touch()
    probes: list[int] = []

    def probe() -> bool:
        with suppress(httpx.TransportError):
            probes.append(running.request("GET", "/readyz").status_code)
        return 200 in probes

    running.stop()
    prober = threading.Thread(target=running.wait, args=(probe,), kwargs={"within_s": 120})
    prober.start()
    running.start()
    running.wait(lambda: running.is_answering("steady", b"1"))
    was_ready_then = 200 in probes
    prober.join()
    found = running.cli("doctor")

    assert probes[0] == 503
    assert not was_ready_then
    # Counted, not named: who asks for health shows no token.
    told = "1 not ready; driftline get endpoint names them"
    assert running.get("/readyz") == {"status": "ready", "endpoints": told}
    assert found.returncode == 1
    assert told in found.stdout
