"""Options that several commands share."""

import pytest
import typer
from typer.testing import CliRunner

from driftline.commands import options
from driftline.roles import Facet, Roles


def test_the_server_is_the_one_given_else_that_of_the_settings_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.address("") == "http://127.0.0.1:8080"

    (tmp_path / "driftline.toml").write_text("[server]\nport = 9001\n")
    assert options.address("") == "http://127.0.0.1:9001"

    monkeypatch.setenv("DRIFTLINE_SERVER__PORT", "9002")
    assert options.address("") == "http://127.0.0.1:9002"
    assert options.address("http://127.0.0.1:1") == "http://127.0.0.1:1"


@pytest.fixture
def command():
    """A command with roles, and what it was called with."""
    seen: list[tuple[str, Roles]] = []
    app = typer.Typer()

    @app.command()
    @options.with_roles
    def go(data: str, *, roles: Roles) -> None:
        """Go."""
        seen.append((data, roles))

    return app, seen


def test_roles_are_options_and_come_as_one_value(command):
    app, seen = command
    line = "x.csv --label y --probability p --probability q --exclude a --positive 1.0"

    done = CliRunner().invoke(app, [*line.split(), "--facet", "sex=F", "--threshold", "0.3"])

    assert done.exit_code == 0, done.output
    assert seen == [
        (
            "x.csv",
            Roles(
                label="y",
                probability=("p", "q"),
                exclude=("a",),
                positive="1.0",
                threshold=0.3,
                facets=(Facet("sex", ("F",)),),
            ),
        )
    ]


def test_a_command_keeps_its_own_help(command):
    app, _ = command

    text = CliRunner().invoke(app, ["--help"]).output

    assert "Go." in text
    assert all(f"--{one}" in text for one in ("label", "id", "facet", "group", "threshold"))
