"""Rows of a query: one SELECT, that can neither write nor hang, of databases of somebody else's."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from driftline.capture.windows.window import Window
from driftline.errors import InputError, UnavailableError
from driftline.monitors.external.query import running
from driftline.monitors.external.source import Access, ExternalSource

START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=1))
SELECT = "SELECT x, scored_at FROM t WHERE scored_at >= :start AND scored_at < :end ORDER BY x"
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture
def url(database_url: str, engine: Engine) -> str:
    kind = "TEXT" if engine.dialect.name == "sqlite" else "timestamp"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE t (x integer, scored_at {kind})"))
        for hour in range(4):
            moment = f"2024-01-01 0{hour}:00:00"
            connection.execute(text(f"INSERT INTO t VALUES ({hour}, '{moment}')"))
    return database_url


def rows_of(url: str, query: str = SELECT, zone: str = "UTC", timeout_s: float = 60.0) -> list[int]:
    with running(query, url, "warehouse", window=WINDOW, zone=zone, timeout_s=timeout_s) as rows:
        return [one for batch in rows.batches(["x"]) for one in batch["x"].to_pylist()]


@pytest.mark.parametrize(("zone", "rows"), [("UTC", [0]), ("Europe/Berlin", [1])])
def test_the_bounds_are_the_windows_in_the_zone_of_the_times(
    url: str, zone: str, rows: list[int]
) -> None:
    assert rows_of(url, zone=zone) == rows


def test_a_query_that_writes_is_refused_and_nothing_is_written(url: str, engine: Engine) -> None:
    writing = "WITH gone AS (DELETE FROM t RETURNING x) SELECT x FROM gone"

    with pytest.raises(InputError, match="query on warehouse: "):
        rows_of(url, writing)

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM t")) == 4


def test_a_query_that_takes_too_long_is_ended(url: str, engine: Engine) -> None:
    with pytest.raises(InputError, match=r"took longer than 0\.2 s; expected less"):
        rows_of(url, ENDLESS[engine.dialect.name], timeout_s=0.2)


def test_a_query_whose_rows_come_quickly_and_for_ever_is_ended(url: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS x FROM n"

    with pytest.raises(InputError, match=r"took longer than 0\.2 s; expected less"):
        rows_of(url, endless, timeout_s=0.2)


def test_a_query_that_is_wrong_is_told_without_the_password(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InputError, match="nowhere") as error:
        rows_of(url, "SELECT x FROM nowhere")

    password = make_url(url).password
    assert password is None or password not in f"{error.value} {caplog.text}"


def test_a_database_that_is_away_is_told_without_the_password() -> None:
    with pytest.raises(UnavailableError, match="query on warehouse: database") as error:
        rows_of("postgresql://reader:hunter2@127.0.0.1:1/scores")

    assert "hunter2" not in str(error.value)
    assert "[query] connections" in str(error.value)


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises((InputError, UnavailableError), match="unable to open"):
        rows_of(f"sqlite:///{tmp_path}/scores.db")

    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "DELETE FROM t WHERE a > :start AND a < :end",
            'source.query: "DELETE FROM t WHERE a > :start AND a < :end" is no SELECT',
        ),
        (
            "SELECT 1; SELECT 2",
            'source.query: a ";" within it, as between two statements; expected one SELECT',
        ),
        ("SELECT * FROM t", "query without :start; expected rows of one window"),
        ("SELECT :start, :end, :other", "query: with :other; expected only :start and :end"),
    ],
)
def test_what_is_no_select_of_a_window_is_refused_when_it_is_declared(
    query: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        ExternalSource.of({"query": query, "connection": "warehouse", "timestamp": "a"})


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"timestamp": "a"}, "expected path or query, one of them"),
        ({"path": "/a", "query": "SELECT 1", "timestamp": "a"}, "expected path or query, one"),
        ({"query": "SELECT :start, :end", "timestamp": "a"}, "query and connection together"),
        ({"path": "/a"}, "source.timestamp: missing; expected a value"),
        ({"path": "/a", "timestamps": "a"}, '"timestamps" is unknown; the nearest known one is'),
        ({"path": "/a", "timestamp": "a", "time_zone": "Mars"}, 'time_zone: "Mars" is unknown'),
        ({"path": "/a", "timestamp": "a", "look_back_days": True}, "look_back_days True"),
        (
            {"path": "/a", "timestamp": "a", "labels": {"path": "/b", "id": "i"}},
            "without source.id",
        ),
    ],
)
def test_a_source_that_is_declared_wrongly_is_told_in_a_sentence(
    declared: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        ExternalSource.of(declared)


def test_what_is_null_or_empty_is_not_given() -> None:
    empty = {"query": None, "connection": "", "time_zone": "", "id": None, "labels": None}
    place = {"path": "/a", "timestamp": "a"}

    assert ExternalSource.of({**place, **empty}) == ExternalSource.of(place)
    assert ExternalSource.of({**place, "time_zone": None}).time_zone == "UTC"


def test_a_connection_that_no_setting_names_is_told() -> None:
    access = Access({"warehouse": "sqlite:///x.db"})

    with pytest.raises(InputError, match='the nearest known one is "warehouse"'):
        access.url("warehuose")
    assert "x.db" not in repr(access)
