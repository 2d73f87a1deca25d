"""Clocks that were ahead, or are behind: windows are judged once they have ended, no earlier."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.kit.data import choice, normal, stream
from tests.kit.installation import Installation
from tests.kit.services import Postgres, on_postgres

COLUMNS = {"km": normal(12, 3, digits=1), "city": choice("Bonn", "Kiel")}
START = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def set_clock(folder: Path, moment: datetime) -> None:
    (folder / "clock.new").write_text(moment.isoformat())
    (folder / "clock.new").rename(folder / "clock")


def write_rows(folder: Path, first: datetime, rows: int) -> None:
    frame = stream(COLUMNS, rows=rows, start=first, every="5min", seed=int(first.timestamp()))
    frame.to_parquet(folder / "rows" / f"{first:%d%H}.parquet")


def judged(installation: Installation) -> dict[str, int]:
    """Return the rows of each window with a result, by its day."""
    found = installation.get("/api/v1/monitors/daily/executions")["items"]
    return {one["window_start"][8:10]: one["row_count"] for one in found if one["is_current"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two days and the morning of the third, and a clock."""
    found = tmp_path_factory.mktemp("data")
    (found / "rows").mkdir()
    stream(COLUMNS, rows=2_000, start=START - 8 * DAY, every="5min").to_parquet(
        found / "reference.parquet"
    )
    for day in range(2):
        write_rows(found, START + day * DAY, 288)
    write_rows(found, START + 2 * DAY, 60)
    set_clock(found, START + 2 * DAY + 6 * HOUR)
    return found


def test_windows_of_a_clock_that_was_ahead_are_judged_when_they_have_ended(
    install: Callable[..., Installation], folder: Path
) -> None:
    running = install(f'[scheduler]\nclock = "file:{folder}/clock"\n', is_forked=True)
    source = {"path": str(folder / "rows"), "timestamp": "time"}
    baseline = {"data": str(folder / "reference.parquet"), "timestamp": "time"}
    monitor = {"source": source, "baseline": "rows", "start": START.isoformat()}
    alarm = {
        "monitor": "daily", "metric_name": "rows", "evaluation_periods": 1, "threshold": 1,
        "comparison_operator": "LessThanThreshold", "statistic": "Maximum",
        "treat_missing_data": "notBreaching",
    }  # fmt: skip
    running.apply(
        {"kind": "Baseline", "name": "rows", "spec": baseline},
        {"kind": "Monitor", "name": "daily", "spec": monitor},
        {"kind": "Alarm", "name": "no rows", "spec": alarm},
    )

    def states() -> list[str]:
        """Return the states of the alarm, the newest first."""
        words = ("alarm", "history", "no rows", "--type", "StateUpdate", "--json")
        changes = json.loads(running.done(*words))
        return [one["summary"].rpartition(" ")[2] for one in changes]

    two_days = {"02": 288, "03": 288}
    running.wait(lambda: judged(running) == two_days and states() == ["OK"])

    ahead = START + 6 * DAY
    set_clock(folder, ahead)
    running.wait(lambda: len(judged(running)) == 6 and states() == ["ALARM", "OK"])
    set_clock(folder, START + 2 * DAY + 7 * HOUR)
    running.wait(lambda: judged(running) == two_days)
    for hour in (7, 8):  # While the day lasts, nothing more is said of it.
        write_rows(folder, START + 2 * DAY + hour * HOUR, 12)
        set_clock(folder, START + 2 * DAY + (hour + 1) * HOUR)
        running.get("/api/v1/monitors/daily")
    write_rows(folder, START + 2 * DAY + 9 * HOUR, 100)
    set_clock(folder, START + 3 * DAY + HOUR)
    running.wait(lambda: judged(running) == two_days | {"04": 184})
    every = running.get("/api/v1/monitors/daily/executions")["items"]

    set_aside = {one["finished_at"] for one in every if not one["is_current"]}
    assert set_aside == {ahead.isoformat()}
    running.wait(lambda: states() == ["OK", "ALARM", "OK"])


@pytest.mark.full
@pytest.mark.postgres
def test_a_machine_whose_clock_is_behind_judges_by_the_clock_of_the_database(
    install: Callable[..., Installation], postgres: Postgres, tmp_path: Path
) -> None:
    settings = on_postgres(postgres)
    name = settings.rpartition("/")[2].partition('"')[0]
    with psycopg.connect(postgres.tcp_url(name), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
            "$$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$"
        )
    postgres.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = stream(COLUMNS, rows=4, start=hour, every="15min", seed=1)
    rows.to_parquet(tmp_path / "rows.parquet")
    stream(COLUMNS, rows=500, start=hour - DAY, every="1min").to_parquet(
        tmp_path / "before.parquet"
    )
    running = install(settings, is_forked=True)
    source = {"path": str(tmp_path / "rows.parquet"), "timestamp": "time"}
    baseline = {"data": str(tmp_path / "before.parquet"), "timestamp": "time"}

    running.apply(
        {"kind": "Baseline", "name": "rows", "spec": baseline},
        {
            "kind": "Monitor",
            "name": "daily",
            "spec": {
                "source": source, "baseline": "rows", "start": hour.isoformat(),
                "schedule": "rate(1 hour)",
            },
        },
    )  # fmt: skip

    running.wait(lambda: judged(running) or None)  # The hour has not ended here.
    assert judged(running) == {f"{hour:%d}": 4}
