"""Alarms and metrics of an installation that is older."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

import driftline
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.records import delete_alarm, get_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.database.migrations import migrate
from tests.servers.postgres import open_url

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
# As the version before wrote them.
DEFINITION = {
    "alarm_name": "old",
    "namespace": "Driftline",
    "metric_name": "drift",
    "dimensions": {"Endpoint": "flights"},
    "period": 3600,
    "evaluation_periods": 1,
    "threshold": 0.5,
    "comparison_operator": "GreaterThanThreshold",
    "statistic": "Average",
    "datapoints_to_alarm": None,
    "treat_missing_data": None,
    "unit": None,
    "alarm_description": "",
    "actions_enabled": True,
    "alarm_actions": [],
    "ok_actions": [],
    "insufficient_data_actions": [],
    "severity": "page",
    # No limit was kept then.
    "tags": {"": "", "why": "x" * 1000},
    "evaluation_range": None,
}


@pytest.fixture
def opened_at(backend, request, tmp_path) -> Callable[[str], Engine]:
    """Return an empty database of the version that had a revision."""

    def opened(revision: str) -> Engine:
        url = f"sqlite:///{tmp_path}/rows.db"
        if backend != "sqlite":
            server = request.getfixturevalue("postgres")
            name = server.new_database(template="template0")
            request.addfinalizer(lambda: server.drop(name))
            url = server.url(name)
        engine = open_url(url)
        request.addfinalizer(engine.dispose)
        config = Config()
        folder = Path(driftline.__file__).parent / "migrations"
        config.set_main_option("script_location", str(folder))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        return engine

    return opened


@pytest.fixture
def old_engine(opened_at) -> Engine:
    """A database of the version before, with one alarm in it."""
    engine = opened_at("0005")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO alerts_alarms (name, definition, metric_key, created_at, updated_at, "
                "state, state_reason, state_changed_at, state_seq, seen_revision, seen_at) VALUES "
                "('old', :definition, 'k', :now, :now, 'OK', 'because', :now, 3, 0, :now)"
            ),
            {"definition": json.dumps(DEFINITION), "now": "2026-01-01 00:00:00"},
        )
    return engine


def test_an_alarm_of_the_version_before_is_a_metric_alarm_that_goes_on(old_engine):
    migrate(old_engine)

    with old_engine.begin() as connection:
        record = get_alarm(connection, "old")
        assert (record.state, record.state_seq, record.evaluation_state) == ("OK", 3, None)
        definition = CompositeDefinition(alarm_name="new", alarm_rule="OK(old)")
        put_composites(connection, [definition], MOMENT)
        changes = set_state(connection, "old", "ALARM", "a test", MOMENT)
        assert [(one.alarm_name, one.seq) for one in changes] == [("old", 4), ("new", 2)]
        delete_alarm(connection, "new", MOMENT)


def test_a_request_that_came_before_the_upgrade_is_known_after_it(opened_at):
    engine = opened_at("0008")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO alerts_requests (id, received_at) VALUES ('a', :now)"),
            {"now": "2026-01-01 00:00:00"},
        )

    migrate(engine)

    point = Datapoint("shop", "orders", {}, MOMENT, value=1.0)
    with engine.begin() as connection:
        assert add(connection, [point], "a", digest="1" * 32, now=MOMENT) == 0
        assert add(connection, [point], "b", digest="1" * 32, now=MOMENT) == 1


def test_of_what_damping_held_back_the_present_state_alone_is_sent(opened_at):
    engine = opened_at("0013")
    now = "2026-01-01 00:00:00"
    with engine.begin() as connection:
        alarm = connection.execute(
            text(
                "INSERT INTO alerts_alarms (name, definition, metric_key, created_at, updated_at, "
                "state, state_reason, state_changed_at, state_seq, seen_revision, seen_at) VALUES "
                "('old', :definition, 'k', :now, :now, 'ALARM', 'because', :now, 3, 0, :now) "
                "RETURNING id"
            ),
            {"definition": json.dumps(DEFINITION), "now": now},
        ).scalar_one()
        for seq, state in ((1, "ALARM"), (2, "OK"), (3, "ALARM")):
            connection.execute(
                text(
                    "INSERT INTO alerts_outbox (id, alarm_id, alarm_name, state_seq, channel, "
                    "state, body, content_type, created_at, next_attempt_at, attempts, status) "
                    "VALUES (:id, :alarm, 'old', :seq, 'pager', :state, :body, 'text/plain', :now, "
                    ":now, 0, 'damped')"
                ),
                {
                    "id": f"m{seq}",
                    "alarm": alarm,
                    "seq": seq,
                    "state": state,
                    "body": b"",
                    "now": now,
                },
            )

    migrate(engine)

    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT id, status, finished_at IS NULL FROM alerts_outbox ORDER BY id")
        )
        assert [(name, status, bool(is_open)) for name, status, is_open in rows] == [
            ("m1", "superseded", False),
            ("m2", "superseded", False),
            ("m3", "pending", True),
        ]
