"""`driftline job`, as it waits for a job of a server that dies meanwhile."""

import json
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.commands import job
from driftline.errors import UnavailableError
from driftline.serving.resources.reach import Reach


@pytest.mark.parametrize("words", [["create", "march.json"], ["get", "march", "--follow"]])
def test_a_command_whose_server_dies_says_that_the_job_goes_on(
    words, start, trained, tmp_path, monkeypatch
):
    asked = {
        "transform_job_name": "march",
        "model_name": "flights",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(tmp_path / "march.csv")}},
            "content_type": "text/csv",
        },
        "transform_output": {"s3_output_path": str(tmp_path / "out")},
    }
    (tmp_path / "march.csv").write_text("UA,EWR,1400,39\n")
    (tmp_path / "march.json").write_text(json.dumps(asked))
    monkeypatch.chdir(tmp_path)
    with ExitStack() as open_servers:
        server = open_servers.enter_context(
            start(tmp_path, reach=Reach(outputs=(str(tmp_path / "out"),)))
        )
        assert server.apply(*trained.flights()).status_code == 200
        if words[0] == "get":
            created = server.client.post("/api/v1/transform-jobs", json=asked)
            assert created.status_code == 200, created.text
        monkeypatch.setattr(job, "time", SimpleNamespace(sleep=lambda _: open_servers.close()))

        found = CliRunner().invoke(build("job"), ["job", *words, "--server", server.url])

    assert isinstance(found.exception, UnavailableError)
    assert str(found.exception).startswith(f"no server answers at {server.url} (")
    assert str(found.exception).endswith(
        'driftline up; then job "march" goes on: driftline job get march --follow'
    )
