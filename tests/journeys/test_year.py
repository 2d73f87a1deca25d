"""The demo from the weeks of lost skill on, over a real broker and a real PostgreSQL.

``scripts/test --full tests/journeys/test_year.py`` replays the whole year, as ``--year`` does.
"""

import json
import os
import re
import subprocess
import sys

import pytest

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
DAYS = (
    130  # The first week in which guessing is better than the model begins 122 days before the end.
)
YEAR_DAYS = 365


@pytest.fixture(scope="module")
def year(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_broker: KafkaBroker,
    postgres: Postgres,
) -> Demo:
    """Replay the days as ``driftline demo --exit`` does, with other settings."""
    days = YEAR_DAYS if pytestconfig.getoption("full") else DAYS
    folder = tmp_path_factory.mktemp("year") / "here"
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


def test_nothing_went_another_way(year: Demo) -> None:
    logs = {file.stem for file in (year.folder / "logs").glob("*.log")}

    assert {"sidecar", "sink"} <= logs
    assert list(year.folder.rglob("*.db")) == []


def test_the_pager_rings_for_three_reasons_and_once_for_each(year: Demo) -> None:
    """First for the weeks of lost skill, then the planted fault, then the day without weather."""
    rung = re.findall(r"^PAGE +(.*)$", year.output, re.MULTILINE)

    assert rung == ["flights: loss of quality", "flights: broken input", "flights: broken input"]
    assert "is real and not planted: the model learnt from a winter" in year.output
    assert "the weather of the data package ends a day before" in year.output


def test_few_tickets_are_written_in_a_year(year: Demo) -> None:
    tickets = re.findall(r"^TICKET +(.*)$", year.output, re.MULTILINE)

    assert "flights: drift" in tickets
    assert len(tickets) <= 12, tickets


def test_the_weeks_that_page_are_those_in_which_guessing_is_better(year: Demo) -> None:
    weeks = quality_weeks(year.folder)

    paged = [week for week in weeks if week.report["page_count"]]
    assert paged
    assert min(weeks, key=lambda week: week.found["brier_skill"]) in paged
    assert all(week.found["brier_skill"] < 0 for week in paged)
    for week in weeks:
        for name in ("brier_skill", "auc", "recall"):
            assert week.said[name] == pytest.approx(week.found[name], rel=1e-9), name
