"""The store's folder is moved away, or not mounted, under a dashboard: no page says "deleted"."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.queries.stores import Stores
from driftline.errors import UnavailableError
from tests.dashboard.conftest import serving
from tests.dashboard.seed import Seeded, make_engine
from tests.dashboard.test_http import _asking

MONITOR = "/monitors/flights-data-quality"
AWAY = "The store is not reachable"


@pytest.fixture
def mounted(seeded, tmp_path):
    """The installation with its store behind a link, which can be taken away."""
    link = tmp_path / "store"
    link.symlink_to(seeded.root)
    return Seeded(seeded.engine, str(link), seeded.time), link


def words(stores, path):
    return str(render(stores, parse(path)))


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_pages_say_that_the_store_is_away_and_since_when(mounted, left):
    site, link = mounted
    stores = Stores(site.engine, site.root, site.now)
    assert AWAY not in words(stores, MONITOR)
    link.unlink()
    if left != "nothing":
        link.mkdir()

    for path in ("/", MONITOR, "/endpoints/flights", "/setup", "/baselines/flights"):
        shown = words(stores, path)
        assert AWAY in shown
        assert str(link) in shown
        assert "noticed 23 Nov 2013" in shown
    assert AWAY not in words(stores, "/alarms")
    assert AWAY not in words(stores, "/jobs")


def test_what_was_noticed_first_is_told_until_the_store_is_back(mounted):
    (site, link), clock = mounted, [1, 2, 3, 4]
    stores = Stores(site.engine, site.root, lambda: site.time.replace(hour=clock[0]))
    source = link.readlink()
    link.unlink()
    first = words(stores, MONITOR)
    clock.pop(0)
    assert words(stores, MONITOR) == first
    link.symlink_to(source)
    assert AWAY not in words(stores, MONITOR)
    link.unlink()
    assert words(stores, MONITOR) != first


def test_an_installation_that_wrote_nothing_yet_has_no_store_to_miss(tmp_path, seeded):
    engine = make_engine(tmp_path / "driftline.db")
    stores = Stores(engine, str(tmp_path / "store"), seeded.now)

    assert AWAY not in words(stores, "/")
    engine.dispose()


def test_files_of_rows_and_addresses_are_503_and_no_404(mounted):
    site, link = mounted
    link.unlink()
    stores = Stores(site.engine, site.root, site.now)
    asked = urlencode({"monitor": "flights-data-quality", "feature": "temp"})

    answer = _asking(Downloads(None, stores))("GET", f"/rows.csv?{asked}")

    assert answer.status_code == 503
    assert "the store is not reachable" in answer.json()["error"]["message"]
    with pytest.raises(UnavailableError):
        stores.require_storage(parse("/baselines/flights"))


@pytest.mark.browser
def test_a_page_says_it_and_shows_the_window_when_the_store_is_back(mounted, visits):
    site, link = mounted
    source = link.readlink()
    with serving(site) as url:
        visit = visits(url, 1280)
        page = visit.open(MONITOR)
        link.unlink()
        visit.open(MONITOR)
        main = page.get_by_role("main")
        expect(main).to_contain_text(AWAY)
        expect(main).to_contain_text("mount it, or move it back")
        link.symlink_to(source)
        visit.open(MONITOR)
        expect(page.get_by_role("heading", level=1)).to_have_text("flights-data-quality")
        visit.check()
