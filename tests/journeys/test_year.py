"""The demo over a real broker and a real PostgreSQL: its last two weeks, or its whole year.

``scripts/test --full tests/journeys/test_year.py`` replays the year, as ``--year`` does. That lost
skill pages once, and drift that stays is one ticket, is found without processes by
tests/driftline/app/demo/test_model.py; the weeks of the planted fault are those of test_demo.py.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from driftline.app.demo.home import Home
from tests.journeys.conftest import Demo, quality_weeks
from tests.servers.kafka import KafkaBroker
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.postgres]

# What a user would write into driftline.toml; the command line of the demo does not offer it.
RUN = """
import json, sys
from pathlib import Path
from driftline.app.demo.run import run_demo
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
sys.exit(run_demo(days=int(sys.argv[3]), stay=False, folder=folder, more_settings=settings))
"""
LONGEST_S = 900
DAYS = 14  # A week with its labels.
YEAR_DAYS = 365
REASONS = ("flights: loss of quality", "flights: broken input", "flights: broken input")


@pytest.fixture(scope="module")
def is_whole(pytestconfig: pytest.Config) -> bool:
    """Whether it is the year, and not its end alone."""
    return bool(pytestconfig.getoption("full"))


@pytest.fixture(scope="module")
def year(
    is_whole: bool,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_broker: KafkaBroker,
    postgres: Postgres,
) -> Demo:
    """Replay the days as ``driftline demo --exit`` does, with other settings."""
    days = YEAR_DAYS if is_whole else DAYS
    folder = tmp_path_factory.mktemp("year") / "here"
    # An earlier demo was here: what it left is removed.
    with Home(folder) as home:
        home.write_settings()
        (folder / "store").mkdir()
        (folder / "store" / "left").touch()
    settings = {
        # A demo chooses its ports when it begins and opens them later: another one runs beside it.
        "server": {"port": free_port()},
        "dashboard": {"port": free_port()},
        "capture": {"transport": "kafka"},
        "kafka": {
            "bootstrap_servers": [kafka_broker.bootstrap],
            "topic": "dl-year",
            "group": "dl-year",
            "partitions": 2,
            "replication": 1,
        },
        "database": {"url": postgres.tcp_url(postgres.new_database())},
    }
    found = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), json.dumps(settings), str(days)],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env={**os.environ, "COLUMNS": "200"},
    )
    return Demo(folder, found.returncode, found.stdout + found.stderr)


def test_the_year_adds_up_over_kafka_and_postgresql(year: Demo) -> None:
    assert year.code == 0, year.output
    assert "DIFFERS" not in year.output
    assert "unfinished" not in year.output
    assert not (year.folder / "store" / "left").exists()


def test_nothing_went_another_way(year: Demo) -> None:
    logs = {file.stem for file in (year.folder / "logs").glob("*.log")}

    assert {"sidecar", "sink"} <= logs
    assert list(year.folder.rglob("*.db")) == []


def test_the_pager_rings_for_three_reasons_and_once_for_each(year: Demo, is_whole: bool) -> None:
    """First for the weeks of lost skill, then the planted fault, then the day without weather."""
    rung = re.findall(r"^PAGE +(.*)$", year.output, re.MULTILINE)

    assert tuple(rung) == (REASONS if is_whole else REASONS[-1:])
    assert "the weather of the data package ends a day before" in year.output


def test_few_tickets_are_written_in_a_year(year: Demo, is_whole: bool) -> None:
    tickets = re.findall(r"^TICKET +(.*)$", year.output, re.MULTILINE)

    # Ten of a year are drift, each of another cause (docs/why/one-cause.md).
    assert len(tickets) <= (16 if is_whole else 3), tickets
    assert "flights: drift" in tickets or not is_whole


def test_the_weeks_that_page_are_those_in_which_guessing_is_better(
    year: Demo, is_whole: bool
) -> None:
    weeks = quality_weeks(year.folder)

    paged = [week for week in weeks if week.report["page_count"]]
    worst = min(weeks, key=lambda week: week.found["brier_skill"])
    assert (worst in paged) is is_whole
    assert all(week.found["brier_skill"] < 0 for week in paged)
    for week in weeks:
        for name in ("brier_skill", "auc", "recall"):
            assert week.said[name] == pytest.approx(week.found[name], rel=1e-9), name
