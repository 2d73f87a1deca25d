"""Pages of a list: each item once, whatever comes and goes, and tokens of no other list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.serving.aws.served import BadTokenError, Wire

NONE: Any = None
WIRE = Wire(NONE, NONE, "eu-west-1", "123456789012")
DAY = datetime(2026, 1, 15, tzinfo=UTC)

names = st.lists(st.text("abcÄ-", min_size=1), unique=True, max_size=40)


def key(name: str) -> tuple[datetime, str]:
    """Order by a time that several share, and then by name, as lists by creation are."""
    return DAY + timedelta(hours=len(name)), name


def walk(items: list[str], asked: dict[str, Any], *, descending: bool) -> list[list[str]]:
    pages, token = [], None
    while not pages or token:
        given = asked if token is None else {**asked, "NextToken": token}
        page, token = WIRE.page(given, key, items, descending=descending)
        pages.append(page)
    return pages


@given(names, st.integers(1, 7), st.booleans())
def test_pages_hold_each_item_once_in_order(items: list[str], size: int, descending: bool) -> None:
    pages = walk(items, {"MaxResults": size, "NameContains": "a"}, descending=descending)

    assert [*chain(*pages)] == sorted(items, key=key, reverse=descending)
    assert all(len(one) == size for one in pages[:-1])


@given(names, names)
def test_what_comes_and_goes_between_pages_hides_nothing(before: list[str], new: list[str]) -> None:
    first, token = WIRE.page({"MaxResults": 3}, key, before)
    gone = set(first[:1])
    after = [*(set(before) - gone) | set(new)]

    asked = {"MaxResults": 100, "NextToken": token}
    rest = [] if token is None else WIRE.page(asked, key, after)[0]

    assert not set(first) & set(rest)
    assert set(before) <= {*first, *rest}


def test_a_page_has_as_many_items_as_aws_gives_when_nothing_is_asked() -> None:
    items = [f"m{number:03}" for number in range(60)]

    assert len(WIRE.page({}, key, items)[0]) == 10
    assert len(WIRE.page({}, key, items, size=50)[0]) == 50
    assert len(WIRE.page({"MaxRecords": 7}, key, items, size=50)[0]) == 7
    assert WIRE.page({"MaxResults": 60}, key, items)[1] is None
    assert len(WIRE.page({"MaxResults": 0}, key, items)[0]) == 1


@pytest.mark.parametrize("token", ["", "x", "\x00", "eyJhIjoxfQ", "a" * 8192, "W10"])
def test_a_token_that_nobody_gave_is_refused(token: str) -> None:
    with pytest.raises(BadTokenError):
        WIRE.page({"NextToken": token}, key, ["a", "b"])
