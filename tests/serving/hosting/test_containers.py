"""Several containers behind one endpoint: named by requests, or one after another."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import skops.io

from tests.serving.conftest import make_frame, make_model, resource
from tests.serving.hosting.formats.archives import coded

# Reads CSV, answers JSON: what the next one gets is not what the caller sent.
PREPARE = r"""
import csv, io, json, pathlib, time
assert content_type == "text/csv", content_type
if body.startswith("refuse"):
    raise ValueError("no such carrier")
if body.startswith("garble"):
    return "not for scoring", "text/plain"
if body.startswith("wait"):
    folder = pathlib.Path(body.removeprefix("wait "))
    (folder / "begun").touch()
    while not (folder / "open").exists():
        time.sleep(0.01)
    body = "UA,EWR,1400,39.02"
rows = [[a, b, float(c), float(d or "nan")] for a, b, c, d in csv.reader(io.StringIO(body))]
return json.dumps(rows).replace("NaN", "null"), "application/json"
"""


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    archive = coded(folder / "prepare.tar.gz", PREPARE)
    named = (("first", "prepare"), ("last", "score"))
    line = [{"container_hostname": name, "model_name": model} for name, model in named]
    with start(folder, trust_pickle=True) as found:
        found.must_apply(
            resource("Model", "prepare", path=str(archive)),
            resource("Model", "score", path=str(trained.file)),
            resource("Baseline", "flights", data=str(trained.reference), label="late"),
            resource("Model", "line", mode="Serial", containers=line),
            resource("Endpoint", "line", model="line", baseline="flights"),
        )
        yield found


@pytest.mark.parametrize(("body", "hostname"), [("refuse", "first"), ("garble", "last")])
def test_what_a_container_refuses_ends_the_pipeline(server, body, hostname):
    answer = server.invoke("line", body)

    assert answer.status_code == 424
    assert server.error_of(answer)["message"].startswith(f'container "{hostname}": ')


def test_a_container_is_followed_when_its_model_changes_and_open_requests_end(
    server, trained, tmp_path, until
):
    body = trained.csv(slice(0, 5))
    before = server.invoke("line", body).text
    skops.io.dump(make_model(make_frame(seed=9)), tmp_path / "new.skops")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.invoke, "line", f"wait {tmp_path}")
        until((tmp_path / "begun").exists)
        changed = server.apply(resource("Model", "score", path=str(tmp_path / "new.skops")))
        (tmp_path / "open").touch()

        assert changed.status_code == 200, changed.text
        assert asked.result().status_code == 200
    assert server.invoke("line", body).text != before
