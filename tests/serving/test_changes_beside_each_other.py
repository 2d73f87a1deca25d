"""Changes that take long, beside changes of other resources, which do not wait for them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from driftline.serving.resources.endpoints import signature_of
from tests.serving.conftest import resource
from tests.serving.hosting.formats.archives import pack

WAITS = """
import threading
from pathlib import Path

def model_fn(model_dir):
    Path("{gate}", "loading").touch()
    while not Path("{gate}", "open").exists():
        threading.Event().wait(0.05)
    return model_dir

def transform_fn(model, body, content_type, accept):
    return "{name}", "text/plain"
"""
AT_ONCE = WAITS.replace("while not", "while False and not")


@pytest.fixture
def server(start, tmp_path):
    with start(tmp_path, trust_pickle=True) as found:
        yield found


@pytest.fixture
def gate(tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    yield gate
    (gate / "open").touch()


def endpoint(tmp_path, gate, name, code=AT_ONCE, file="one"):
    """Return a model that is an endpoint, and the endpoint."""
    code = code.format(gate=gate, name=file)
    path = pack(tmp_path / f"{name}-{file}.tar.gz", {"code/inference.py": code})
    return resource("Model", name, path=str(path)), resource("Endpoint", name, model=name)


def test_others_are_applied_and_deleted_while_a_model_is_loaded(server, gate, tmp_path, until):
    assert server.apply(*endpoint(tmp_path, gate, "old")).status_code == 200
    (gate / "loading").unlink()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(server.apply, *endpoint(tmp_path, gate, "slow", WAITS))
        until((gate / "loading").exists)

        new = server.apply(*endpoint(tmp_path, gate, "new"))
        assert (new.status_code, new.json()["endpoints"]["new"]["state"]) == (200, "InService")
        assert server.client.delete("/api/v1/endpoints/old").is_success
        assert server.client.delete("/api/v1/models/old").is_success
        assert server.invoke("new", "1", content_type="text/plain").text == "one"
        assert server.client.get("/api/v1/endpoints").is_success
        assert not slow.done()
        (gate / "open").touch()
        answer = slow.result(60)

    assert answer.json()["endpoints"]["slow"]["state"] == "InService"
    assert server.invoke("slow", "1", content_type="text/plain").text == "one"
    assert server.invoke("new", "1", content_type="text/plain").text == "one"


def test_a_change_builds_on_what_others_made_of_its_endpoint_meanwhile(
    server, trained, gate, tmp_path, until
):
    assert server.apply(*trained.flights()).status_code == 200
    *_, changed = trained.flights(trust_event_time=True)
    floats = tmp_path / "floats.parquet"
    trained.frame.astype({"distance": float}).to_parquet(floats, index=False)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(server.apply, *endpoint(tmp_path, gate, "slow", WAITS), changed)
        until((gate / "loading").exists)
        for data in (floats, trained.reference):
            baseline = resource("Baseline", "flights", data=str(data), label="late")
            assert server.apply(baseline).status_code == 200
        (gate / "open").touch()
        assert slow.result(60).status_code == 200

    # Rows of the second version can still be read.
    (distance,) = (
        one for one in signature_of(server.engine, "flights").features if one.name == "distance"
    )
    names = [f"feature_distance{version}" for version in ("_v3", "_v2", "")]
    assert [distance.column, *distance.former] == names
