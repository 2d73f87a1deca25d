import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, select, update

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.explain import explain
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify.deliveries import list_deliveries
from tests.servers.postgres import both_databases
from tests.together import together

DAY = timedelta(days=1)


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


def states(changes):
    return [(change.period_end.day, change.new) for change in changes]


@both_databases
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


def test_disabled_actions_change_the_state_and_tell_nobody(house, engine, evaluator):
    house.channel("a", "https://hooks.example")
    house.alarm(alarm_actions=("a",), actions_enabled=False)
    house.put(1.0)

    assert len(evaluator.step()) == 1
    with engine.begin() as connection:
        assert list_deliveries(connection) == []


@both_databases
def test_a_gap_counts_as_missing_once_later_data_are_there(house, evaluator):
    house.alarm(evaluation_periods=2, datapoints_to_alarm=2, treat_missing_data="breaching")
    house.put(0, 0, None, None, None, None, 0)

    assert states(evaluator.step()) == [(2, "OK"), (7, "ALARM"), (8, "OK")]


@both_databases
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


@both_databases
def test_a_restarted_evaluator_gives_the_backlog_its_grace(house, engine, clock):
    house.alarm(treat_missing_data="breaching")
    house.put(0.0)
    Evaluator(engine, now=clock).step()
    clock.advance(days=4)

    restarted = Evaluator(engine, now=clock, grace_s=600)

    assert restarted.step() == []
    clock.advance(seconds=601)
    assert [change.new for change in restarted.step()] == ["ALARM"]


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


def test_an_alarm_on_silence_does_not_judge_the_day_it_was_made_in(house, engine, clock):
    midnight = clock().replace(hour=0, minute=0, second=0)
    house.day, clock.time = midnight + DAY, midnight + timedelta(hours=19)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(treat_missing_data="breaching")
    changes = []
    for day in range(4):
        clock.time = midnight + (day + 1) * DAY
        if day in (1, 2):  # Data of the first whole day, and of the second.
            house.put_one(0.0, day=day - 1)
        for _ in range(2):
            changes += evaluator.step()
            clock.advance(seconds=601)

    assert [change.new for change in changes] == ["OK"]

    clock.time = midnight + 8 * DAY
    assert [change.new for change in evaluator.step()] == ["ALARM"]


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


def test_the_first_good_datapoint_of_a_new_alarm_is_not_outvoted_by_the_time_before(
    house, engine, clock
):
    midnight = clock().replace(hour=0, minute=0, second=0)
    house.day, clock.time = midnight + DAY, midnight + timedelta(hours=19)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(evaluation_periods=3, datapoints_to_alarm=2, treat_missing_data="breaching")
    house.put_one(0.0, day=0)
    clock.time = midnight + 2 * DAY

    assert [change.new for change in evaluator.step()] == ["OK"]


def test_one_bad_datapoint_of_a_new_alarm_is_neither_three_nor_a_good_one(house, engine, clock):
    midnight = clock().replace(hour=0, minute=0, second=0)
    house.day, clock.time = midnight + DAY, midnight + timedelta(hours=19)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(evaluation_periods=3, treat_missing_data="breaching")
    found = []
    for day in range(3):
        house.put_one(1.0, day=day)
        clock.time = midnight + (day + 2) * DAY
        with engine.connect() as connection:
            rule = explain(connection, "drift", clock()).rule
        found.append((rule, [change.new for change in evaluator.step()]))

    assert found == [("too_new", []), ("too_new", []), ("too_new", ["ALARM"])]


def test_the_gap_before_an_alarm_is_made_anew_is_no_silence(house, engine, clock):
    midnight = clock().replace(hour=0, minute=0, second=0)
    house.day, clock.time = midnight - 20 * DAY, midnight + timedelta(hours=19)
    house.put(0, 0, 0)  # Of a deployment that was taken back 17 days ago.
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    house.alarm(evaluation_periods=3, treat_missing_data="breaching")
    changes = []
    for day in range(6):
        changes += [(day, change.new) for change in evaluator.step()]
        clock.time = midnight + (day + 1) * DAY + timedelta(seconds=601)

    assert changes == [(0, "OK"), (5, "ALARM")]


@both_databases
def test_late_data_lead_to_another_look(house, evaluator):
    house.alarm()
    house.put(1, 0)
    evaluator.step()

    house.put(1, day=1)

    (change,) = evaluator.step()
    assert (change.new, change.period_end.day) == ("ALARM", 3)


@both_databases
def test_datapoints_taken_back_lead_to_another_look(house, engine, evaluator):
    house.alarm(treat_missing_data="notBreaching")
    house.put(1)
    evaluator.step()

    with engine.begin() as connection:
        metrics.put(connection, [], source="monitor:drift/20130101")

    assert [change.new for change in evaluator.step()] == ["OK"]


def test_a_new_alarm_on_an_old_metric_is_judged_at_its_newest_datapoint(house, evaluator):
    house.put(1, 1, 0, 1)
    house.alarm(evaluation_periods=2, datapoints_to_alarm=2)

    assert states(evaluator.step()) == [(5, "OK")]
    house.put(1, day=4)
    assert states(evaluator.step()) == [(6, "ALARM")]


@both_databases
def test_a_day_of_hourly_datapoints_is_judged_when_it_is_complete(house, engine, evaluator):
    house.alarm(statistic="Maximum")
    dimensions = {"Endpoint": "flights"}
    hours = [
        Datapoint(
            "Driftline",
            "drift",
            dimensions,
            house.day + timedelta(hours=hour),
            value=float(hour == 3),
            period_s=3600,
        )
        for hour in range(24)
    ]
    with engine.begin() as connection:
        metrics.put(connection, hours[:23], source="first 23 hours")
    assert evaluator.step() == []

    with engine.begin() as connection:
        metrics.put(connection, hours[23:], source="last hour")

    assert states(evaluator.step()) == [(2, "ALARM")]


def test_weeks_that_begin_on_mondays_are_the_periods(house, evaluator):
    week_s = 7 * 86_400
    house.day = datetime(2013, 1, 7, tzinfo=UTC)
    house.alarm(period=week_s)

    house.put_one(1.0, day=0, period_s=week_s)

    (change,) = evaluator.step()
    assert change.period_end == datetime(2013, 1, 14, tzinfo=UTC)
    assert change.evaluated[0].start == house.day


def test_a_period_that_has_not_ended_is_not_judged(house, clock, evaluator):
    house.day = clock().replace(hour=0, minute=0, second=0)
    house.alarm()
    house.put(1.0)

    assert evaluator.step() == []
    clock.advance(days=1)
    assert [change.new for change in evaluator.step()] == ["ALARM"]


def test_the_change_quotes_the_newest_breaching_datapoint(house, evaluator):
    house.alarm(evaluation_periods=3, datapoints_to_alarm=2)
    for day, value in enumerate([1.0, 1.0, 0.0]):
        house.put(value, day=day, note={"cause": f"cause of day {day}"})

    (change,) = evaluator.step()

    assert change.note == {"cause": "cause of day 1"}
    assert change.first_breach == house.day


def test_only_the_unit_asked_for_is_judged(house, evaluator):
    house.alarm(unit="Percent")
    house.put(1.0, unit="Count")
    house.put(0.0, day=1, unit="Percent")

    assert states(evaluator.step()) == [(3, "OK")]


def test_much_data_is_judged_over_several_passes(house, engine, clock, evaluator, monkeypatch):
    monkeypatch.setattr("driftline.alerts.evaluation.on_arrival._ROWS_PER_PASS", 3)
    monkeypatch.setattr("driftline.alerts.evaluation.on_arrival._MANY_PERIODS", 0)
    house.alarm()
    house.put(1, 0, 1, 0, 1, 0, 1)

    found = []
    for _ in range(6):
        found += evaluator.step()

    assert [change.new for change in found] == ["ALARM", "OK"] * 3 + ["ALARM"]
    assert evaluator.step() == []


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


@both_databases
def test_much_data_within_one_range_come_to_rest(house, engine, evaluator, monkeypatch):
    monkeypatch.setattr("driftline.alerts.evaluation.on_arrival._ROWS_PER_PASS", 2)
    monkeypatch.setattr("driftline.alerts.evaluation.on_arrival._MANY_PERIODS", 0)
    house.alarm()
    house.put(1, 0, 1, 0)
    while evaluator.step():
        pass
    house.put(0, day=3)

    evaluator.step()

    with engine.connect() as connection:
        seen, revision = connection.execute(
            select(tables.alarms.c.seen_revision, tables.metrics.c.revision).select_from(
                tables.alarms.join(
                    tables.metrics, tables.metrics.c.key == tables.alarms.c.metric_key
                )
            )
        ).one()
    assert seen == revision


@both_databases
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


@both_databases
def test_silence_is_noticed_although_the_clock_was_far_ahead_for_a_moment(house, clock, engine):
    house.day = start = clock().replace(hour=0, minute=0, second=0) - DAY
    clock.time = start + timedelta(days=365)
    house.alarm(treat_missing_data="breaching")
    house.put(0.0)
    evaluator = Evaluator(engine, now=clock, grace_s=600)
    evaluator.step()
    assert house.get().state == "OK"

    clock.time = start + DAY
    assert evaluator.step() == []
    clock.advance(days=5)

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


@both_databases
def test_an_action_whose_channel_is_gone_is_still_counted(house, engine, evaluator):
    house.channel("a", "https://hooks.example")
    house.alarm(alarm_actions=("a",))
    with engine.begin() as connection:
        connection.execute(delete(tables.channels))
    house.put(1)
    evaluator.step()

    with engine.begin() as connection:
        (row,) = list_deliveries(connection)
    assert (row.status, row.last_error) == ("dead", "channel does not exist")


@both_databases
def test_the_loop_counts_a_failure_and_goes_on(house, engine, clock):
    stop = threading.Event()
    evaluator = Evaluator(engine, now=clock, poll_s=0.001)
    tables.metadata.drop_all(engine)
    thread = threading.Thread(target=evaluator.run, args=(stop,))
    thread.start()
    while evaluator.failures.count < 2:
        assert not stop.wait(0.001)
    stop.set()
    thread.join()

    assert evaluator.failures.count >= 2
