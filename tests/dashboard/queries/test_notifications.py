"""Who is notified when an alarm of an owner and a severity fires, and whom nobody hears of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.tables import alarms, channels
from driftline.dashboard.pages.alerts import paging_page
from driftline.dashboard.queries.notifications import read_paging
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.policed_seed import texts
from tests.dashboard.seed import make_engine

NOW = datetime(2026, 11, 12, tzinfo=UTC)
STRANGE = '<img src=x onerror="alert(1)"> \u202e & "owner"'


def alarm(name, *actions, owner="", **more):
    return AlarmDefinition(
        alarm_name=name, namespace="Shop", metric_name="latency", statistic="Maximum", period=60,
        evaluation_periods=1, threshold=1.0, comparison_operator="GreaterThanThreshold",
        alarm_actions=actions, owner=owner, **more,
    )  # fmt: skip


@pytest.fixture
def stores(tmp_path):
    """Two owners, three channels of which one is disabled, alarms that reach nobody."""
    engine = make_engine(tmp_path / "driftline.db")
    with engine.begin() as connection:
        for name in ("pager", "mail", "broken"):
            channel = Channel(name=name, type="webhook", url="https://hooks.example.com/x")
            put_channel(connection, channel, NOW)
        for one in (
            alarm("a", "pager", owner="ann"),
            alarm("b", "pager", "mail", owner="ann"),
            alarm("c", "broken", owner="ann"),
            alarm("d", "pager", owner="ann", actions_enabled=False),
            alarm("e", "mail", owner="ann", severity="ticket"),
            alarm(STRANGE, owner=STRANGE),
            alarm("part", owner="bob"),
        ):
            put_alarm(connection, one, NOW)
        whole = CompositeDefinition(
            alarm_name="whole", alarm_rule='ALARM("part")', alarm_actions=("mail",), owner="bob"
        )
        put_composites(connection, [whole], NOW)
        update = channels.update().where(channels.c.name == "broken")
        connection.execute(update.values(enabled=False, disabled_reason="switched off by lee"))
    yield Stores(engine, str(tmp_path), lambda: NOW)
    engine.dispose()


def test_channels_are_counted_by_owner_and_severity_and_who_gets_none_stands_first(stores):
    lines, _ = read_paging(stores)

    found = {(one.owner, one.severity): one for one in lines}
    assert list(found) == [(STRANGE, "page"), ("ann", "page"), ("bob", "page"), ("ann", "ticket")]
    ann = found["ann", "page"]
    assert (ann.alarm_count, dict(ann.channels)) == (4, {"pager": 2, "mail": 1, "broken": 1})
    # One of a disabled channel, one whose actions are switched off.
    assert (ann.unheard, ann.example in ("c", "d"), ann.carried) == (2, True, 0)
    assert (found["ann", "ticket"].unheard, found[STRANGE, "page"].unheard) == (0, 1)


def test_an_alarm_that_a_composite_follows_is_no_hole(stores):
    bob = read_paging(stores)[0][2]

    assert (bob.owner, bob.alarm_count, bob.unheard, bob.carried) == ("bob", 2, 0, 1)
    assert dict(bob.channels) == {"mail": 1}


def test_the_page_says_who_is_told_and_what_nobody_hears(stores):
    page = paging_page(*read_paging(stores))

    words = " ".join(texts(page).split())
    assert "4 pairs of owner and severity; 2 with alarms that notify no one" in words
    assert "mail 1 of 4 pager 2 of 4" in words
    assert "broken 1 of 4 ✕ switched off by lee" in words
    assert "✕ 2 alarms , such as" in words
    assert "1 followed by a composite alarm" in words
    assert STRANGE in texts(page)


def test_without_alarms_it_says_how_they_come_to_be(tmp_path):
    engine = make_engine(tmp_path / "empty.db")

    page = paging_page(*read_paging(Stores(engine, str(tmp_path), lambda: NOW)))

    assert "No alarm is declared yet" in texts(page)
    engine.dispose()


@pytest.mark.parametrize("stored", ["pager", ["pager", {"name": "mail"}], {"name": "pager"}, 7])
def test_what_a_newer_version_stored_as_actions_breaks_nothing(stores, stored):
    with stores.engine.begin() as connection:
        definition = {"owner": "ann", "alarm_actions": stored, "actions_enabled": True}
        update = alarms.update().where(alarms.c.name == "e")
        connection.execute(update.values(definition=definition))

    (line,) = [one for one in read_paging(stores)[0] if one.severity == "ticket"]

    assert line.alarm_count == 1
    assert set(line.channels) <= {"pager"}
