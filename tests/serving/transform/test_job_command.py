"""`driftline job`, as it waits for a job of a server that dies meanwhile."""

import json
from contextlib import ExitStack
from types import SimpleNamespace

from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.commands import job
from driftline.errors import UnavailableError
from driftline.serving.resources.reach import Reach


def test_a_command_whose_server_dies_says_that_the_job_goes_on(
    start, trained, tmp_path, monkeypatch
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
        monkeypatch.setattr(job, "time", SimpleNamespace(sleep=lambda _: open_servers.close()))

        found = CliRunner().invoke(
            build("job"), ["job", "create", "march.json", "--server", server.url]
        )

    assert isinstance(found.exception, UnavailableError)
    assert "driftline job get march --follow" in str(found.exception)
