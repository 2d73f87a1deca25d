"""Whether a server is in service: it is, whatever becomes of one model."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from driftline.serving.hosting.pool import Pool
from tests.serving.conftest import resource
from tests.serving.hosting.formats.archives import coded

# Ends its process when it is told to.
CODE = """
if body == "crash":
    import os; os._exit(3)
return body, content_type
"""
# Counted, not named: who asks for health shows no token.
BRITTLE = "1 not ready; driftline get endpoint names them"


def declared(folder: Path, name: str) -> list[dict[str, Any]]:
    path = coded(folder / f"{name}.tar.gz", CODE)
    return [resource("Model", name, path=str(path)), resource("Endpoint", name, model=name)]


def test_a_model_that_crashes_or_never_starts_takes_no_server_out_of_service(
    start: Any, tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, begin, hanging = threading.Event(), Pool.start, threading.Event()

    async def hang(pool: Pool) -> None:
        if pool.name == "later":
            hanging.set()
            await asyncio.Event().wait()
        await begin(pool)

    monkeypatch.setattr(Pool, "start", hang)
    with start(tmp_path, trust_pickle=True) as server:
        server.must_apply(*declared(tmp_path, "steady"), *declared(tmp_path, "brittle"))

        def crash() -> None:
            while not stop.is_set():
                server.invoke("brittle", "crash")

        def is_told() -> bool:
            answer = server.client.get("/readyz")
            return answer.is_success and answer.json().get("endpoints") == BRITTLE

        caller = threading.Thread(target=crash)
        caller.start()
        try:
            until(is_told)
            resources = declared(tmp_path, "later")
            server.client.post("/api/v1/apply", json={"resources": resources}).raise_for_status()
            assert hanging.wait(60)
            samples: list[str] = []

            def is_measured() -> bool:  # It is started again now and then.
                samples[:] = server.client.get("/metrics?of=server").text.splitlines()
                return 'driftline_endpoint_ready{endpoint="brittle"} 0.0' in samples

            until(is_measured)
            codes = {server.invoke("steady", "1").status_code for _ in range(10)}
            codes |= {server.client.get("/readyz").status_code for _ in range(10)}
        finally:
            stop.set()
            caller.join()

    assert 'driftline_endpoint_ready{endpoint="brittle"} 0.0' in samples
    assert 'driftline_endpoint_ready{endpoint="steady"} 1.0' in samples
    assert codes == {200}
