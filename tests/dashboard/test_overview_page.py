"""The first words of the fleet, and of an endpoint: what is wrong now."""

from collections import Counter
from dataclasses import replace

import pytest

from driftline.dashboard.pages import overview as overview_page
from driftline.dashboard.pages.endpoint import _top_cause
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.executions import COMPLETED, NO_LABELS, STATES


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def in_state(run, state):
    """Return a run as one that ended so."""
    statuses = {word: status for status, word in STATES.items()} | {"unlabelled": "NoData"}
    reason = NO_LABELS if state == "unlabelled" else None
    return replace(
        run,
        status=statuses.get(state, COMPLETED),
        failure_reason=reason,
        unjudged_count=0,
        worse_count=0,
    )


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("ok", "empty", "insufficient"), "2 of 3 monitors could not judge the newest window"),
        (("ok", "stopped", "waiting"), "1 of 3 monitors could not judge the newest window"),
        (("ok", "unlabelled", "ok"), "1 of 3 monitors could not judge the newest window"),
        (("ok", "ok", "waiting"), "Nothing is wrong now"),
    ],
)
def test_nothing_is_wrong_only_where_all_newest_windows_were_judged(stores, states, said):
    first = stores.overview().monitors[0]
    runs = {state: (in_state(first.runs[-1], state),) for state in states}
    monitors = [replace(first, runs=runs[one] if one != "waiting" else ()) for one in states]

    words, tone = overview_page.word_of_monitors(monitors, 0)

    assert words == said
    assert (tone == "ok") == (said == "Nothing is wrong now")


def test_a_window_of_which_a_part_could_not_be_judged_is_not_simply_well(stores):
    line = "905 rows, no violations in 4 of 12 metrics; 8 could not be judged (too few rows)"
    first = stores.overview().monitors[0]
    newest = in_state(replace(first.runs[-1], cause="", headline=line), "ok")
    partly = replace(first, runs=(replace(newest, unjudged_count=8),))
    whole = replace(first, runs=(newest,))

    said = overview_page.word_of_monitors([partly, whole], 0)

    assert said == ("No violations; 1 monitor could not judge everything", "none")
    assert line in str(_top_cause(partly))


def test_each_state_but_well_is_counted_under_the_first_line_and_leads_to_those(stores):
    view = stores.overview()
    first = view.monitors[0]
    runs = {state: (in_state(first.runs[-1], state),) for state in ("failed", "empty", "ok")}
    monitors = tuple(replace(first, runs=runs[one]) for one in ("failed", "empty", "empty", "ok"))

    endpoints = (replace(view.endpoints[0], monitors=monitors),)
    quiet = replace(view.alarms, counts=Counter(OK=1), shown=(), firing=0, paging=0)
    page = str(overview_page.page(replace(view, alarms=quiet, endpoints=endpoints)))

    assert "1 monitor failed on the newest window" in page
    assert "A(children='✕ 1 failed', href='/?state=failed')" in page
    assert "A(children='∅ 2 no data', href='/?state=empty')" in page
    assert "ok'" not in page.partition("Firing now")[0]


def test_endpoints_are_narrowed_to_those_with_a_monitor_in_a_state(stores):
    states = {one.shown_state for one in stores.overview().monitors}

    assert states
    for state in states:
        assert [one.name for one in stores.overview(state=state).shown] == ["flights"]
