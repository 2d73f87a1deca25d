"""Why an alarm is in its state, said in one sentence each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.records import delete_alarm
from driftline.alerts.errors import UnknownAlarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.states import set_actions_enabled, set_state
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from driftline.app.commands.alarm_text import explained
from tests.alerts.evaluation.desk import Desk
from tests.servers.postgres import both_databases


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


@pytest.fixture
def desk(engine, clock) -> Desk:
    clock.time = clock.time.replace(second=0)
    return Desk(engine, clock)


def test_the_window_is_shown_with_the_rule_that_decided(desk):
    desk.alarm(datapoints_to_alarm=2)
    desk.add(0.9, 0.1, 0.2, 0.7, 0.8)
    desk.evaluator.step()

    found = desk.explain()

    assert (found.state, found.marks, found.rule) == ("ALARM", "X00XX", "full")
    assert [point.value for point in found.points] == [0.9, 0.1, 0.2, 0.7, 0.8]
    assert [point.is_counted for point in found.points] == [False, False, True, True, True]
    assert found.decided == (
        "of the newest 3 datapoints that came in 2 are breaching, and it takes 2: ALARM; missing "
        "ones play no part"
    )
    assert found.condition == (
        "Average of Own/App Load {Server=Prod} above 0.5 in 2 of 3 periods of 1 minute; missing "
        "datapoints leave the alarm without data"
    )
    assert found.next_at == desk.clock() + timedelta(minutes=1)
    assert found.findings == ()
    assert found.as_dict()["points"][0]["mark"] == "X"


@pytest.mark.parametrize(
    ("values", "more", "rule", "sentence"),
    [
        (
            [None] * 5,
            {"treat_missing_data": "breaching"},
            "no_data",
            "no datapoint came in in the last 5 periods; missing ones count as breaching: ALARM",
        ),
        (
            [0.9, None, 0.9, None, None],
            {"datapoints_to_alarm": 2},
            "enough_breaching",
            "2 of the 3 datapoints wanted came in, in the last 5 periods; 2 are breaching already, "
            "and it takes 2: ALARM",
        ),
        (
            [None, None, 0.9, None, None],
            {"treat_missing_data": "breaching"},
            "filled",
            "1 of the 3 datapoints wanted came in, in the last 5 periods; 1 is breaching, and the "
            "2 missing count as breaching, where it takes 3: ALARM",
        ),
        (
            [0.1, None, 0.9, None, None],
            {},
            "good_point",
            "2 of the 3 datapoints wanted came in, in the last 5 periods; 1 is breaching where it "
            "takes 3, and one is good: OK",
        ),
        (
            [None, None, None, None, 0.9],
            {"treat_missing_data": "ignore"},
            "kept",
            "all are breaching, but it takes 3, and missing ones keep the state: INSUFFICIENT_DATA",
        ),
        (
            [None, None, 0.9, None, None],
            {},
            "waited",
            "all are breaching, and the oldest of them was followed by 2 periods or more: ALARM",
        ),
        (
            [None, None, None, 0.9, None],
            {},
            "premature",
            "all are breaching, but it takes 3, and the oldest is younger than 3 periods: too "
            "early to say, INSUFFICIENT_DATA is kept",
        ),
        (
            [0.9] * 5,
            {
                "extended_statistic": "p99",
                "evaluate_low_sample_count_percentile": "ignore",
            },
            "low_samples",
            "the percentile is of 3 samples, and p99 wants 1000 at least; "
            "evaluate_low_sample_count_percentile is ignore, so INSUFFICIENT_DATA is kept; with "
            "evaluate, or a longer period, it is judged",
        ),
        (
            [0.9, None, 0.1],
            {"evaluation_periods": 1},
            "full",
            "the newest datapoint that came in is not breaching: OK; missing ones play no part",
        ),
        (
            [None] * 5,
            {"warm_up_configuration": {"warm_up_period_duration_in_minutes": 10}},
            "warm_up",
            "the alarm is new and warms up: INSUFFICIENT_DATA is kept",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_each_rule_has_its_sentence(desk, values, more, rule, sentence):
    desk.alarm(**more)
    desk.add(*values)
    desk.evaluator.step()

    found = desk.explain()

    assert found.rule == rule
    assert sentence in found.decided
    assert found.judged == found.state


def test_a_percentile_of_few_samples_that_is_judged_all_the_same_is_said_to_be_one(desk):
    desk.alarm(extended_statistic="p99")
    desk.add(0.9, 0.9, 0.9)
    desk.evaluator.step()

    found = desk.explain()

    assert found.state == "ALARM"
    assert found.decided.endswith(
        "The percentile is of 3 samples, and p99 wants 1000 at least; with "
        "evaluate_low_sample_count_percentile: ignore, the state would be kept"
    )


@both_databases
def test_actions_that_were_switched_off_after_they_ran_are_told_so(desk, house, receiver):
    house.channel("pager", receiver.url)
    desk.alarm(ok_actions=["pager"])
    desk.add(0.1, 0.1, 0.1)
    desk.evaluator.step()
    with desk.engine.begin() as connection:
        set_actions_enabled(connection, ["cpu"], desk.clock(), enabled=False)

    found = desk.explain()

    assert [action.status for action in found.actions] == ["pending"]
    assert found.actions_reason == (
        "actions are switched off, so the next change tells nobody (driftline alarm enable "
        "switches them on)"
    )
    assert "no actions  actions are switched off" in "\n".join(explained(found.as_dict()))


def test_a_state_that_was_set_is_said_to_go(desk):
    desk.alarm()
    desk.add(0.1, 0.1, 0.1)
    desk.evaluator.step()
    with desk.engine.begin() as connection:
        set_state(connection, "cpu", "ALARM", "a test", desk.clock())

    found = desk.explain()

    assert (found.state, found.judged) == ("ALARM", "OK")
    assert found.decided.endswith("The alarm is in ALARM: its next evaluation changes that")


def test_a_datapoint_of_the_minute_that_runs_is_not_due(desk):
    desk.alarm()
    desk.add(0.9, every_s=-1)

    (finding,) = desk.explain().findings

    assert finding.code == "not_due"


def test_a_threshold_is_told_with_all_its_digits(desk):
    desk.alarm(threshold=1234567.5)

    assert "above 1234567.5 in 3 of 3 periods" in desk.explain().condition


def test_the_actions_of_the_last_change_are_told_with_what_became_of_them(desk, house, receiver):
    house.channel("pager", receiver.url)
    desk.alarm(ok_actions=["pager"])
    assert "has not changed its state yet" in (desk.explain().actions_reason or "")
    desk.add(0.1, 0.1, 0.1)
    desk.evaluator.step()

    (action,) = desk.explain().actions

    assert (action.channel, action.status, action.why) == ("pager", "pending", None)


def test_actions_that_are_switched_off_are_told_so(desk, house, receiver):
    house.channel("pager", receiver.url)
    desk.alarm(ok_actions=["pager"])
    with desk.engine.begin() as connection:
        set_actions_enabled(connection, ["cpu"], desk.clock(), enabled=False)
    desk.add(0.1, 0.1, 0.1)
    desk.evaluator.step()

    (action,) = desk.explain().actions

    assert (action.status, action.why) == (
        "disabled",
        "actions are switched off (driftline alarm enable switches them on)",
    )


def test_messages_of_a_deleted_alarm_are_not_those_of_its_successor(desk, house, receiver):
    house.channel("pager", receiver.url)
    for at in range(2):
        desk.alarm(alarm_actions=["pager"] if at == 0 else [])
        with desk.engine.begin() as connection:
            set_state(connection, "cpu", "ALARM", "a test", desk.clock())
            if at == 0:
                delete_alarm(connection, "cpu", desk.clock())

    found = desk.explain()

    assert (found.actions, found.actions_reason) == ((), "no action is declared for ALARM")


def test_a_composite_is_explained_by_its_conditions_and_its_suppressor(desk, house, receiver):
    house.channel("pager", receiver.url)
    desk.alarm()
    desk.alarm(alarm_name="sup")
    definition = CompositeDefinition(
        alarm_name="both",
        alarm_rule="ALARM(cpu) OR NOT OK(sup)",
        alarm_actions=("pager",),
        actions_suppressor="sup",
        actions_suppressor_wait_period=60,
        actions_suppressor_extension_period=60,
    )
    with desk.engine.begin() as connection:
        put_composites(connection, [definition], desk.clock())

    found = desk.explain("both")

    assert (found.kind, found.state, found.rule) == ("composite", "ALARM", "rule")
    assert [(one.condition, one.holds) for one in found.children] == [
        ('ALARM("cpu")', False),
        ('OK("sup")', False),
    ]
    assert found.decided == "the rule is true: ALARM; none of its conditions holds"
    (action,) = found.actions
    assert action.status == "suppressed"
    assert (action.why or "").startswith("Actions suppressed by WaitPeriod; they run at ")
    assert found.next_at == desk.clock() + timedelta(seconds=60)

    with desk.engine.begin() as connection:
        set_state(connection, "both", "OK", "a test", desk.clock())
    assert desk.explain("both").rule == "set_by_hand"


def test_values_that_late_datapoints_changed_are_told(desk):
    desk.alarm(evaluation_periods=1)
    desk.add(0.9)
    desk.evaluator.step()
    assert desk.explain().changed == ()

    desk.add(0.1)
    desk.clock.advance(minutes=30)

    (changed,) = desk.explain().changed
    assert (changed.decided, changed.now) == (0.9, 0.5)
    assert changed.start == desk.clock() - timedelta(minutes=31)


def test_a_state_that_was_set_by_hand_rests_on_no_values(desk):
    desk.alarm()
    for data in (None, "[1]", '{"evaluatedDatapoints": [{"value": 1}]}'):
        with desk.engine.begin() as connection:
            set_state(connection, "cpu", "ALARM", "why", desk.clock(), reason_data=data)

        assert desk.explain().changed == ()


def test_no_alarm_of_the_name_is_told_so(desk):
    with pytest.raises(UnknownAlarm, match='alarm "gone" does not exist'):
        desk.explain("gone")


def test_explaining_writes_nothing_and_says_the_same_again(desk):
    desk.alarm()
    desk.add(0.9)

    assert desk.explain() == desk.explain()


def test_statistics_of_monitors_and_of_others_are_read_alike(desk):
    desk.alarm(namespace="Driftline", metric_name="drift", period=3_600)
    point = Datapoint(
        "Driftline", "drift", {"Server": "Prod"}, desk.clock(), value=1.0, period_s=86_400
    )
    with desk.engine.begin() as connection:
        put(connection, [point], source="monitor:one")

    assert desk.explain().kind == "metric"


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (10, "every 10 seconds, over the window that ends then"),
        (60, "every minute, over the window that ends then"),
        # CloudWatch judges alarms on a day or more once an hour.
        (86_400, "every hour, over the window that ends then"),
    ],
)
def test_how_often_an_alarm_is_evaluated_is_said(desk, period, expected):
    desk.alarm(period=period, evaluation_periods=2)
    desk.evaluator.step()

    assert desk.explain().next_evaluation == expected


def test_an_alarm_on_one_period_says_so(desk):
    desk.alarm(evaluation_periods=1)

    assert "above 0.5 in 1 period of 1 minute;" in desk.explain().condition
