"""Which server a command talks to: that of the installation here, or one that the user names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.installation import WrongServerError
from tests.servers.postgres import new_sqlite


def run(*words: str) -> str:
    done = CliRunner().invoke(build(words[0]), words)
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.stdout


def test_commands_write_into_no_other_installation_unless_its_user_names_it(
    start, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("rows.csv").write_text("inference_id,label\na,1\n")
    channel = {"kind": "Channel", "name": "pager", "spec": {"url": "http://127.0.0.1:9/hook"}}
    Path("pager.json").write_text(json.dumps(channel))
    url = new_sqlite(tmp_path)
    with start(tmp_path, database=url, allow_networks=["127.0.0.0/8"]) as server:
        text = f"[server]\nport = {server.url.rsplit(':', 1)[1]}\n[database]\nurl = "
        Path("driftline.toml").write_text(f'{text}"{new_sqlite(tmp_path / "other")}"\n')
        Path("theirs.toml").write_text(f'{text}"{url}"\n')

        for words in (
            ["apply", "-f", "pager.json"],
            ["monitor", "run", "m"],
            ["truth", "load", "rows.csv", "--endpoint", "e"],
        ):
            with pytest.raises(WrongServerError):
                run(*words)
        before = server.client.get("/api/v1/channels").json()["items"]
        run("apply", "-f", "pager.json", "--server", server.url)
        again = run("apply", "-f", "pager.json", "-c", "theirs.toml")

    assert before == []
    assert again == "unchanged Channel pager\n"
