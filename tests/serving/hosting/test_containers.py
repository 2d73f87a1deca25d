"""Several containers behind one endpoint: named by requests, or one after another."""

import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import skops.io

from driftline.capture.tables.dataset import Dataset
from driftline.serving.resources.reach import Reach
from tests.serving.conftest import NOW, make_frame, make_model, resource
from tests.serving.hosting.formats.archives import pack

DAY = NOW - timedelta(days=1, hours=6)
HOSTNAME = "x_amzn_sagemaker_target_container_hostname"
# Reads CSV, answers JSON: what the next one gets is not what the caller sent.
PREPARE = r"""
import csv, io, json, os

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    assert content_type == "text/csv", content_type
    print("prepares")
    if body.startswith("refuse"):
        raise ValueError("no such carrier")
    if body.startswith("garble"):
        return "not for scoring", "text/plain"
    if body.startswith("pid"):
        return json.dumps([["UA", "EWR", os.getpid(), 5.0]]), "application/json"
    rows = [[a, b, float(c), float(d or "nan")] for a, b, c, d in csv.reader(io.StringIO(body))]
    return json.dumps(rows).replace("NaN", "null"), "application/json"
"""


def models(folder, trained):
    """Return a Model that prepares rows, and two that score them."""
    other = folder / "other.skops"
    skops.io.dump(make_model(make_frame(seed=8)), other)
    archive = pack(folder / "prepare.tar.gz", {"code/inference.py": PREPARE})
    return [
        resource("Model", "prepare", path=str(archive)),
        resource("Model", "score", path=str(trained.file)),
        resource("Model", "other", path=str(other)),
        resource("Baseline", "flights", data=str(trained.reference), label="late"),
    ]


def containers(**named):
    return [{"container_hostname": key, "model_name": one} for key, one in named.items()]


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    reach = Reach(outputs=(str(folder / "later"),))
    with start(folder, reach=reach, trust_pickle=True, trust_commands=True) as found:
        answer = found.apply(
            *models(folder, trained),
            resource(
                "Model", "line", mode="Serial", containers=containers(first="prepare", last="score")
            ),
            resource(
                "Model", "both", mode="Direct", containers=containers(blue="score", green="other")
            ),
            resource("Endpoint", "line", model="line", baseline="flights"),
            resource("Endpoint", "both", model="both", baseline="flights", trust_event_time=True),
            resource("Monitor", "blue", endpoint="both", baseline="flights", target_model="blue"),
            resource("Monitor", "green", endpoint="both", baseline="flights", target_model="green"),
        )
        assert answer.status_code == 200, answer.text
        yield found


def captured(server, endpoint, *columns):
    server.sink_all()
    return Dataset(str(server.root), endpoint).open().to_table(list(columns)).to_pylist()


def test_a_pipeline_hands_the_answer_of_one_to_the_next(server, trained):
    answer = server.invoke("line", trained.csv(slice(0, 9)), accept="text/csv")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv"
    expected = trained.model.predict_proba(trained.inputs[:9])[:, 1]
    found = [line.split(",") for line in answer.text.split()]
    assert [float(one[1]) for one in found] == pytest.approx(expected)
    assert server.invoke("line", trained.csv(slice(0, 1)), accept="application/json").json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "refuse",
            'container "first": Received server error (500) from the model with message "no ',
        ),
        ("garble", 'container "last": Content-Type is "text/plain"; expected text/csv, '),
    ],
)
def test_what_a_container_refuses_ends_the_pipeline(server, body, message):
    answer = server.invoke("line", body)

    assert answer.status_code == 424
    assert server.error_of(answer)["message"].startswith(message)


def test_each_container_answers_by_its_name_and_is_judged_by_it(server, trained):
    rows = trained.inputs.head(480)
    broken = rows.assign(distance=rows["distance"] * 1000)
    for hour in range(24):
        at = (DAY + timedelta(hours=hour)).isoformat()
        for name, frame in (("blue", rows), ("GREEN", broken)):
            body = frame.iloc[hour * 20 : hour * 20 + 20].to_csv(header=False, index=False)
            named = {HOSTNAME: name, "x_driftline_event_time": at}
            assert server.invoke("both", body, **named).status_code == 200

    counts = Counter(one["model"] for one in captured(server, "both", "model"))
    assert {"blue": 480, "green": 480}.items() <= counts.items()
    span = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()}
    ran = {
        name: server.client.post(f"/api/v1/monitors/{name}/run", json=span).json()
        for name in ("blue", "green")
    }
    assert {name: one["row_count"] for name, one in ran.items()} == {"blue": 480, "green": 480}
    assert ran["blue"]["status"] == "Completed", ran["blue"]
    assert ran["green"]["cause"].startswith("distance:")


def test_a_killed_container_is_replaced_and_nothing_is_lost(server, trained, until):
    before = len(captured(server, "line", "model"))
    victims = [int(worker) for worker in server.worker_ids()]
    stop, answered, failed = threading.Event(), [], []

    def send():
        while not stop.is_set():
            answer = server.invoke("line", trained.csv(slice(0, 1)))
            (answered if answer.status_code == 200 else failed).append(answer.text)

    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(send) for _ in range(3)]
        for victim in victims:
            count = len(answered)
            os.kill(victim, signal.SIGKILL)
            until(lambda count=count: len(answered) > count + 5)
        stop.set()
        [one.result() for one in done]

    assert failed == []
    assert len(captured(server, "line", "model")) == before + len(answered)


def test_a_container_is_kept_while_it_is_needed_and_followed_when_it_changes(
    server, trained, tmp_path
):
    assert server.client.delete("/api/v1/models/score").status_code == 409
    other = server.apply(
        resource("Model", "score", mode="Serial", containers=containers(a="other", b="other"))
    )
    assert "expected one of mode SingleModel" in server.error_of(other)["message"]
    body = trained.csv(slice(0, 5))
    before = server.invoke("line", body).text
    skops.io.dump(make_model(make_frame(seed=9)), tmp_path / "new.skops")

    changed = server.apply(resource("Model", "score", path=str(tmp_path / "new.skops")))

    assert changed.status_code == 200, changed.text
    assert server.invoke("line", body).text != before
    back = server.apply(resource("Model", "score", path=str(trained.file)))
    assert back.status_code == 200, back.text
    assert server.invoke("line", body).text == before


def test_a_pipeline_may_answer_later_and_a_choice_may_not(server):
    places = server.context.reach.outputs
    later = {"output_config": {"s3_output_path": places[0]}}
    refused = server.apply(
        resource("Endpoint", "later", model="both", async_inference_config=later)
    )

    assert refused.status_code == 400
    assert 'Model "both" of mode Direct; expected' in server.error_of(refused)["message"]
