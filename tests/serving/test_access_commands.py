"""Tokens and the audit log by the command line, on a running server that asks for tokens."""

import json
import re
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from driftline.access.principal import Principal
from driftline.access.sessions import begin_session, find_session
from driftline.access.tokens import new_secret
from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.errors import ForbiddenError, InputError, NotFoundError
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


def test_a_secret_stands_alone_on_standard_output_and_opens_what_it_is_for(run):
    words = ("--role", "viewer", "--role", "invoke", "--endpoint", "flights", "--expires", "90d")
    code, secret, talk = run("token", "create", "ana", *words)

    assert code == 0
    assert re.fullmatch(r"dl_\S{43}\n", secret)
    assert 'token "ana": viewer, invoke; flights; until 20' in talk
    assert secret.strip() not in talk
    assert run("whoami", secret=secret.strip())[1] == "ana (by token): invoke, viewer; flights\n"


def test_tokens_are_listed_without_secrets_and_end_when_they_are_revoked(run, server):
    made = json.loads(run("token", "create", "brief", "--role", "viewer", "--json")[1])
    assert run("token", "revoke", "brief")[0] == 0

    code, table, _ = run("token", "list")

    assert code == 0
    assert re.search(r"^brief +viewer +all +revoked +- *$", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 80
    assert made["token"] not in table + run("token", "list", "--json")[1]
    with Client(server.url, token=made["token"]) as client, pytest.raises(ForbiddenError) as error:
        client.list("Alarm")
    assert "does not know the token" in str(error.value)


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


@pytest.mark.parametrize(
    ("expires", "sentence"),
    [
        ("soon", '--expires "soon"; expected a time'),
        ("99999999999d", '--expires "99999999999d"; expected less'),
        ("2001-01-01", "is past; expected a later time"),
    ],
)
def test_an_end_that_is_none_is_refused(run, expires, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        run("token", "create", "never", "--role", "viewer", "--expires", expires)


def test_the_audit_shows_each_changed_field_at_80_columns(run, server, declare):
    silence = declare(
        "Silence", "night", alarm_names=["a"], ends_at="2027-02-01T00:00:00Z", comment="old",
        created_by="ana",
    )  # fmt: skip
    with Client(server.url, token=SECRET) as client:
        client.apply([silence])
        silence["spec"]["comment"] = "new " + "and long " * 20
        client.apply([silence])
        client.delete("Silence", "night")

    code, text, _ = run("audit", "--target", "Silence/night", "--since", "2026-01-15")

    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert 'update Silence/night - spec.comment: "old" -> "new' in words
    assert words.index("delete Silence/night") < words.index("update Silence/night")
    assert "created_by" not in words[words.index("update") : words.index("create Silence")]


def test_the_audit_of_one_subject_shows_its_refusals(run):
    secret = run("token", "create", "eve", "--role", "viewer")[1].strip()
    with pytest.raises(ForbiddenError, match="this takes the role admin; an admin makes one"):
        run("audit", secret=secret)

    found = json.loads(run("audit", "--subject", "eve", "--json")[1])

    assert [(one["action"], one["status"]) for one in found] == [("GET /api/v1/audit", 403)]
