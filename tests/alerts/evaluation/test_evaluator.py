from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify.deliveries import list_deliveries
from tests.servers.postgres import both_databases, both_in_full
from tests.together import together

DAY = timedelta(days=1)


def states(changes):
    return [(change.period_end.day, change.new) for change in changes]


@both_in_full
def test_each_period_is_judged_in_order_even_when_all_come_at_once(house, evaluator):
    house.alarm(evaluation_periods=2, datapoints_to_alarm=2)
    house.put(0, 1, 1, 0, 1, 1)

    assert states(evaluator.step()) == [(2, "OK"), (4, "ALARM"), (5, "OK"), (7, "ALARM")]
    assert house.get().state_seq == 4
    assert evaluator.step() == []


def test_actions_run_only_when_the_state_changes(house, engine, clock, evaluator):
    """Case d10 of the shared cases: create, alarm, no repeated action, back to OK."""
    for name in "aoi":
        house.channel(name, "https://hooks.example")
    house.alarm(alarm_actions=("a",), ok_actions=("o",), insufficient_data_actions=("i",))
    seen = []
    for day, value in enumerate([1.0, 1.0, 0.0]):
        house.put(value, day=day)
        clock.advance(seconds=1)
        evaluator.step()
        with engine.begin() as connection:
            found = [one.channel for one in list_deliveries(connection)][::-1]
        seen.append((house.get().state, found))

    assert seen == [("ALARM", ["a"]), ("ALARM", ["a"]), ("OK", ["a", "o"])]


@both_in_full
def test_a_gap_counts_as_missing_once_later_data_are_there(house, evaluator):
    house.alarm(evaluation_periods=2, datapoints_to_alarm=2, treat_missing_data="breaching")
    house.put(0, 0, None, None, None, None, 0)

    assert states(evaluator.step()) == [(2, "OK"), (7, "ALARM"), (8, "OK")]


@both_in_full
def test_missing_data_wait_for_one_more_period_and_the_grace(house, engine, clock):
    start = clock().replace(hour=0, minute=0, second=0)
    house.day, clock.time = start, start + DAY
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(treat_missing_data="breaching")
    house.put(0.0)
    evaluator.step()

    # With one period to alarm, three are looked at: the good one has to leave them.
    clock.time = start + 5 * DAY + timedelta(seconds=600)
    assert evaluator.step() == []
    clock.advance(seconds=1)
    assert [change.new for change in evaluator.step()] == ["ALARM"]


def test_a_backlog_being_worked_off_is_not_taken_for_silence(house, engine, clock):
    """Windows of last year arrive now, one by one: none of them is overdue meanwhile."""
    evaluator = Evaluator(engine, now=clock)
    house.alarm(treat_missing_data="breaching", evaluation_periods=2)
    changes = []
    for day in range(6):
        house.put(0.0, day=day)
        changes += evaluator.step()
        clock.advance(minutes=5)

    assert states(changes) == [(2, "OK")]


@pytest.mark.parametrize(
    ("treat", "expected"), [("breaching", ["ALARM"]), ("notBreaching", ["OK"]), ("missing", [])]
)
def test_a_metric_that_never_comes_is_judged_by_its_treatment(
    house, engine, clock, treat, expected
):
    evaluator = Evaluator(engine, now=clock)
    house.alarm(treat_missing_data=treat)
    assert evaluator.step() == []

    clock.advance(days=4)

    assert [change.new for change in evaluator.step()] == expected


@pytest.mark.parametrize(("n", "m", "silent"), [(1, 1, 1), (3, 3, 3), (3, 2, 2), (5, 1, 1)])
def test_periods_before_a_new_alarm_was_made_are_no_silence(house, engine, clock, n, m, silent):
    midnight = clock().replace(hour=0, minute=0, second=0)
    clock.time = midnight + timedelta(hours=19)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(evaluation_periods=n, datapoints_to_alarm=m, treat_missing_data="breaching")
    found = []
    for day in range(1, 8):  # One more day and the grace until a day is overdue.
        clock.time = midnight + day * DAY + timedelta(seconds=601)
        found += [(day, change) for change in evaluator.step()]

    ((day, change),) = found
    # The day that the alarm was made in does not count; those after it do.
    assert (day, change.new) == (1 + silent + 1, "ALARM")
    assert all(point.start > midnight for point in change.evaluated)
    periods = "1 period" if silent == 1 else f"{silent} periods"
    assert change.reason.startswith(
        f"Threshold Crossed: no datapoints were received for {periods} and {silent} missing "
    )


@both_in_full
def test_late_data_lead_to_another_look(house, evaluator):
    house.alarm()
    house.put(1, 0)
    evaluator.step()

    house.put(1, day=1)

    (change,) = evaluator.step()
    assert (change.new, change.period_end.day) == ("ALARM", 3)


def test_a_new_alarm_on_an_old_metric_is_judged_at_its_newest_datapoint(house, evaluator):
    house.put(1, 1, 0, 1)
    house.alarm(evaluation_periods=2, datapoints_to_alarm=2)

    assert states(evaluator.step()) == [(5, "OK")]
    house.put(1, day=4)
    assert states(evaluator.step()) == [(6, "ALARM")]


@both_databases
def test_two_evaluators_do_not_tell_twice(house, engine, clock):
    house.channel("a", "https://hooks.example")
    for number in range(10):
        house.alarm(f"alarm {number}", alarm_actions=("a",), ok_actions=("a",))
    house.put(*[1, 0] * 10)

    first, second = together(*(Evaluator(engine, now=clock).step for _ in range(2)))

    with engine.begin() as connection:
        queued = connection.scalar(select(func.count()).select_from(tables.outbox))
        told = alarms.history(connection, type="StateUpdate", limit=1000)
    assert len(first + second) == queued == len(told) == 10 * 20


@both_in_full
def test_a_clock_that_was_far_ahead_for_a_moment_does_not_stop_an_alarm(house, clock, engine):
    house.day = start = clock().replace(hour=0, minute=0, second=0) - DAY
    clock.time = start + DAY
    house.alarm()
    house.put(0.0)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    evaluator.step()
    for days in (365, 366):
        clock.time = start + timedelta(days=days)
        evaluator.step()
    assert house.get().state == "INSUFFICIENT_DATA"

    clock.time = start + 2 * DAY
    house.put(1.0, day=1)

    assert [change.new for change in evaluator.step()] == ["ALARM"]


def test_an_alarm_that_cannot_be_judged_does_not_silence_the_others(house, engine, evaluator):
    house.alarm("broken")
    house.alarm("sound")
    with engine.begin() as connection:
        broken = tables.alarms.c.name == "broken"
        connection.execute(update(tables.alarms).where(broken).values(definition={"period": 86400}))
    house.put(1)

    assert [change.alarm_name for change in evaluator.step()] == ["sound"]
    assert evaluator.failures.count == 1


def test_a_row_that_is_none_of_ours_does_not_silence_the_others(house, engine, evaluator):
    house.alarm("a")
    house.alarm("b")
    house.put(1.0)
    with engine.begin() as connection:
        broken = update(tables.alarms).where(tables.alarms.c.name == "a")
        connection.execute(broken.values(definition={}))

    assert [change.alarm_name for change in evaluator.step()] == ["b"]
    assert evaluator.failures.count == 1


@both_in_full
def test_an_action_whose_channel_is_gone_is_still_counted(house, engine, evaluator):
    house.channel("a", "https://hooks.example")
    house.alarm(alarm_actions=("a",))
    with engine.begin() as connection:
        connection.execute(delete(tables.channels))
    house.put(1)
    evaluator.step()

    with engine.begin() as connection:
        (row,) = list_deliveries(connection)
    assert (row.status, row.last_error) == ("failed", "channel does not exist")
