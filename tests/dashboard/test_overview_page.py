"""The first words of the fleet, and of an endpoint: what is wrong now."""

from collections import Counter
from dataclasses import replace

import pytest

from driftline.dashboard.pages import overview as overview_page
from driftline.dashboard.pages.endpoint import _top_cause
from driftline.dashboard.queries.stores import Stores


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


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
    runs = {state: (replace(first.runs[-1], state=state),) for state in states}
    monitors = [replace(first, runs=runs[one] if one != "waiting" else ()) for one in states]

    words, tone = overview_page.word_of_monitors(monitors, 0)

    assert words == said
    assert (tone == "ok") == (said == "Nothing is wrong now")


def test_a_window_of_which_a_part_could_not_be_judged_is_not_simply_well(stores):
    line = "905 rows, no violations in 4 of 12 metrics; 8 could not be judged (too few rows)"
    first = stores.overview().monitors[0]
    newest = replace(first.runs[-1], violation_count=0, cause=None)
    partly = replace(first, runs=(replace(newest, state="partly", headline=line),))
    whole = replace(first, runs=(replace(newest, state="ok"),))

    said = overview_page.word_of_monitors([partly, whole], 0)

    assert said == ("No violations; 1 monitor could not judge everything", "none")
    assert line in str(_top_cause(partly))


def test_each_state_but_well_is_counted_under_the_first_line_and_leads_to_those(stores):
    view = stores.overview()
    first = view.monitors[0]
    runs = {state: (replace(first.runs[-1], state=state),) for state in ("failed", "empty", "ok")}
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
