"""The doctor: what it says of an installation that is well, and of each way to be ill."""

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, text

from driftline.access.tokens import create_token, token_of_file
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.tables import outbox
from driftline.app.doctor import Finding, examine, worst
from driftline.app.processes import clock
from driftline.app.settings.schema import Kafka
from driftline.app.settings.settings import Settings, load, override
from driftline.capture.audit.audit import audit
from driftline.capture.audit.note import document_of, write_note
from driftline.capture.line.kafka import make_topics
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Gap, gap_folder, record_gaps
from driftline.database.engine import open_database
from driftline.database.migrations import migrate
from driftline.monitors.definitions import MonitorDefinition, put_definition
from tests.servers.commands import driftline
from tests.sinking import sink_all

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that all steps were taken on: copying it is a hundred times cheaper."""
    file = tmp_path_factory.mktemp("migrated") / "driftline.db"
    engine = open_database(f"sqlite:///{file}")
    migrate(engine)
    engine.dispose()
    return file


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    """An installation in a folder of its own whose processes do not run."""
    file = tmp_path / "driftline.toml"
    file.write_text("[storage]\nroot = 'store'\n[server]\nport = 1\n[dashboard]\nport = 2\n")
    found = load(file, environment={})
    Path(found.root).mkdir(mode=0o700)
    shutil.copy(migrated, Path(found.root, "driftline.db"))
    return found


def findings_of(settings: Settings) -> dict[str, Finding]:
    return {one.what: one for one in examine(settings, now=lambda: NOW)}


def test_a_new_installation_has_no_defect_and_each_warning_has_its_mend(settings):
    found = findings_of(settings)

    assert worst(found.values()) in ("ok", "warning")
    assert [
        found[one].verdict for one in ("store", "spool", "database", "monitors", "capture")
    ] == ["ok"] * 5
    assert found["server"].verdict == "warning"
    assert "driftline up" in found["server"].mend
    assert all(one.mend for one in found.values() if one.verdict != "ok")


def test_an_old_schema_is_a_defect_and_migrate_its_mend(settings):
    Path(settings.root, "driftline.db").unlink()

    found = findings_of(settings)["database"]

    assert (found.verdict, found.mend) == ("defect", "driftline migrate")
    assert not Path(settings.root, "driftline.db").exists()  # It only looks.


def test_a_schema_of_another_version_is_not_to_be_migrated(settings):
    engine = open_database(settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    found = findings_of(settings)["database"]

    assert found.verdict == "defect"
    assert "schema 9999, not " in found.found
    assert "migrate" not in found.mend
    assert "install the version that made it" in found.mend


def test_a_database_that_does_not_answer_is_a_defect_without_its_password(settings, monkeypatch):
    environment = {
        "DRIFTLINE_STORAGE__ROOT": settings.root,
        "DRIFTLINE_DATABASE__URL": "postgresql://me:hushhush@127.0.0.1:1/none",
    }

    found = findings_of(load(None, environment=environment))["database"]

    assert found.verdict == "defect"
    assert "hushhush" not in f"{found.found}{found.mend}"


@pytest.mark.postgres
@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_a_server_takes_writes_until_somebody_makes_it_read_only(settings, postgres, is_closed):
    name = postgres.new_database()
    if is_closed:
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    environment = {
        "DRIFTLINE_STORAGE__ROOT": settings.root,
        "DRIFTLINE_DATABASE__URL": postgres.tcp_url(name),
    }

    found = findings_of(load(None, environment=environment))["database"]
    postgres.drop(name)

    assert found.verdict == ("defect" if is_closed else "ok")
    assert ("read-only" if is_closed else "takes writes") in found.found
    assert postgres.password not in found.found


@pytest.mark.parametrize("url", ["oops", "postgresql://me@host:port/name"])
def test_a_url_that_is_none_is_a_defect_and_no_end(settings, url):
    environment = {
        "DRIFTLINE_STORAGE__ROOT": settings.root,
        "DRIFTLINE_DATABASE__URL": url,
    }

    found = findings_of(load(None, environment=environment))

    assert found["database"].verdict == "defect"
    assert f'"{url}" is no database URL' in found["database"].found
    assert "disk of the database" not in found
    assert "server" in found


def test_a_store_that_cannot_be_written_is_a_defect(settings, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = load(None, environment={"DRIFTLINE_STORAGE__ROOT": str(tmp_path / "file" / "in")})

    found = {one.what: one for one in examine(blocked, now=lambda: NOW)}["store"]

    assert found.verdict == "defect"
    assert "[storage] root" in found.mend


def test_a_disk_that_refuses_to_be_looked_at_is_a_defect_and_no_end(settings, monkeypatch):
    stat, root = Path.stat, settings.root

    def refuse(path, **named):
        if path.is_relative_to(root):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return stat(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        found = findings_of(settings)

    for one in ("disk of the store", "disk of the spool", "store", "spool", "database"):
        assert found[one].verdict == "defect"
        assert "Input/output error" in found[one].found
    assert "server" in found


def test_a_store_that_others_may_read_is_a_warning(settings):
    Path(settings.root).chmod(0o755)

    found = findings_of(settings)["store"]

    assert (found.verdict, found.mend) == ("warning", f"chmod -R o= {settings.root}")


def test_a_spool_that_others_may_read_is_a_defect(settings):
    settings.spool_dir.mkdir()
    settings.spool_dir.chmod(0o755)  # Whatever umask an earlier test has left.

    found = findings_of(settings)["spool"]

    assert (found.verdict, found.mend) == ("defect", f"chmod 700 {settings.spool_dir}")


def test_records_that_wait_for_long_are_a_warning(settings):
    writer = SpoolWriter(settings.spool_dir)
    hour_ago_ns = time.time_ns() - 3600 * 10**9
    writer.append({"endpoint": "flights"}, (b"x" * 2048,), wall_ns=hour_ago_ns)
    writer.append({"endpoint": "flights"})

    waiting = findings_of(settings)["spool"]
    tail = SpoolFollower(settings.spool_dir)
    tail.mark_shipped({one.spool_id: one.last_seq for one in tail.receive(10)})
    idle = findings_of(settings)["spool"]
    tail.close()
    writer.close()

    assert waiting.verdict == "warning"
    assert "KiB of 2.0 GiB" in waiting.found
    assert "the oldest record waits for 60 min" in waiting.found
    assert idle.verdict == "ok"


def with_kafka(settings: Settings, bootstrap: str, topic: str) -> Settings:
    kafka = Kafka(
        bootstrap_servers=[bootstrap],
        topic=topic,
        partitions=3,
        replication=1,
        sasl_username="me",
        sasl_password="hushhush",
    )
    capture = settings.capture.model_copy(update={"transport": "kafka"})
    return replace(settings, kafka=kafka, capture=capture)


def test_a_broker_that_does_not_answer_is_a_defect_without_its_password(settings):
    findings = findings_of(with_kafka(settings, "127.0.0.1:1", "captured"))
    found = findings["kafka"]

    assert "sidecar,sink" in findings["server"].mend
    assert found.verdict == "defect"
    assert "127.0.0.1:1" in found.found
    assert "[kafka] bootstrap_servers" in found.mend
    assert "hushhush" not in f"{found.found}{found.mend}"
    assert "kafka" not in findings_of(settings)  # Nobody is asked for a broker that is not used.


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_a_defect_and_one_that_is_tells_its_partitions(
    settings, kafka_broker, topic
):
    given = with_kafka(settings, kafka_broker.bootstrap, topic)

    without = findings_of(given)["kafka"]
    make_topics(KafkaOptions(**given.kafka.model_dump()))
    there = findings_of(given)["kafka"]

    assert (without.verdict, without.found) == (
        "defect",
        f'{kafka_broker.bootstrap}, topic "{topic}": there is no such topic',
    )
    assert (there.verdict, there.found) == (
        "ok",
        f'{kafka_broker.bootstrap}, topic "{topic}": 3 partitions',
    )


def test_an_overdue_monitor_is_a_defect_that_names_it(settings):
    with open_database(settings.database_url).begin() as connection:
        definition = MonitorDefinition("daily", "flights", "flights", start=NOW - timedelta(days=9))
        put_definition(connection, definition, NOW)

    found = findings_of(settings)["monitors"]

    assert found.verdict == "defect"
    assert found.found.startswith("1 of 1 overdue; daily for ")


def test_an_alarm_that_tells_nobody_is_a_warning(settings):
    alarm = {
        "alarm_name": "quiet", "namespace": "Driftline", "metric_name": "pages", "period": 60,
        "statistic": "Sum", "evaluation_periods": 1, "threshold": 0.0,
        "comparison_operator": "GreaterThanThreshold",
    }  # fmt: skip
    with open_database(settings.database_url).begin() as connection:
        put_alarm(connection, AlarmDefinition.from_dict(alarm), NOW)

    assert findings_of(settings)["messages"].found == '1 alarms tell nobody, such as "quiet"'


def test_what_was_lost_lately_is_counted_with_its_reason(settings):
    now = datetime.now(UTC)
    old, new = now - timedelta(days=30), now - timedelta(hours=1)
    gaps = [
        Gap("a", 1, "flights", "full", 40, 0, old, old),
        Gap("a", 2, "flights", "full", 2, 0, new, new),
        Gap("b", 1, "", "torn", None, 0, None, None),
    ]
    record_gaps(gap_folder(settings.root), gaps)

    found = findings_of(settings)["capture"]

    assert found.found == (
        "2 records and 1 gaps of unknown size lost in the last 7 days (full, torn); "
        "of them in the last day: full 2"
    )
    assert "spool_max_bytes" in found.mend


def test_a_spool_that_is_nearly_full_is_a_warning(settings):
    writer = SpoolWriter(settings.spool_dir)
    writer.append({"endpoint": "flights"}, (b"x" * 8000,), wall_ns=time.time_ns())
    writer.close()

    found = findings_of(override(settings, "capture", "spool_max_bytes", 10_000))["spool"]

    assert found.verdict == "warning"
    assert "nearly full" in found.found


def test_the_last_audit_is_told_and_one_that_does_not_add_up_is_a_defect(settings):
    assert findings_of(settings)["capture audit"].verdict == "ok"
    writer = SpoolWriter(settings.spool_dir)
    for _ in range(3):
        writer.append({"endpoint": "flights"}, wall_ns=time.time_ns(), status=200)
    writer.close()
    sink_all(settings.root, settings.spool_dir)
    write_note(settings.root, document_of(audit(settings.root, now=lambda: datetime.now(UTC))))
    good = findings_of(settings)["capture audit"]
    for file in Path(settings.root).glob("capture/flights/*/*.parquet"):
        file.unlink()
    bad = audit(settings.root, now=lambda: datetime.now(UTC))
    write_note(settings.root, document_of(bad))
    worse = findings_of(settings)["capture audit"]

    assert good.verdict == "ok"
    assert good.found.startswith("adds up: 3 numbers of 1 spools")
    assert worse.verdict == "defect"
    assert "3 missing" in worse.found


def test_a_table_of_losses_that_cannot_be_read_is_a_defect_and_no_end(settings):
    record_gaps(gap_folder(settings.root), [Gap("a", 1, "flights", "full", 40, 0, None, None)])
    for file in Path(settings.root, "gaps").rglob("*.parquet"):
        file.write_bytes(b"broken")

    found = findings_of(settings)

    assert found["capture"].verdict == "defect"
    assert "server" in found


def test_entries_that_were_cut_off_are_named_until_the_sink_has_replaced_them(settings):
    folder = gap_folder(settings.root)
    record_gaps(folder, [Gap("s", 1, "flights", "full", 3, 0, None, NOW)])
    newest = Path(folder.path, "_delta_log", f"{1:020d}.json")
    newest.write_bytes(b"")

    before = findings_of(settings)["tables"]
    folder.secure()
    after = findings_of(settings)["tables"]

    assert before.verdict == "defect"
    assert f"gaps/{newest.name}" in before.found
    assert (after.verdict, after.mend.split(",")[0]) == (
        "warning",
        "see that driftline capture audit adds up",
    )


def test_what_cannot_be_read_is_not_to_be_thrown_away(settings):
    record_gaps(gap_folder(settings.root), [Gap("a", 1, "flights", "full", 40, 0, None, None)])
    for file in Path(settings.root, "gaps").rglob("*.parquet"):
        file.write_bytes(b"broken")
    damaged = findings_of(settings)["capture"]
    options = {
        "endpoint_url": "http://127.0.0.1:1", "allow_http": "true", "region": "us-east-1",
        "access_key_id": "a", "secret_access_key": "b",
    }  # fmt: skip
    storage = {"root": "s3://models/driftline", "options": options}
    bucket = settings.storage.model_copy(update=storage)
    away = findings_of(replace(settings, storage=bucket))

    assert "bring back from a copy" in damaged.mend
    assert "the storage cannot be reached" in away["store"].found
    assert (away["capture"].mend, away["capture audit"].mend) == ("see the store", "see the store")
    assert not any("remove" in one.mend for one in (damaged, *away.values()))


def test_a_clock_that_cannot_be_read_is_a_defect_and_no_end(settings, tmp_path):
    broken = override(settings, "scheduler", "clock", f"file:{tmp_path}/none")

    found = {one.what: one for one in examine(broken, now=clock(broken))}

    assert found["monitors"].verdict == "defect"
    assert "[scheduler] clock" in found["monitors"].mend
    assert {"messages", "capture", "server"} <= set(found)


def test_messages_given_up_are_a_defect_for_as_long_as_they_are_news(settings):
    now = datetime.now(UTC)
    row = {
        "alarm_id": 1, "alarm_name": "a", "state_seq": 1, "state": "ALARM", "body": b"",
        "content_type": "x", "created_at": now, "next_attempt_at": now, "status": "dead",
    }  # fmt: skip
    old, new = now - timedelta(days=30), now - timedelta(hours=1)
    with open_database(settings.database_url).begin() as connection:
        connection.execute(insert(outbox).values(id="1", channel="c", finished_at=old, **row))
    before = findings_of(settings)["messages"]
    with open_database(settings.database_url).begin() as connection:
        connection.execute(insert(outbox).values(id="2", channel="d", finished_at=new, **row))
    after = findings_of(settings)["messages"]

    assert before.verdict == "ok"
    assert (after.verdict, after.found) == (
        "defect",
        "1 could not be delivered in the last 7 days",
    )


def test_secrets_that_another_machine_sealed_are_a_defect(settings):
    channel = Channel("pager", "https://example.org/hook")
    with open_database(settings.database_url).begin() as connection:
        put_channel(connection, channel, NOW, vault=Vault(Fernet.generate_key().decode()))

    without = findings_of(settings)["channels"]
    assert not settings.secrets_key_file.exists()
    settings.secrets_key_file.write_bytes(Fernet.generate_key())
    other = findings_of(settings)["channels"]
    settings.secrets_key_file.write_text("\n")
    none = findings_of(settings)["channels"]

    for one in (without, other):
        assert one.verdict == "defect"
        assert one.found.startswith("pager: sealed with another key than this machine's")
        assert "the same [notify] secrets_key" in one.mend
    assert "holds no key" in none.found


def test_the_command_says_each_mend_and_ends_with_1_on_a_defect(settings, tmp_path):
    asked = ("doctor", "-c", tmp_path / "driftline.toml")

    well = driftline(*asked)
    Path(settings.root, "driftline.db").unlink()
    ill = driftline(*asked, "--json")

    assert well.returncode == 0, well.stderr
    assert "fix: driftline up" in well.stdout
    assert ill.returncode == 1
    assert json.loads(ill.stdout)["verdict"] == "defect"


def test_the_mode_of_access_is_said(settings):
    found = findings_of(settings)

    assert (found["access"].verdict, found["access"].found[:5]) == ("ok", '"off"')
    assert "tokens" not in found


def test_a_token_file_that_others_may_read_is_a_defect(settings):
    guarded = override(settings, "auth", "mode", "token")
    token_of_file(guarded.token_file)
    assert findings_of(guarded)["access"].verdict == "ok"
    guarded.token_file.chmod(0o644)

    found = findings_of(guarded)["access"]

    assert (found.verdict, found.mend) == ("defect", f"run: chmod 600 {guarded.token_file}")


def test_a_listener_for_others_whom_nobody_can_name_is_remarked(settings):
    guarded = override(settings, "auth", "mode", "token")
    for key, value in (("host", "0.0.0.0"), ("tls_cert_file", "server.pem")):
        guarded = override(guarded, "server", key, value)

    found = findings_of(guarded)["access"]
    named = findings_of(override(guarded, "auth", "hosts", ["drift.example.org"]))["access"]

    assert (found.verdict, named.verdict) == ("warning", "ok")
    assert found.found.startswith("[server] listen for others")
    assert "set [auth] hosts" in found.mend


def test_a_trusted_proxy_without_networks_is_a_defect(settings):
    found = findings_of(override(settings, "auth", "mode", "proxy"))["access"]

    assert (found.verdict, found.found) == (
        "defect", '[auth] mode = "proxy" and [auth] proxy_networks is empty',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("issuer", "words"),
    [
        ("", '[auth] mode = "oidc" and [auth] oidc_issuer is empty'),
        ("http://id.example.org", '[auth] oidc_issuer = "http://id.example.org"'),
    ],
)
def test_a_provider_that_cannot_be_asked_safely_is_a_defect(settings, issuer, words):
    asked = override(settings, "auth", "mode", "oidc")
    asked = override(asked, "auth", "oidc_client_id", "driftline")
    found = findings_of(override(asked, "auth", "oidc_issuer", issuer))["access"]

    assert (found.verdict, found.found) == ("defect", words)


def test_a_token_that_never_ends_is_remarked_after_a_year(settings):
    guarded = override(settings, "auth", "mode", "token")
    engine = open_database(settings.database_url)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for name, days, end in (("old", 400, None), ("new", 1, None), ("ends", 400, 800)):
            made = now - timedelta(days=days)
            create_token(
                connection, name, ["viewer"], now=made, created_by="test",
                expires_at=None if end is None else made + timedelta(days=end),
            )  # fmt: skip
    engine.dispose()

    found = findings_of(guarded)["tokens"]

    assert (found.verdict, found.found) == ("warning", "1 older than a year never end: old")
