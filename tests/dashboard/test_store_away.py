"""The store's folder is moved away, or not mounted, under a dashboard: no page says "deleted"."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import insert, null, select, update

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.queries.stores import Stores
from driftline.errors import UnavailableError
from driftline.monitors.executions import require_storage
from driftline.monitors.tables import definitions, executions
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


@pytest.mark.parametrize("part", ["capture", "executions"])
def test_a_part_of_the_store_that_is_away_is_not_told_as_deleted(seeded, tmp_path, part):
    root = tmp_path / "store"
    root.mkdir()
    for folder in Path(seeded.root).iterdir():
        if folder.name != part:
            (root / folder.name).symlink_to(folder)
    stores = Stores(seeded.engine, str(root), seeded.now)

    for path in ("/", f"{MONITOR}/columns/dewp", "/endpoints/flights/traffic"):
        assert f"{AWAY}: {root}/{part} is missing" in words(stores, path)
    (root / part).symlink_to(Path(seeded.root) / part)
    assert AWAY not in words(stores, MONITOR)


def test_an_installation_of_tables_of_others_has_no_captured_rows_to_miss(seeded, tmp_path):
    engine = make_engine(tmp_path / "driftline.db")
    (tmp_path / "store" / "executions").mkdir(parents=True)
    with seeded.engine.connect() as source, engine.begin() as connection:
        for table, changed in ((definitions, {"source": {"path": "x"}}), (executions, {})):
            rows = source.execute(select(table)).mappings().all()
            connection.execute(insert(table), [{**row, **changed} for row in rows])

    require_storage(engine, str(tmp_path / "store"))
    with engine.begin() as connection:
        connection.execute(update(definitions).values(source=null()))
    with pytest.raises(UnavailableError, match="capture is missing"):
        require_storage(engine, str(tmp_path / "store"))
    engine.dispose()


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
