import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from driftline.capture.line.kafka_options import KafkaOptions
from driftline.settings.schema import Kafka
from driftline.settings.settings import SettingsError, describe, load, override


def _file(folder: Path, text: str) -> Path:
    path = folder / "driftline.toml"
    path.write_text(text)
    return path


def test_defaults_listen_on_loopback_only() -> None:
    found = load(environment={})

    assert (found.server.host, found.server.port) == ("127.0.0.1", 8080)
    assert (found.dashboard.host, found.dashboard.port) == ("127.0.0.1", 8081)


def test_environment_overrides_file_and_flag_both_and_every_value_tells_its_source(
    tmp_path: Path,
) -> None:
    file = _file(tmp_path, "[server]\nport = 9000\n[alarms]\nretention_days = 5\n")
    environment = {"DRIFTLINE_SERVER__PORT": "9001", "DRIFTLINE_DASHBOARD__PORT": "9002"}
    found = override(load(file, environment=environment), "dashboard", "port", 9003)

    shown = {f"{row['section']}.{row['key']}": row for row in describe(found)}

    assert {name: (shown[name]["value"], shown[name]["source"]) for name in (
        "alarms.retention_days", "server.port", "dashboard.port", "server.host"
    )} == {
        "alarms.retention_days": (5.0, str(file)),
        "server.port": (9001, "environment DRIFTLINE_SERVER__PORT"),
        "dashboard.port": (9003, "flag"),
        "server.host": ("127.0.0.1", "default"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1\n", '"prot" is unknown; the nearest known one is "port"'),
        ("[sever]\nport = 1\n", '"sever" is unknown; the nearest known one is "server"'),
        ("[server]\nport = {}\n", "port"),
        ('[server]\nport = "x"\n', "expected a whole number"),
        ("[server]\nport = true\n", "port: True; expected a whole number"),
        ('[query]\ntimeout_s = "x"\n', "expected a number"),
        ("[server]\nport = 70000\n", "expected 65535 or less"),
        ("[server]\nport = 0\n", "expected more than 0"),
        ("[[capture.redact]]\nfield = 2024-01-01\n", "redact"),
        ("[file]\nx = 1\n", 'section "file" is unknown'),
        ("[serving]\ntrust_pickle = 3\n", "expected true or false"),
        ("[notify]\nallow_networks = 3\n", "expected a list"),
        ('[auth]\nmode = "none"\n', "expected off, token, proxy or oidc"),
        ('[scheduler]\nclock = "sundial"\n', 'expected "system" or "file:PATH"'),
        ("server = 3\n", "not a section of keys"),
        ("[server\n", "not TOML"),
    ],
)
def test_wrong_settings_give_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(_file(tmp_path, text), environment={})

    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ['["10.0.0.0/8", "192.168.0.0/16"]', "10.0.0.0/8, 192.168.0.0/16"])
def test_a_list_in_the_environment_is_json_or_texts_between_commas(text: str) -> None:
    found = load(None, environment={"DRIFTLINE_NOTIFY__ALLOW_NETWORKS": text})

    assert found.notify.allow_networks == ["10.0.0.0/8", "192.168.0.0/16"]


def test_a_secret_may_come_from_a_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://driftline:hidden@db/driftline\n")
    (tmp_path / "key").write_text("hidden")
    environment = {
        "DRIFTLINE_DATABASE__URL_FILE": str(tmp_path / "url"),
        "DRIFTLINE_STORAGE__OPTIONS__ACCESS_KEY_ID": "id",
        "DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY_FILE": str(tmp_path / "key"),
        "DRIFTLINE_NOTIFY__SECRETS_KEY_FILE": str(tmp_path / "key"),
    }

    found = load(None, environment=environment)

    assert found.database_url == "postgresql://driftline:hidden@db/driftline"
    assert found.storage.options == {"access_key_id": "id", "secret_access_key": "hidden"}
    assert found.notify.secrets_key == "hidden"


def test_a_secrets_file_that_the_settings_file_names_lies_beside_it(tmp_path: Path) -> None:
    file = _file(
        tmp_path, '[kafka]\nsasl_password_file = "pw"\n[query.connections]\nhouse_file = "pw"'
    )
    (tmp_path / "pw").write_text("hush")

    found = load(file, environment={})

    assert (found.kafka.sasl_password, found.query.connections) == ("hush", {"house": "hush"})
    (tmp_path / "pw").unlink()
    with pytest.raises(SettingsError, match=r"pw cannot be read \(No such"):
        load(file, environment={})


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    found = load(_file(tmp_path, '[storage]\nroot = "data"\n'), environment={})

    assert found.root == str(tmp_path / "data")
    assert found.spool_dir == tmp_path / "data" / "spool"
    assert found.database_url == f"sqlite:///{tmp_path}/data/driftline.db"


def test_passwords_are_never_shown() -> None:
    environment = {
        "DRIFTLINE_KAFKA__SASL_PASSWORD": "hunter2",
        "DRIFTLINE_DATABASE__URL": "postgresql://me:x@hunter2 x@host/db",
        "DRIFTLINE_CAPTURE__REDACT_KEYS": "k1:hunter2",
        "DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY": "hunter2",
        "DRIFTLINE_STORAGE__OPTIONS__ACCESS_KEY_ID": "id",
    }
    found = load(environment=environment)

    shown = {f"{row['section']}.{row['key']}": row["value"] for row in describe(found)}

    assert found.kafka.sasl_password == "hunter2"
    assert shown["kafka.sasl_password"] == "***"
    assert "***" in shown["database.url"]
    assert "hunter2" not in f"{found!r} {shown}"
    assert "hunter2" not in repr(KafkaOptions(**found.kafka.model_dump()))


@pytest.mark.parametrize(
    "text", ["[kafka]\nsasl_password = 123456\n", '[database]\nurl = ["pg://me:123456@h/d"]\n']
)
def test_a_secret_that_is_no_text_is_refused_without_being_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="expected text") as raised:
        load(_file(tmp_path, text), environment={})

    assert "123456" not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(ValidationError) as plain:
        Kafka(sasl_password=["123456"])  # type: ignore[arg-type] # what is wrong with it
    assert "123456" not in str(plain.value)


@pytest.mark.parametrize("token", ["", "short"])
def test_metrics_for_others_want_a_token_that_nobody_guesses(tmp_path: Path, token: str) -> None:
    file = _file(tmp_path, f'[metrics]\nhost = "0.0.0.0"\ntoken = "{token}"\n')

    with pytest.raises(SettingsError, match="32 characters or more") as error:
        load(file, environment={})
    assert "short" not in str(error.value)
    assert load(file, environment={"DRIFTLINE_METRICS__TOKEN": "t" * 32}).metrics.token


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    found = load(_file(tmp_path, '[server]\ntls_key_file = "key.pem"\n'), environment={})

    with pytest.raises(SettingsError, match="without tls_cert_file; set both, or none"):
        _ = found.tls_files


def test_connections_of_queries_are_shown_without_their_passwords(tmp_path: Path) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text('[query.connections]\nlake = "sqlite:////data/scores.db"\n')
    environment = {"DRIFTLINE_QUERY__CONNECTIONS__WAREHOUSE": "postgresql://me:hidden@db/scores"}

    found = load(file, environment=environment)

    shown = {(one["section"], one["key"]): one["value"] for one in describe(found)}
    assert shown["query", "connections"] == {
        "lake": "sqlite:////data/scores.db",
        "warehouse": "postgresql://me:***@db/scores",
    }
    assert found.query.connections["warehouse"] == "postgresql://me:hidden@db/scores"
    file.write_text('[query]\nconnections = "hidden"\n')
    with pytest.raises(SettingsError, match="connections: expected an object") as error:
        load(file, environment={})
    assert "hidden" not in str(error.value)
