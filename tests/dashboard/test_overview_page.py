"""The first words of the fleet, and of an endpoint: what is wrong now."""

from dataclasses import replace

import pytest

from driftline.dashboard.pages import overview as overview_page
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
