"""Replay of composites: the shared case, the documented examples of suppression, wrong input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.evaluation.replay import replay
from tests.alerts.replays import CASES, START, at, states


@pytest.mark.parametrize("case", [one for one in CASES if one["kind"] == "composite"])
def test_the_shared_composites_come_out_as_written(case):
    children = {
        name: [
            {"time": at(60 * place), "state": step[0][column]}
            for place, step in enumerate(case["steps"])
        ]
        for column, name in enumerate(case["children"])
    }
    found = {
        "composite": {"AlarmName": "both", "AlarmRule": case["rule"]},
        "children": children,
        "start": at(-60),
        "end": at(60 * (len(case["steps"]) - 1)),
        "step_s": 60,
    }

    assert states(found) == [step[1] for step in case["steps"]]


# CloudWatch User Guide, "Alarm suppression": the six documented examples, WaitPeriod 2 and
# ExtensionPeriod 3; (composite, suppressor, actions), each as (time, state).
SUPPRESSIONS = {
    "1": ([(2, "ALARM")], [(0, "OK")], [(4, "ALARM")]),
    "2": ([(2, "ALARM")], [(0, "OK"), (3, "ALARM")], []),
    "3": ([(2, "ALARM"), (3, "OK")], [(0, "OK")], [(5, "OK")]),
    "4": ([(2, "ALARM")], [(0, "ALARM")], []),
    "5": ([(2, "ALARM")], [(0, "OK"), (3, "ALARM"), (6, "OK")], [(9, "ALARM")]),
    "6": ([(2, "ALARM"), (7, "OK")], [(0, "OK"), (3, "ALARM"), (6, "OK")], [(9, "OK")]),
}


def suppressed(composite, suppressor, unit_s=1.0, **more):
    def turns(found):
        return [{"time": at(time * unit_s), "state": state} for time, state in found]

    return {
        "composite": {
            "AlarmRule": "ALARM(child)",
            "ActionsSuppressor": "deploying",
            "ActionsSuppressorWaitPeriod": int(2 * unit_s),
            "ActionsSuppressorExtensionPeriod": int(3 * unit_s),
            "AlarmActions": ["ALARM"],
            "OKActions": ["OK"],
        },
        "children": {"child": turns([(0, "OK"), *composite]), "deploying": turns(suppressor)},
        "start": at(0),
        "end": at(20 * unit_s),
        "step_s": unit_s,
        **more,
    }


def acted(found, unit_s=1.0):
    return [
        ((line.time - START).total_seconds() / unit_s, action)
        for line in replay(found)
        for action in line.actions
    ]


@pytest.mark.parametrize("unit_s", [1.0, 60.0])
@pytest.mark.parametrize("example", sorted(SUPPRESSIONS))
def test_the_documented_examples_of_suppression_come_out(example, unit_s):
    composite, suppressor, actions = SUPPRESSIONS[example]

    assert acted(suppressed(composite, suppressor, unit_s), unit_s) == actions


def test_a_composite_of_which_nothing_is_known_begins_without_data_and_is_judged_at_once():
    found = {
        "composite": {"AlarmRule": "ALARM(child)", "OKActions": ["told"]},
        "children": {"child": []},
        "start": at(0),
        "end": at(60),
        "step_s": 60,
    }

    (line,) = replay(found)

    assert (line.previous, line.state, line.actions) == ("INSUFFICIENT_DATA", "OK", ("told",))


TIMES = st.integers(1, 29)
TURNS = st.lists(st.tuples(TIMES, st.sampled_from(["OK", "ALARM"])), unique_by=lambda one: one[0])


@given(child=TURNS, suppressor=TURNS, step=st.sampled_from([2, 3, 5, 6]))
def test_the_actions_of_a_composite_do_not_depend_on_how_often_one_looks(child, suppressor, step):
    fine = suppressed(child, [(0, "OK"), *suppressor], end=at(30))
    coarse = fine | {"step_s": step}

    often = [action for line in replay(fine) for action in line.actions]

    assert [action for line in replay(coarse) for action in line.actions] == often
