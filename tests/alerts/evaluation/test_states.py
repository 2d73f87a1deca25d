"""States, actions and tags that people set, also while evaluators are at work."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, func, select

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import get_any
from driftline.alerts.alarms.records import delete_alarms, history
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation import composites
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.tables import outbox
from tests.together import together


@pytest.fixture
def set_(engine, clock):
    def put(name: str, state: str, reason: str = "by hand", **more) -> list[str]:
        with engine.begin() as connection:
            found = set_state(connection, name, state, reason, clock(), **more)
        return [f"{one.alarm_name} {one.old} {one.new}" for one in found]

    return put


def test_a_state_is_set_with_its_history_and_its_messages(pager, house, engine, set_):
    assert set_("drift", "ALARM", reason_data='{"a": 1}') == ["drift INSUFFICIENT_DATA ALARM"]

    record = house.get()
    assert (record.state, record.state_reason, record.state_seq) == ("ALARM", "by hand", 1)
    with engine.begin() as connection:
        (item,) = history(connection, "drift", type="StateUpdate")
        rows = connection.execute(select(outbox.c.state, outbox.c.channel)).all()
    assert item.summary == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    assert item.data["newState"] == {
        "stateValue": "ALARM",
        "stateReason": "by hand",
        "stateReasonData": '{"a": 1}',
    }
    assert [tuple(row) for row in rows] == [("ALARM", "pager")]


def test_the_next_evaluation_puts_a_metric_alarm_back(pager, house, evaluator, set_, clock):
    house.put(0.1)
    evaluator.step()
    set_("drift", "ALARM")

    clock.advance(seconds=1)
    changes = evaluator.step()

    assert [(one.old, one.new, one.seq) for one in changes] == [("ALARM", "OK", 3)]


def seqs(engine: Engine, name: str) -> list[int]:
    """Return the numbers of all changes of an alarm, as the history has them."""
    with engine.begin() as connection:
        items = history(connection, name, type="StateUpdate", limit=1000, newest_first=False)
    return [int(str(item.data["seq"])) for item in items]


def compose(engine: Engine, now, **rules: str) -> None:
    definitions = [
        CompositeDefinition(alarm_name=name, alarm_rule=rule, alarm_actions=("pager",))
        for name, rule in rules.items()
    ]
    with engine.begin() as connection:
        put_composites(connection, definitions, now)


def test_two_evaluators_and_people_change_each_alarm_once_at_a_time(pager, house, engine, clock):
    """Nothing waits for ever, and every change has a number of its own."""
    house.alarm("other", alarm_actions=("pager",), ok_actions=("pager",))
    compose(engine, clock(), above="ALARM(drift) OR ALARM(other)", top="NOT ALARM(above)")
    house.put(1.0)
    evaluators = [Evaluator(engine, now=clock) for _ in range(2)]

    def flap(name: str, states: Sequence[str]) -> None:
        for state in states:
            with engine.begin() as connection:
                set_state(connection, name, state, "by hand", clock())

    for _ in range(3):
        together(
            *(one.step for one in evaluators),
            lambda: flap("drift", ("OK", "ALARM", "OK")),
            lambda: flap("other", ("ALARM", "OK", "ALARM")),
            lambda: flap("above", ("OK", "ALARM")),
            lambda: composites.release(engine, clock()),
        )

    for name in ("drift", "other", "above", "top"):
        numbers = seqs(engine, name)
        assert numbers == list(range(1, len(numbers) + 1))
        with engine.begin() as connection:
            assert get_any(connection, name).state_seq == len(numbers)
    with engine.begin() as connection:
        count = select(func.count()).select_from(outbox)
        double = count.group_by(outbox.c.alarm_id, outbox.c.state_seq, outbox.c.channel)
        assert set(connection.scalars(double)) == {1}
    assert [one.failures.count for one in evaluators] == [0, 0]


def test_deleting_and_declaring_at_once_leaves_no_rule_without_its_alarm(house, engine, clock):
    """Of a delete and a rule that names the alarm one is refused; which one, nobody knows."""
    house.channel("pager", "http://127.0.0.1:9/hook")
    for number in range(4):
        name = f"a{number}"
        house.alarm(name)
        refused: list[str] = []

        def drop(name: str = name, refused: list[str] = refused) -> None:
            try:
                with engine.begin() as connection:
                    delete_alarms(connection, [name], clock())
            except Exception as error:  # noqa: BLE001 - told below
                refused.append(str(error))

        def declare(name: str = name, refused: list[str] = refused) -> None:
            try:
                compose(engine, clock(), **{f"c{name}": f"ALARM({name})"})
            except AlarmError as error:
                refused.append(str(error))

        together(drop, declare)

        assert len(refused) == 1
        assert "depending on it" in refused[0] or "do not exist" in refused[0]
