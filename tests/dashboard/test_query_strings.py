"""No query string breaks a page: what makes no sense is ignored, or said in a sentence."""

from random import Random
from urllib.parse import urlencode

import pytest

from driftline.dashboard.address import parse
from driftline.dashboard.app import AWAY, _draw
from driftline.dashboard.queries import explained
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.all_pages import MONITOR, PAGES
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.policed_seed import texts

NAMES = (
    "again", "channel", "day", "facet", "feature", "from", "keep", "metric",
    "missing", "monitor", "name", "needed", "page", "period", "periods", "q", "reference",
    "severity", "state", "status", "subject", "target", "thr", "threshold", "to", "version",
    "view", "where", "window",
)  # fmt: skip
VALUES = (
    # What some page knows, often in the wrong place,
    "20131118T000000Z", "20131021T000000Z", "carrier", HOSTILE, "origin", "auc", "DPPL / origin",
    "flights-data-quality", "flights-quality", "flights", "schedules", "violations", "ALARM",
    "failed", "pager", "page", "yes", "variant:AllTraffic", "baseline:1", "carrier=EDV",
    "2013-11-01..2013-11-20", "2013-11-01", "Alarm/x", "0.3", "3", "60", "ignore", "..",
    # and what none knows.
    "", "-1", "0", "999999", "9" * 400, "1e400", "nan", "inf", "%", "_", "\x00", "'--", "<b>", "[",
    "\u202e", "\U0001f600" * 50, "a" * 3_000, "0001-01-01", "9999-12-31T23:59:59+23:59",
    "99991231T235959Z",
    "..x", "x..", "2013-11-20..2013-11-01", "baseline:", "variant:", "carrier>x", "=", ";", "a=b=c",
)  # fmt: skip
SOME, MANY = 3, 500


def test_no_window_is_at_the_end_of_time(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)

    drawn = _draw(stores, parse("/monitors/flights-data-quality", "window=99991231T235959Z"))[0]

    assert 'has no window "99991231T235959Z"' in texts(drawn)


@pytest.mark.parametrize(
    ("path", "query"),
    [("/nope", ""), ("/monitors/none", ""), (MONITOR, "window=never"), (MONITOR, "feature=none")],
)
def test_what_does_not_exist_is_said(seeded, path, query):
    stores = Stores(seeded.engine, seeded.root, seeded.now)

    assert "Not found" in texts(_draw(stores, parse(path, query))[0])


@pytest.mark.parametrize("installation", PAGES)
def test_no_query_string_breaks_a_page(installation, request, monkeypatch):
    monkeypatch.setattr(explained, "LIMIT_S", 0.05)
    names = {"policed": "policed_site"}
    found = request.getfixturevalue(names.get(installation, installation))
    stores = Stores(found.engine, found.root, found.now)
    random = Random(7)

    for path in sorted({one.partition("?")[0] for one in PAGES[installation].values()}):
        for _ in range(MANY if request.config.getoption("full") else SOME):
            chosen = random.sample(NAMES, random.randint(1, 6))
            query = urlencode({name: random.choice(VALUES) for name in chosen})
            said = texts(_draw(stores, parse(path, query))[0])
            assert "A fault of the dashboard" not in said, (path, query)
            assert AWAY not in said, (path, query)
