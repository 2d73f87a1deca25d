import traceback
from pathlib import Path

import pytest

from driftline.capture.line.kafka_options import KafkaOptions
from driftline.errors import InputError
from driftline.settings.settings import describe, load


def _file(folder: Path, text: str) -> Path:
    path = folder / "driftline.toml"
    path.write_text(text)
    return path


def test_environment_overrides_file_and_flag_both_and_every_value_tells_its_source(
    tmp_path: Path,
) -> None:
    file = _file(tmp_path, "[server]\nport = 9000\n[serving]\ntimeout_s = 5\n")
    environment = {
        "DRIFTLINE_SERVER__PORT": "9001",
        "DRIFTLINE_DASHBOARD__PORT": "9002",
        "DRIFTLINE_NOTIFY__ALLOW_NETWORKS": "10.0.0.0/8, 192.168.0.0/16",
    }
    found = load(file, environment=environment, flags={("dashboard", "port"): 9003})

    shown = {f"{row['section']}.{row['key']}": row for row in describe(found)}

    assert found.notify.allow_networks == ["10.0.0.0/8", "192.168.0.0/16"]
    assert {name: (shown[name]["value"], shown[name]["source"]) for name in (
        "serving.timeout_s", "server.port", "dashboard.port", "server.host"
    )} == {
        "serving.timeout_s": (5.0, str(file)),
        "server.port": (9001, "environment DRIFTLINE_SERVER__PORT"),
        "dashboard.port": (9003, "flag"),
        "server.host": ("127.0.0.1", "default"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[server]\nprot = 1\n", '"prot" is unknown; the nearest known one is "port"'),
        ("[sever]\nport = 1\n", '"sever" is unknown; the nearest known one is "server"'),
        ("[sources]\nx = 'y'\n", '"sources"'),
        ("[server]\nport = 70000\n", "65535"),
        ('[server]\ntls_key_file = "key.pem"\n', "tls_cert_file"),
        ('[storage]\nroot = ""\n', "root"),
        ('[auth]\nmode = "none"\n', "off, token, proxy or oidc"),
        ('[auth]\nmode = "proxy"\n', "proxy_networks"),
        ('[auth]\ngroup_roles = ["on-call=king"]\n', "king"),
        ("[server\n", "not TOML"),
        ("[kafka]\nsasl_password = 123456\n", "sasl_password"),
        ('[database]\nurl = ["pg://me:123456@h/d"]\n', "url"),
        ('[query]\nconnections = "123456"\n', "connections"),
        ('[metrics]\nhost = "0.0.0.0"\n', "[metrics]"),  # Others want a token that nobody guesses.
        ('[metrics]\nhost = "0.0.0.0"\ntoken = "123456"\n', "token"),
        ('[metrics]\ntoken = "123456"\n', "or none where host is loopback"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it_and_shows_no_secret(
    tmp_path: Path, text: str, part: str
) -> None:
    with pytest.raises(InputError) as raised:
        load(_file(tmp_path, text), environment={})

    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "123456" not in "".join(traceback.format_exception(raised.value))


def test_secrets_may_come_from_files_that_environment_or_settings_name(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://driftline:hidden@db/driftline\n")
    (tmp_path / "key").write_text("hidden")
    file = _file(
        tmp_path, '[kafka]\nsasl_password_file = "key"\n[query.connections]\nhouse_file = "key"'
    )
    environment = {
        "DRIFTLINE_DATABASE__URL_FILE": str(tmp_path / "url"),
        "DRIFTLINE_STORAGE__OPTIONS__ACCESS_KEY_ID": "id",
        "DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY_FILE": str(tmp_path / "key"),
    }

    found = load(file, environment=environment)

    assert found.database_url == "postgresql://driftline:hidden@db/driftline"
    assert found.storage.options == {"access_key_id": "id", "secret_access_key": "hidden"}
    assert (found.kafka.sasl_password, found.query.connections) == ("hidden", {"house": "hidden"})
    assert {one.name for one in found.secret_files} == {"url", "key"}
    (tmp_path / "key").unlink()
    with pytest.raises(InputError):
        load(file, environment={})


def test_passwords_are_never_shown() -> None:
    environment = {
        "DRIFTLINE_KAFKA__SASL_PASSWORD": "hunter2",
        "DRIFTLINE_DATABASE__URL": "postgresql://me:x@hunter2 x@host/db",
        "DRIFTLINE_CAPTURE__REDACT_KEYS": "k1:hunter2",
        "DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY": "hunter2",
        "DRIFTLINE_STORAGE__OPTIONS__ACCESS_KEY_ID": "id",
        "DRIFTLINE_METRICS__HOST": "0.0.0.0",
        "DRIFTLINE_METRICS__TOKEN": "hunter2" * 5,
        "DRIFTLINE_QUERY__CONNECTIONS__LAKE": "postgresql://me:hunter2@db/scores",
    }
    found = load(environment=environment)

    shown = {f"{row['section']}.{row['key']}": row["value"] for row in describe(found)}

    assert shown["kafka.sasl_password"] == "***"
    assert shown["query.connections"] == {"lake": "postgresql://me:***@db/scores"}
    assert "***" in shown["database.url"]
    assert "hunter2" not in f"{found!r} {shown}"
    assert "hunter2" not in repr(KafkaOptions(**found.kafka.model_dump()))
