"""Paging gives each item once, whatever is added or deleted between two pages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table, delete, insert, select

from driftline.database.columns import UtcDateTime
from driftline.database.paging import is_behind, place_of, token_of
from driftline.errors import InputError
from tests.servers.postgres import open_url

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
ITEMS = Table(
    "paged_items",
    MetaData(),
    Column("id", String(8), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
ORDER = [ITEMS.c.at, ITEMS.c.id]
# Several items of one time; an id is a name in any language.
IDS = st.text("aÄz\"',%_", min_size=1, max_size=4)
TIMES = st.integers(0, 3).map(lambda minutes: NOON + timedelta(minutes=minutes, microseconds=1))
SETS = st.dictionaries(IDS, TIMES, max_size=12)


@pytest.fixture(scope="module")
def engine(module_database_url):
    made = open_url(module_database_url)
    ITEMS.metadata.create_all(made)
    yield made
    ITEMS.metadata.drop_all(made)
    made.dispose()


@given(
    there=SETS,
    others=st.lists(st.tuples(SETS, st.sets(IDS, max_size=3)), max_size=12),
    size=st.integers(1, 5),
    descending=st.booleans(),
)
def test_what_is_there_all_the_time_comes_once_and_in_order(
    engine, there, others, size, descending
):
    with engine.begin() as connection:
        connection.execute(delete(ITEMS))
        _add(connection, there)
        found, token, lasting, changes = [], None, dict(there), iter(others)
        while True:
            behind = is_behind(place_of(token, datetime, str), ORDER, descending=descending)
            order = [one.desc() if descending else one for one in ORDER]
            query = select(ITEMS).where(behind).order_by(*order).limit(size)
            rows = connection.execute(query).all()
            found += [(row.at, row.id) for row in rows]
            if len(rows) < size:
                break
            token = token_of((rows[-1].at, rows[-1].id))
            added, deleted = next(changes, ({}, set()))
            connection.execute(delete(ITEMS).where(ITEMS.c.id.in_(deleted)))
            lasting = {key: at for key, at in lasting.items() if key not in deleted}
            known = set(connection.scalars(select(ITEMS.c.id)))
            _add(connection, {key: at for key, at in added.items() if key not in known | {*there}})

    assert len(found) == len(set(found))
    assert {(at, key) for key, at in lasting.items()} <= set(found)
    times = [at for at, _ in found]
    assert times == sorted(times, reverse=descending)


def _add(connection, items):
    if items:
        connection.execute(insert(ITEMS), [{"id": key, "at": at} for key, at in items.items()])


@pytest.mark.parametrize("number", [True, -1, 1 << 63, 0.5, None])
def test_what_is_no_number_of_the_database_is_refused(number):
    with pytest.raises(InputError, match="expected that of the page before"):
        place_of(token_of((number,)), int)
