"""What models print, as the API and the command line show it: of real workers, and of one's own."""

import pytest

from driftline.access.tokens import new_secret
from driftline.app.client.client import Client
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import resource, running
from tests.serving.guarded import knowing
from tests.serving.hosting.formats.archives import pack

SECRET = new_secret()
INFERENCE = r"""
import os
import signal

def model_fn(model_dir):
    print("loaded by", os.getpid())
    return model_dir

def transform_fn(model, body, content_type, accept):
    body = body.decode()
    if body == "die":
        print("last words")
        os._exit(1)
    elif body == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    else:
        print("asked", body)
    return body, "text/plain"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    url = new_sqlite(folder)
    engine = open_url(url)
    known = knowing(engine, SECRET)
    model = pack(folder / "model.tar.gz", {"code/inference.py": INFERENCE})
    with running(folder, database=url, authenticator=known, trust_pickle=True) as found:
        found.client.headers["authorization"] = f"Bearer {SECRET}"
        blue, green = ({"variant_name": name, "model_name": "echo"} for name in ("blue", "green"))
        answer = found.apply(
            resource("Model", "echo", path=str(model)),
            resource("Endpoint", "echo", production_variants=[blue, green]),
        )
        assert answer.status_code == 200, answer.text
        yield found
    engine.dispose()


@pytest.fixture
def ask(server):
    def ask(body, variant="blue"):
        named = {"x_amzn_sagemaker_target_variant": variant}
        return server.invoke("echo", body, content_type="text/plain", **named)

    return ask


@pytest.fixture
def client(server):
    with Client(server.url, token=SECRET) as found:
        yield found


def texts(lines):
    return [one["message"] for one in lines]


def test_lines_come_with_time_variant_and_worker(ask, client, until):
    assert ask("first", "blue").text == "first"
    assert ask("second", "green").text == "second"

    assert len(client.logs("ECHO", limit=1)) == 1
    lines = until(
        lambda: (
            texts(found := client.logs("echo", limit=2)) == ["asked second", "asked first"]
            and found
        )
    )
    assert [one["variant"] for one in lines] == ["green", "blue"]
    (born,) = client.logs("echo", variant="blue", limit=None)[-1:]
    assert born["message"] == f"loaded by {lines[1]['worker']}"
    assert born["time"] < lines[1]["time"] < lines[0]["time"]


def test_a_worker_that_is_lost_over_a_request_is_told_of_and_the_endpoint_goes_on(
    ask, client, until
):
    for body, how in (("die", "exit code 1"), ("crash", "signal 11 (SIGSEGV)")):
        assert ask(body, variant="green").status_code == 503

        # It was tried on another worker.
        until(lambda: str(texts(client.logs("echo", variant="green", limit=50))).count(how) == 2)  # noqa: B023
        assert ask("alive", variant="green").text == "alive"
