"""A stored alarm that cannot be read, as a newer version may have written it: it alone is lost."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from driftline.alerts.tables import alarms
from driftline.app.cli import build
from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores
from driftline.errors import InputError
from tests.dashboard.policed_seed import texts
from tests.serving.alarm_yard import METRIC, client, server, yard

__all__ = ["client", "server", "yard"]  # The fixtures.

WHY = 'unknown key "from_the_future"'


@pytest.fixture(params=["c", "both"])
def broken(request, server, yard) -> str:
    """Return the name of an alarm, metric or composite, that cannot be read."""
    with server.engine.begin() as connection:
        row = update(alarms).where(alarms.c.name == request.param)
        connection.execute(row.values(definition={"from_the_future": 1}))
    return request.param


def test_the_list_has_the_others_and_says_what_is_wrong_with_it(server, yard, broken):
    found = {one["name"]: one for one in yard.alarms()}

    assert sorted(found) == ["a b", "both", "c", "top"]
    assert WHY in found[broken]["unreadable"]
    assert found[broken]["state_value"] in ("OK", "INSUFFICIENT_DATA")
    assert {one["unreadable"] for name, one in found.items() if name != broken} == {None}


def test_the_command_line_lists_the_others_and_says_so_apart(server, yard, broken):
    asked = ["alarm", "list", "--server", server.url]

    done = CliRunner().invoke(build("alarm"), asked)
    as_json = CliRunner().invoke(build("alarm"), [*asked, "--json"])

    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["a", "both", "c", "top"]
    assert f'alarm "{broken}": its stored definition cannot be read' in done.stderr
    assert len(json.loads(as_json.stdout)) == 4


def test_the_dashboard_lists_the_others_and_says_what_is_wrong_with_it(server, broken):
    stores = Stores(server.engine, str(server.root), server.context.now)

    for path in ("/alarms", "/"):
        said = texts(render(stores, parse(path)))
        assert "This page cannot be shown" not in said
    listed = texts(render(stores, parse("/alarms")))
    assert WHY in listed
    assert "cannot be read" in texts(render(stores, parse(f"/alarms/{broken}")))


def test_declared_alarms_are_listed_with_what_is_wrong(server, yard, broken):
    kind = "Alarm" if broken == "c" else "CompositeAlarm"
    found = {one["name"]: one["status"] for one in yard.list(kind)}

    assert WHY in found[broken]["problem"]


def test_alone_it_is_told_with_the_mends(server, yard, broken):
    told = yard.alarm(broken)["unreadable"]

    assert "change it and declare it again (driftline apply), or delete it" in told
    with pytest.raises(InputError, match="its stored definition cannot be read"):
        yard.explain_alarm(broken)


def test_it_is_mended_by_declaring_it_again(server, yard, declare, broken):
    yard.apply([declare("Alarm", "other", **METRIC)])  # Others are declared as ever.
    again = {
        "c": declare("Alarm", "c", **METRIC, alarm_description="again"),
        "both": declare("CompositeAlarm", "both", alarm_rule="ALARM(c)", alarm_description="x"),
    }[broken]

    yard.apply([again])

    assert yard.alarm(broken)["unreadable"] is None
    yard.delete_alarm("other")


def test_a_composite_beside_one_that_cannot_be_read_is_declared_and_judged(server, yard, declare):
    with server.engine.begin() as connection:
        row = update(alarms).where(alarms.c.name == "top")
        connection.execute(row.values(definition={"from_the_future": 1}))
    yard.apply([declare("CompositeAlarm", "extra", alarm_rule="ALARM(c)")])

    changes = yard.set_alarm_state("c", "ALARM", "a drill")

    assert [one["alarm_name"] for one in changes] == ["c", "extra"]
    yard.delete_alarm("extra")
