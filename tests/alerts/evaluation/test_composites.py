"""Composite alarms in the store: they follow their children, and their actions wait."""

from __future__ import annotations

import json
from functools import partial

import pytest
from sqlalchemy import Engine, select

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import CompositeRecord, get_any
from driftline.alerts.alarms.records import history
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation import composites
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.tables import outbox
from tests.servers.postgres import both_databases, both_in_full
from tests.together import together

ARN = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
SUPPRESSED = {
    "actions_suppressor": "sup",
    "actions_suppressor_wait_period": 60,
    "actions_suppressor_extension_period": 120,
}


class Yard:
    """Composites and their children, in a line each."""

    def __init__(self, house, engine: Engine, clock) -> None:
        self.house, self.engine, self.clock = house, engine, clock

    def children(self, *names: str) -> None:
        for name in names:
            self.house.alarm(name, metric_name=name)

    def put(self, **rules: str | dict[str, object]) -> list[str]:
        definitions = [
            CompositeDefinition(
                alarm_name=name,
                **({"alarm_rule": rule} if isinstance(rule, str) else rule),
            )
            for name, rule in rules.items()
        ]
        with self.engine.begin() as connection:
            found = put_composites(connection, definitions, self.clock())
        return [f"{one.alarm_name} {one.new}" for one in found]

    def set(self, name: str, state: str) -> list[str]:
        with self.engine.begin() as connection:
            found = set_state(connection, name, state, "by hand", self.clock())
        return [f"{one.alarm_name} {one.new}" for one in found]

    def get(self, name: str) -> CompositeRecord:
        with self.engine.begin() as connection:
            return get_any(connection, name)

    def release(self) -> list[str]:
        return composites.release(self.engine, self.clock())

    def told(self, name: str) -> list[tuple[str, int]]:
        """Return state and number of the changes whose actions ran."""
        columns = outbox.c.state, outbox.c.state_seq
        query = select(*columns).where(outbox.c.alarm_name == name).order_by(outbox.c.state_seq)
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def history(self, name: str) -> list[tuple[str, str]]:
        with self.engine.begin() as connection:
            items = history(connection, name, newest_first=False)
        return [(item.type, item.summary) for item in items]


@pytest.fixture
def yard(house, engine, clock) -> Yard:
    return Yard(house, engine, clock)


@pytest.fixture
def told(yard) -> dict[str, object]:
    """What makes a composite tell a channel of every change."""
    yard.house.channel("pager", "http://127.0.0.1:9/hook")
    return {"alarm_actions": ("pager",), "ok_actions": ("pager",)}


@both_in_full
def test_a_new_composite_is_judged_at_once(yard):
    yard.children("a", "b")

    changes = yard.put(both="ALARM(a) AND ALARM(b)")

    record = yard.get("both")
    assert changes == ["both OK"]
    assert (record.state, record.state_seq) == ("OK", 1)
    assert record.state_reason == f"{ARN}both was created and its alarm rule evaluates to OK"
    told = json.loads(record.state_reason_data)["triggeringAlarms"]
    assert [one["arn"] for one in told] == [f"{ARN}a", f"{ARN}b"]
    assert told[0]["state"]["value"] == "INSUFFICIENT_DATA"
    assert yard.history("both") == [
        ("ConfigurationUpdate", 'Alarm "both" created'),
        ("StateUpdate", "Alarm updated from INSUFFICIENT_DATA to OK"),
    ]


def test_a_composite_follows_its_children_in_cloudwatchs_words(yard, clock):
    yard.children("a", "b")
    yard.put(both="ALARM(a) AND ALARM(b)")
    clock.time = clock.time.replace(year=2022, month=7, day=2, hour=15, minute=57, second=45)
    assert yard.set("a", "ALARM") == ["a ALARM"]

    assert yard.set("b", "ALARM") == ["b ALARM", "both ALARM"]

    record = yard.get("both")
    assert record.state_reason == (
        f"{ARN}b transitioned to ALARM at Saturday 02 July, 2022 15:57:45 UTC"
    )
    assert json.loads(record.state_reason_data) == {
        "triggeringAlarms": [
            {
                "arn": f"{ARN}b",
                "state": {"value": "ALARM", "timestamp": "2022-07-02T15:57:45.000+0000"},
            }
        ]
    }
    assert yard.set("a", "INSUFFICIENT_DATA") == ["a INSUFFICIENT_DATA", "both OK"]


def test_composites_of_composites_change_in_one_transaction(yard):
    yard.children("a", "b")
    yard.put(
        top="ALARM(left) AND ALARM(right)",
        left="ALARM(a)",
        right="NOT OK(left) OR ALARM(b)",
    )

    # "top" is judged once, when both of its children have been.
    assert yard.set("a", "ALARM")[0] == "a ALARM"
    assert {name: yard.get(name).state for name in ("left", "right", "top")} == dict.fromkeys(
        ("left", "right", "top"), "ALARM"
    )
    assert yard.get("top").state_seq == 2


@both_in_full
@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            {"one": "ALARM(a) OR ALARM(gone) OR OK(lost)"},
            r"Could not save the composite alarm as alarms \[gone, lost\] in the alarm rule do not",
        ),
        ({"a": "TRUE"}, "a metric alarm has this name"),
        (
            {"one": {"alarm_rule": "TRUE", **SUPPRESSED}},
            'actions_suppressor "sup" does not exist',
        ),
        ({"one": {"alarm_rule": "TRUE", "ok_actions": ("nobody",)}}, '"nobody" does not exist'),
    ],
    ids=["children", "name", "suppressor", "channel"],
)
def test_what_is_not_there_is_refused_and_nothing_is_stored(yard, rules, sentence):
    yard.children("a")

    with pytest.raises(AlarmError, match=sentence):
        yard.put(other="TRUE", **rules)

    assert yard.history("other") == []


def test_a_rule_that_leads_back_to_itself_is_refused(yard):
    yard.children("a")
    yard.put(one="ALARM(a)", two="ALARM(one)", above="ALARM(two)")

    with pytest.raises(
        AlarmError, match=r"leads back to itself \((one -> two -> one|two -> one -> two)\)"
    ):
        yard.put(one="ALARM(a) OR ALARM(two)")
    with pytest.raises(AlarmError, match=r"own -> own"):
        yard.put(own="NOT ALARM(own)")

    assert yard.get("one").definition.alarm_rule == "ALARM(a)"
    assert yard.set("a", "ALARM") == ["a ALARM", "one ALARM", "two ALARM", "above ALARM"]


def test_actions_wait_for_the_suppressor_and_then_run_once(yard, told, clock):
    yard.children("a", "sup")
    yard.set("a", "OK")
    yard.put(one={"alarm_rule": "ALARM(a)", **told, **SUPPRESSED})
    clock.advance(seconds=60)
    yard.release()
    assert yard.told("one") == [("OK", 1)]

    yard.set("a", "ALARM")
    record = yard.get("one")
    assert (record.state, record.held.by) == ("ALARM", "WaitPeriod")
    assert record.shown.actions_suppressed_reason == "Actions suppressed by WaitPeriod"
    clock.advance(seconds=59)
    assert yard.release() == []
    clock.advance(seconds=1)
    assert yard.release() == ["one"]
    assert yard.release() == []

    assert yard.told("one") == [("OK", 1), ("ALARM", 2)]
    assert yard.get("one").held.by is None
    assert ("Action", "Actions for ALARM suppressed by WaitPeriod") in yard.history("one")


def test_the_suppressor_holds_actions_and_its_extension_lets_the_last_state_go(yard, told, clock):
    yard.children("a", "sup")
    yard.put(one={"alarm_rule": "ALARM(a)", **told, **SUPPRESSED})
    clock.advance(seconds=60)
    yard.release()
    yard.set("a", "ALARM")
    clock.advance(seconds=30)
    yard.set("sup", "ALARM")
    assert yard.get("one").held.by == "Alarm"
    clock.advance(hours=1)
    assert yard.release() == []

    yard.set("sup", "INSUFFICIENT_DATA")
    assert yard.get("one").held.by == "ExtensionPeriod"
    yard.set("a", "OK")
    clock.advance(seconds=120)
    yard.release()

    assert yard.told("one") == [("OK", 1), ("OK", 3)]


def test_a_wait_survives_the_process(yard, told, clock, engine):
    yard.children("a", "sup")
    yard.put(one={"alarm_rule": "ALARM(a)", **told, **SUPPRESSED})
    yard.set("a", "ALARM")

    # Nothing of the wait is in memory: another evaluator, an hour later, lets the actions go.
    clock.advance(hours=1)
    Evaluator(engine, now=clock).step()

    assert yard.told("one") == [("ALARM", 2)]


@both_databases
def test_two_children_that_change_at_once_are_both_seen(yard, engine, clock):
    """On PostgreSQL each transaction alone would see only its own child in ALARM."""
    yard.children("a", "b")
    yard.put(both="ALARM(a) AND ALARM(b)")

    together(*(partial(yard.set, name, "ALARM") for name in "ab"))

    assert yard.get("both").state == "ALARM"
