"""Elements are made without Dash's checks: here every page is held against them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import plotly.utils
import pytest
from dash import html
from dash.development.base_component import Component

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.light import written
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.all_pages import PAGES

ASKED = [(of, path) for of in ("seeded", "measured", "policed") for path in PAGES[of].values()]


def elements(part: Any) -> Iterator[Component]:
    """Walk through a page; what is no child must hold no element."""
    if isinstance(part, Component):
        yield part
        for name, value in vars(part).items():
            if name == "children":
                yield from elements(value)
            else:
                assert not isinstance(value, Component), (part, name)
    elif isinstance(part, list | tuple):
        for one in part:
            yield from elements(one)


@pytest.mark.parametrize(("of", "asked"), ASKED)
def test_pages_set_only_what_dash_knows(of: str, asked: str, request: Any) -> None:
    site = request.getfixturevalue("policed_site" if of == "policed" else of)
    path, _, query = asked.partition("?")

    page = render(Stores(site.engine, site.root, site.now), parse(path, query))

    for one in elements(page):
        given = vars(one).keys() & {*one._prop_names} | {
            name for name in vars(one) if name.startswith(("data-", "aria-"))
        }
        if isinstance(one, tuple(vars(html)[name] for name in html.__all__)):
            assert vars(one).keys() == given, one
        assert isinstance(getattr(one, "id", ""), str)


@pytest.mark.parametrize("path", ["/", "/endpoints/flights/drift", "/jobs"])
def test_pages_are_written_as_dash_writes_them(seeded: Any, path: str) -> None:
    page = render(Stores(seeded.engine, seeded.root, seeded.now), parse(path))

    by_dash = orjson.dumps(
        page, plotly.utils.PlotlyJSONEncoder().default,
        orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
    )  # fmt: skip
    assert orjson.loads(written(page)) == orjson.loads(by_dash)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("שלום עולם: 100% of rows", ["<שלום עולם>", ": 100% of rows"]),
        ('level "مهندس <i>gig</i>", 84%', ['level "', "<مهندس>", ' <i>gig</i>", 84%']),
        ("from שלום2 to عمر_5", ["from ", "<שלום2>", " to ", "<عمر_5>"]),
        ("▲ 3 × its bound, Büro", "▲ 3 × its bound, Büro"),
    ],
)
def test_names_from_right_to_left_are_isolated(text: str, parts: Any) -> None:
    shown = html.P(text), html.P([text, html.B(2)]), html.Option(text)

    told = [
        [f"<{one.children}>" if isinstance(one, html.Bdi) else one for one in each.children]
        if isinstance(each.children, list)
        else each.children
        for each in shown
    ]

    assert told[0] == parts
    assert told[1][:-1] == (parts if isinstance(parts, list) else [parts])
    assert told[2] == text  # An option holds nothing but text.
