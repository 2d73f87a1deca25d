"""When a composite's actions run: CloudWatch User Guide, "Alarm suppression", and properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.suppression import NOTHING_HELD, Periods, step

START = datetime(2026, 1, 1, tzinfo=UTC)
WAIT, EXTENSION = 2, 3


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def run(composite, suppressor, until=30, wait=WAIT, extension=EXTENSION, times=None):
    """Take two series of (time, state) through; give (time, state) of each run of actions."""
    changes, holds = dict(composite), dict(suppressor)
    state, holder, held = changes.pop(0), holds.pop(0), NOTHING_HELD
    held = step(held, Periods(wait, extension), at(0), suppressor=holder).held
    ran = []
    for now in sorted({*changes, *holds, *(times or ()), until}):
        before, state = state, changes.get(now, state)
        holder = holds.get(now, holder)
        found = step(
            held,
            Periods(wait, extension),
            at(now),
            suppressor=holder,
            has_changed=state != before,
        )
        if found.ran_at is not None:
            ran.append(((found.ran_at - START).total_seconds(), before))
        if found.runs_now:
            ran.append((now, state))
        held = found.held
    return ran


@pytest.mark.parametrize(
    ("composite", "suppressor", "wanted"),
    [
        ([(0, "OK"), (2, "ALARM")], [(0, "OK")], [(4, "ALARM")]),
        ([(0, "OK"), (2, "ALARM")], [(0, "OK"), (3, "ALARM")], []),
        ([(0, "OK"), (2, "ALARM"), (3, "OK")], [(0, "OK")], [(5, "OK")]),
        ([(0, "OK"), (2, "ALARM")], [(0, "ALARM")], []),
        ([(0, "OK"), (2, "ALARM")], [(0, "OK"), (3, "ALARM"), (6, "OK")], [(9, "ALARM")]),
        (
            [(0, "OK"), (2, "ALARM"), (7, "OK")],
            [(0, "OK"), (3, "ALARM"), (6, "OK")],
            [(9, "OK")],
        ),
    ],
    ids=[f"example-{number}" for number in range(1, 7)],
)
def test_the_documented_examples(composite, suppressor, wanted):
    assert run(composite, suppressor) == wanted


@pytest.mark.parametrize(
    ("composite", "suppressor", "wanted"),
    [
        # Without data the suppressor does not suppress.
        ([(0, "OK"), (2, "ALARM")], [(0, "INSUFFICIENT_DATA")], [(4, "ALARM")]),
        ([(0, "OK"), (2, "ALARM")], [(0, "ALARM"), (3, "INSUFFICIENT_DATA")], [(6, "ALARM")]),
        # The suppressor again, while the extension runs.
        (
            [(0, "OK"), (2, "ALARM")],
            [(0, "ALARM"), (3, "OK"), (5, "ALARM"), (8, "OK")],
            [(11, "ALARM")],
        ),
        # A wait that ends as the suppressor comes has ended before.
        ([(0, "OK"), (2, "ALARM")], [(0, "OK"), (4, "ALARM")], [(4, "ALARM")]),
        # The suppressor and the composite at once: the suppressor first.
        ([(0, "OK"), (2, "ALARM")], [(0, "OK"), (2, "ALARM")], []),
        # It leaves while nothing is owed.
        ([(0, "OK")], [(0, "ALARM"), (3, "OK")], []),
        ([(0, "OK"), (2, "ALARM")], [(0, "OK"), (5, "ALARM"), (6, "OK")], [(4, "ALARM")]),
        # Two changes while it is held: the state by then, once.
        (
            [(0, "OK"), (2, "ALARM"), (3, "OK"), (4, "ALARM")],
            [(0, "ALARM"), (5, "OK")],
            [(8, "ALARM")],
        ),
    ],
    ids=[
        "no-data",
        "alarm-to-no-data",
        "again-in-the-extension",
        "tie-of-wait-and-suppressor",
        "tie-of-suppressor-and-composite",
        "nothing-owed",
        "after-the-wait",
        "changes-while-held",
    ],
)  # fmt: skip
def test_what_follows_from_the_rules(composite, suppressor, wanted):
    assert run(composite, suppressor) == wanted


STATES = st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA"])
series = st.dictionaries(st.integers(1, 20), STATES, max_size=8)
lengths = st.integers(0, 6)


@given(changes=series, holds=series, wait=lengths, extension=lengths, stops=st.sets(lengths))
def test_looking_more_often_changes_nothing(changes, holds, wait, extension, stops):
    composite, suppressor = [(0, "OK"), *changes.items()], [(0, "OK"), *holds.items()]
    more = {"wait": wait, "extension": extension, "until": 40}

    assert run(composite, suppressor, times=range(41), **more) == run(
        composite, suppressor, times=stops, **more
    )


@given(changes=series, holds=series, wait=lengths, extension=lengths)
def test_no_more_actions_than_changes_and_none_while_the_suppressor_is_in_alarm(
    changes, holds, wait, extension
):
    composite, suppressor = [(0, "OK"), *changes.items()], [(0, "OK"), *holds.items()]
    ran = run(composite, suppressor, until=40, wait=wait, extension=extension)

    states = ["OK", *(changes[time] for time in sorted(changes))]
    assert len(ran) <= sum(one != next_ for one, next_ in pairwise(states))
    for time, _ in ran:
        # A wait may end as the suppressor comes, and one of no length begin as it leaves.
        before, now = (
            max((one for one in holds if one < time + more), default=None) for more in (0, 1)
        )
        assert {holds.get(before), holds.get(now)} != {"ALARM"}


@given(changes=series, holds=series, wait=lengths, extension=lengths)
def test_the_last_change_is_told_unless_the_suppressor_stays(changes, holds, wait, extension):
    composite, suppressor = [(0, "OK"), *changes.items()], [(0, "OK"), *holds.items()]
    ran = run(composite, suppressor, until=40, wait=wait, extension=extension)

    states = ["OK", *(changes[time] for time in sorted(changes))]
    holder = holds[max(holds)] if holds else "OK"
    has_changed = len(set(states)) > 1
    if has_changed and holder != "ALARM":
        assert ran[-1][1] == states[-1]
