"""Which server a command talks to: that of the installation here, or one that the user names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.app.doctor import examine
from driftline.app.installation import WrongServerError, installation_id
from driftline.database.engine import open_database
from driftline.database.migrations import migrate
from driftline.errors import InputError
from driftline.settings.settings import Settings, load
from tests.servers.postgres import open_url


def settle(folder: Path, port: int, database: str = "") -> Settings:
    """Write the settings of an installation; its database is there when a URL is given."""
    folder.mkdir(exist_ok=True)
    text = f"[server]\nport = {port}\n" + (f'[database]\nurl = "{database}"\n' if database else "")
    (folder / "driftline.toml").write_text(text)
    return load(folder / "driftline.toml", environment={})


def new_database(file: Path) -> str:
    """Make a database of its own: migrated, not copied."""
    url = f"sqlite:///{file}"
    engine = open_url(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def server(start, tmp_path_factory) -> Iterator:
    """Run a server; what a test declares there it takes back."""
    folder = tmp_path_factory.mktemp("theirs")
    url = new_database(folder / "theirs.db")
    with start(folder, database=url, allow_networks=["127.0.0.0/8"]) as found:
        found.database = url
        found.port = int(found.url.rsplit(":", 1)[1])
        yield found


@pytest.fixture(scope="module")
def another(tmp_path_factory) -> str:
    """Return the URL of the database of another installation."""
    return new_database(tmp_path_factory.mktemp("another") / "another.db")


@pytest.fixture
def resources(declare, tmp_path) -> Path:
    file = tmp_path / "resources.json"
    file.write_text(json.dumps(declare("Channel", "pager", url="http://127.0.0.1:9/hook")))
    return file


def run(*words: object) -> Result:
    done = CliRunner().invoke(build(str(words[0])), [str(word) for word in words])
    if isinstance(done.exception, Exception):
        raise done.exception
    return done


def channels(server) -> list[str]:
    with Client(server.url) as client:
        return [one["name"] for one in client.list("Channel")]


@pytest.fixture
def taken_back(server) -> Iterator[None]:
    """Delete the channel that a test declares."""
    yield
    with Client(server.url) as client:
        client.delete("Channel", "pager")


def test_each_new_database_has_an_id_of_its_own_and_keeps_it(tmp_path):
    first = settle(tmp_path / "a", 9001, new_database(tmp_path / "a.db"))
    second = settle(tmp_path / "b", 9002, new_database(tmp_path / "b.db"))
    before = installation_id(first)

    engine = open_database(first.database_url)
    migrate(engine)
    engine.dispose()

    assert len(str(before)) == 36
    assert installation_id(first) == before != installation_id(second)


def test_apply_writes_into_no_other_installation_than_that_of_the_folder(
    server, another, resources, tmp_path, monkeypatch
):
    settle(tmp_path / "mine", server.port, another)
    monkeypatch.chdir(tmp_path / "mine")

    with pytest.raises(WrongServerError) as refused:
        run("apply", "-f", resources)

    assert isinstance(refused.value, InputError)  # Exit code 2.
    assert str(refused.value) == (
        f"the server at {server.url} belongs to another installation (data in {server.root}) than "
        f"the one of {tmp_path}/mine/driftline.toml; to use yours, set another [server] port and "
        f"run: driftline up; to use this server, add --server {server.url}"
    )
    assert channels(server) == []


@pytest.mark.usefixtures("taken_back")
def test_apply_reaches_its_own_server(server, resources, tmp_path, monkeypatch):
    settle(tmp_path / "mine", server.port, server.database)
    monkeypatch.chdir(tmp_path / "mine")

    done = run("apply", "-f", resources)

    assert done.stdout == "create    Channel pager\n"


@pytest.mark.usefixtures("taken_back")
def test_the_settings_file_may_be_named(server, another, resources, tmp_path, monkeypatch):
    settle(tmp_path / "mine", server.port, server.database)
    settle(tmp_path / "other", server.port, another)
    monkeypatch.chdir(tmp_path / "other")

    run("apply", "-f", resources, "-c", tmp_path / "mine" / "driftline.toml")

    assert channels(server) == ["pager"]


@pytest.mark.usefixtures("taken_back")
def test_a_server_that_the_user_names_is_the_one_that_is_meant(
    server, another, resources, tmp_path, monkeypatch
):
    settle(tmp_path / "other", 9001, another)
    monkeypatch.chdir(tmp_path / "other")

    run("apply", "-f", resources, "--server", server.url)

    assert channels(server) == ["pager"]


def server_commands(group=None, path=()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    for name, one in (group or get_command(build())).commands.items():
        if hasattr(one, "commands"):
            yield from server_commands(one, (*path, name))
        elif "--server" in (flags := {flag for param in one.params for flag in param.opts}):
            yield (*path, name), flags


def test_every_command_that_takes_a_server_takes_a_settings_file():
    found = dict(server_commands())

    assert {("apply",), ("deploy",), ("truth", "load"), ("monitor", "run")} <= set(found)
    assert {path for path, flags in found.items() if "-c" not in flags} == set()


@pytest.mark.parametrize(
    "words",
    [
        "get monitor",
        "delete monitor m",
        "monitor run m",
        "monitor backtest m --from 2013-01-01 --to 2013-01-02",
        "alarm list",
        "alarm set-state a OK",
        "channel test c",
        "silence expire s",
        "capture stats",
        "truth load {file} --endpoint e",
        "invoke e {file}",
    ],
)
def test_every_command_refuses_the_server_of_another_installation(
    server, another, tmp_path, monkeypatch, words
):
    settle(tmp_path / "mine", server.port, another)
    monkeypatch.chdir(tmp_path / "mine")
    Path("rows.csv").write_text("inference_id,label\na,1\n")

    with pytest.raises(WrongServerError):
        run(*words.format(file="rows.csv").split())


def test_the_doctor_sees_that_the_server_is_not_its_own(server, another, tmp_path):
    mine = settle(tmp_path / "mine", server.port, another)
    theirs = settle(tmp_path / "theirs", server.port, server.database)

    found = {one.what: one for one in examine(mine, now=lambda: datetime.now(UTC))}["server"]
    own = {one.what: one for one in examine(theirs, now=lambda: datetime.now(UTC))}["server"]

    assert (found.verdict, own.verdict) == ("defect", "ok")
    assert "another installation" in found.found
    assert "[server] port" in found.mend
