"""Health is what a write says, not what a question is answered."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from driftline.serving.context import ServerContext
from driftline.serving.health import Health, disks
from driftline.storage import disk_failure
from tests.servers.postgres import new_sqlite, open_url

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


@pytest.fixture
def context(tmp_path):
    engine = open_url(new_sqlite(tmp_path))
    yield ServerContext(
        engine=engine, root=str(tmp_path / "root"), spool_dir=tmp_path / "spool", now=lambda: NOW
    )
    engine.dispose()


def test_a_database_that_is_read_only_is_not_ready_though_it_answers(start, tmp_path, until):
    with start(tmp_path) as server:

        @event.listens_for(server.engine, "connect")
        def forbid(connection, _entry):
            connection.execute("PRAGMA query_only = ON")

        server.engine.dispose()
        answer = until(lambda: (told := server.client.get("/readyz")).is_error and told)
        alive = server.client.get("/healthz")
        metrics = server.client.get("/metrics").text

    assert answer.status_code == 503
    assert "readonly" in answer.json()["database"]
    assert (alive.status_code, alive.json()["status"]) == (200, "impaired")
    assert "driftline_database_up 0.0" in metrics


def test_a_database_that_somebody_writes_to_for_long_takes_writes(context):
    with context.engine.begin() as writing:
        writing.exec_driver_sql("PRAGMA user_version = 1")

        assert Health(context).look() == {}


def test_each_disk_that_is_written_to_is_looked_at(context, tmp_path):
    elsewhere = replace(context, spool_dir=Path("/proc/spool"), local_dir=tmp_path / "local")

    problems = Health(elsewhere).look()

    assert disks(elsewhere) == [
        Path("/proc/spool"),
        tmp_path / "root",
        tmp_path / "local",
        tmp_path,
    ]
    assert list(problems) == ["disks"]
    assert "/proc/spool" in problems["disks"][0]


def test_a_disk_that_is_full_takes_no_writes_and_then_does_again(tmp_path):
    if os.geteuid():
        pytest.skip("only root mounts volumes")
    assert os.system(f"mount -t tmpfs -o size=1m tmpfs {tmp_path}") == 0
    try:
        (tmp_path / "filler").write_bytes(bytes(1 << 20))
        full = disk_failure(tmp_path / "spool")
        (tmp_path / "filler").unlink()

        assert "No space left on device" in full
        assert disk_failure(tmp_path / "spool") == ""
    finally:
        os.system(f"umount --lazy {tmp_path}")


def test_who_asks_often_is_told_what_the_last_look_has_found(context):
    moment = [0.0]
    health = Health(context, monotonic=lambda: moment[0])
    assert health.look() == {}
    context.engine.dispose()
    Path(context.engine.url.database).write_bytes(b"no database" * 1000)

    fresh = health.look()
    moment[0] += 60.0

    assert fresh == {}
    assert "database" in health.look()
