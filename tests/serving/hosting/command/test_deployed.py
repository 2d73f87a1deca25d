"""A model that is a command on a real server: applied, invoked, captured and judged."""

import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joblib
import pytest

from driftline.capture.tables.dataset import Dataset
from driftline.serving.resources.reach import Reach
from tests.serving.hosting.formats.archives import pack

PROGRAM = Path(__file__).parents[3] / "fixtures" / "serving" / "container.py"
DAY = datetime(2026, 1, 14, tzinfo=UTC)
SECRET = "token-hunter2"


@pytest.fixture
def folder(trained, tmp_path):
    """Return a folder with a program, and the model that it answers by."""
    made = tmp_path / "late"
    made.mkdir()
    shutil.copy(PROGRAM, made / "container.py")
    joblib.dump(trained.model, made / "late.joblib")
    return made


@pytest.fixture
def server(start, tmp_path):
    reach = Reach(outputs=(str(tmp_path / "out"),))
    settings = {"local_dir": tmp_path / "local", "reach": reach}
    with start(tmp_path, trust_commands=True, **settings) as running:
        yield running


def declared(declare, trained, path, mode="plain", **more):
    command = [sys.executable, "container.py", mode]
    return [
        declare("Model", "flights", path=str(path), command=command, **more),
        declare("Baseline", "flights", data=str(trained.reference), label="late"),
        declare("Endpoint", "flights", model="flights", baseline="flights", trust_event_time=True),
        declare("Monitor", "flights-dq", endpoint="flights", baseline="flights"),
    ]


def who(server):
    return json.loads(server.invoke("flights", "who").content)


@pytest.mark.parametrize("is_archive", [False, True])
def test_a_command_is_applied_invoked_captured_and_judged(
    is_archive, server, declare, trained, folder, tmp_path, caplog
):
    caplog.set_level("INFO")
    path = folder
    if is_archive:
        members = {file.name: file.read_bytes() for file in folder.iterdir()}
        path = pack(tmp_path / "model.tar.gz", members)
    answer = server.apply(*declared(declare, trained, path))
    assert answer.status_code == 200, answer.text
    rows = trained.inputs.head(480)
    rows = rows.assign(distance=rows["distance"] * 1000)
    expected = [str(one) for one in trained.model.predict(rows)]

    for hour in range(24):
        if hour == 12:  # Requests go on when the command is killed.
            os.kill(who(server)["pid"], signal.SIGKILL)
        part = slice(hour * 20, hour * 20 + 20)
        answer = server.invoke(
            "flights",
            rows.iloc[part].to_csv(header=False, index=False),
            x_driftline_event_time=(DAY + timedelta(hours=hour)).isoformat(),
        )
        assert (answer.status_code, answer.text.split()) == (200, expected[part])
    server.sink_all()

    table = Dataset(str(server.root), "flights").open().to_table()
    scored = [one for one in table["prediction"].to_pylist() if one is not None]
    assert sorted(map(str, scored)) == sorted(expected)
    ran = server.client.post(
        "/api/v1/monitors/flights-dq/run",
        json={"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"},
    ).json()
    assert (ran["row_count"], ran["status"]) == (480, "CompletedWithViolations"), ran
    assert ran["cause"].startswith("distance:")
    printed = server.client.get("/api/v1/logs", params={"endpoint": "flights"}).json()["items"]
    assert printed[0]["message"].startswith(f"asked {SECRET} ")
    assert len({line["worker"] for line in printed}) == 2
    assert SECRET not in caplog.text


def test_a_changed_command_is_tried_before_the_old_one_goes(
    server, declare, trained, folder, tmp_path, until
):
    first, *others = declared(declare, trained, folder)
    assert server.apply(first, *others).status_code == 200
    old = who(server)

    broken = server.apply(declared(declare, trained, folder, "exit")[0])
    assert broken.status_code == 400
    message = server.error_of(broken)["message"]
    assert message.startswith('Model "flights": the command ended with exit code 7 before')
    assert SECRET not in message
    assert who(server)["pid"] == old["pid"]

    changed = server.apply(declared(declare, trained, folder, "stubborn")[0])
    assert changed.status_code == 200, changed.text
    assert who(server)["pid"] != old["pid"]
    until(lambda: not Path(f"/proc/{old['pid']}").exists())


def test_an_installation_that_trusts_no_commands_runs_none(
    start, declare, trained, folder, tmp_path, until
):
    with start(tmp_path, trust_commands=True) as server:
        assert server.apply(*declared(declare, trained, folder)).status_code == 200
    with start(tmp_path, trust_pickle=True) as server:
        said = until(
            lambda: "trust_commands" in (text := server.invoke("flights", "who").text) and text
        )
        assert "does not run; allow it by [serving] trust_commands = true" in said
        refused = server.apply(*declared(declare, trained, folder, "open"))
        assert refused.status_code == 400
        assert (
            "lets whoever may apply resources run any program"
            in server.error_of(refused)["message"]
        )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"command": []}, "command"),
        ({"command": "python serve.py"}, "command"),
        ({"command": ["x"], "memory_size_in_mb": 1}, "memory_size_in_mb"),
        ({"command": ["python", "x"], "path": "/etc"}, "files of the system"),
        ({"command": ["python", "x"], "path": "late"}, "relative path"),
        ({"command": ["python", "x"], "path": "/no/such/model"}, "no regular file"),
    ],
)
def test_specs_that_cannot_be_are_refused(spec, sentence, server, declare, folder):
    refused = server.apply(declare("Model", "flights", **{"path": str(folder), **spec}))

    assert refused.status_code == 400
    assert sentence in server.error_of(refused)["message"]


def test_its_answers_are_not_explained(server, declare, trained, folder):
    model, baseline, *_ = declared(declare, trained, folder)
    baseline["spec"]["model"] = "flights"

    refused = server.apply(model, baseline)

    assert refused.status_code == 400
    assert "cannot be explained" in server.error_of(refused)["message"]


def test_transform_jobs_take_no_commands(server, declare, trained, folder, tmp_path):
    assert server.apply(*declared(declare, trained, folder)[:1]).status_code == 200
    job = {
        "transform_job_name": "late",
        "model_name": "flights",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": [str(trained.reference)]}},
            "content_type": "application/x-parquet",
        },
        "transform_output": {"s3_output_path": str(tmp_path / "out")},
    }

    refused = server.client.post("/api/v1/transform-jobs", json=job)

    assert refused.status_code == 400, refused.text
    assert 'model "flights" is a command' in server.error_of(refused)["message"]
