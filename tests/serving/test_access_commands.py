"""Tokens and the audit log by the command line, on a running server that asks for tokens."""

from datetime import timedelta

import pytest
from typer.testing import CliRunner

from driftline.access.principal import Principal
from driftline.access.sessions import begin_session, find_session
from driftline.access.tokens import new_secret
from driftline.app.cli import build
from driftline.errors import InputError, NotFoundError
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, running
from tests.serving.guarded import knowing

SECRET = new_secret()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    url = new_sqlite(folder)
    engine = open_url(url)
    known = knowing(engine, SECRET)
    with running(folder, database=url, authenticator=known) as found:
        yield found
    engine.dispose()


@pytest.fixture(autouse=True)
def _at_80_columns(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(server, monkeypatch):
    def run(*words: str, secret: str = SECRET) -> tuple[int, str, str]:
        monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", secret)
        found = CliRunner().invoke(build(words[0]), [*words, "--server", server.url])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.stdout, found.stderr

    return run


def test_somebody_is_logged_out_and_the_log_has_it(run, server):
    with server.engine.begin() as connection:
        who = Principal("ana@example.org", frozenset({"viewer"}), via="oidc")
        secret = begin_session(connection, who, NOW, timedelta(hours=1))

    said = run("token", "end-sessions", "ana@example.org")[1]

    assert said == '"ana@example.org" is logged out within 10 s\n'
    with server.engine.connect() as connection:
        assert find_session(connection, secret, NOW) is None
    assert "Sessions/ana@example.org" in run("audit", "--target", "Sessions/ana@example.org")[1]
    with pytest.raises(NotFoundError, match="has no session"):
        run("token", "end-sessions", "ana@example.org")


def test_what_does_not_exist_is_named_before_anything_is_stored(run):
    with pytest.raises(NotFoundError, match='alarm "nosuch" does not exist'):
        run("silence", "put", "roll-out", "--alarm", "nosuch")
    assert run("get", "silence", "--json")[1] == "[]\n"
    assert (
        "not declared yet" in run("token", "create", "a", "--role", "ingest", "--endpoint", "x")[2]
    )


def test_a_span_that_ends_before_it_begins_is_refused(run):
    with pytest.raises(InputError, match="expected a start before the end"):
        run("audit", "--from", "2026-01-15", "--to", "2026-01-14")
