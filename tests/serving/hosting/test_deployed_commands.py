"""A model that is a command on a real server: applied, invoked and captured."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import joblib
import pytest

from driftline.capture.tables.dataset import Dataset
from driftline.serving.resources.reach import Reach
from tests.serving.hosting.formats.archives import pack

PROGRAM = Path(__file__).parents[2] / "fixtures" / "serving" / "container.py"
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
    settings = {"reach": reach}
    with start(tmp_path, trust_commands=True, **settings) as running:
        yield running


def declared(declare, trained, path, mode="plain", **more):
    command = [sys.executable, "container.py", mode]
    return [
        declare("Model", "flights", path=str(path), command=command, **more),
        declare("Baseline", "flights", data=str(trained.reference), label="late"),
        declare("Endpoint", "flights", model="flights", baseline="flights"),
    ]


def who(server):
    return json.loads(server.invoke("flights", "who").content)


@pytest.mark.parametrize("is_archive", [pytest.param(False, marks=pytest.mark.full), True])
def test_a_command_is_applied_invoked_and_captured(
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
    expected = [str(one) for one in trained.model.predict(rows)]

    for hour in range(24):
        if hour == 12:  # Requests go on when the command is killed.
            os.kill(who(server)["pid"], signal.SIGKILL)
        part = slice(hour * 20, hour * 20 + 20)
        answer = server.invoke("flights", rows.iloc[part].to_csv(header=False, index=False))
        assert (answer.status_code, answer.text.split()) == (200, expected[part])
    server.sink_all()

    table = Dataset(str(server.root), "flights").open().to_table()
    scored = [one for one in table["prediction"].to_pylist() if one is not None]
    assert sorted(map(str, scored)) == sorted(expected)
    printed = server.client.get("/api/v1/logs", params={"endpoint": "flights"}).json()["items"]
    assert printed[0]["message"].startswith(f"asked {SECRET} ")
    assert len({line["worker"] for line in printed}) == 2
    assert SECRET not in caplog.text


def test_an_installation_that_trusts_no_commands_runs_none(
    start, declare, trained, folder, tmp_path, until
):
    with start(tmp_path, trust_commands=True) as server:
        assert server.apply(*declared(declare, trained, folder)).status_code == 200
    with start(tmp_path, trust_pickle=True) as server:
        said = until(
            lambda: "trust_commands" in (text := server.invoke("flights", "who").text) and text
        )
        assert "runs none; allow them by [serving] trust_commands = true" in said
        refused = server.apply(*declared(declare, trained, folder, "open"))
        assert refused.status_code == 400
        assert (
            "lets whoever may apply resources run any program"
            in server.error_of(refused)["message"]
        )
