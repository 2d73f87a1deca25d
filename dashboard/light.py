"""Elements of HTML made and written without Dash's checks of each, of which a page has thousands.

Dash lists an element's properties anew with each one that is made, and asks for each of them when
it is written: 25 µs an element, where these take one. They are its own classes all the same. That
pages set no property that Dash does not know is for tests to see (tests/dashboard/test_light.py).

Names that are written from right to left are isolated in them, as a sentence would turn around.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import plotly.utils
from dash import html
from dash.development.base_component import Component

ELEMENTS: list[Any] = [one for one in vars(html).values() if isinstance(one, type)]
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"  # From Hebrew to Arabic, and their ligatures.
_NAME = re.compile(rf"([{_RIGHT}][{_RIGHT}\d_]*(?:[ _-]+[{_RIGHT}][{_RIGHT}\d_]*)*)")
_WHOLE = html.Bdi, html.Option


def _make(element: Component, children: object = None, **given: object) -> None:
    vars(element).update(
        given, children=children if type(element) in _WHOLE else isolated(children)
    )


def isolated(children: Any) -> Any:  # noqa: ANN401 - whatever an element holds.
    """Isolate the names in texts that are written from right to left, from what follows them."""
    if type(children) is list and any(type(one) is str and not one.isascii() for one in children):
        parts = ((one if type(one) is list else [one]) for one in map(isolated, children))
        return [one for part in parts for one in part]
    if type(children) is not str or children.isascii() or not _NAME.search(children):
        return children
    texts = _NAME.split(children)  # Every second one is a name.
    return [html.Bdi(one) if at % 2 else one for at, one in enumerate(texts) if one]


for _one in ELEMENTS:
    for _name, _value in vars(_one()).items():  # The same for each element of the kind.
        setattr(_one, _name, _value)
    _one.__init__ = _make


def written(drawn: Component) -> bytes:
    """Write a page as Dash would, in a small part of the time."""
    return orjson.dumps(drawn, _plain, OPTIONS)


def _plain(one: Any) -> object:  # noqa: ANN401 - whatever a page holds.
    if type(one) in _LIGHT:
        return {"props": vars(one), "type": one._type, "namespace": one._namespace}
    return _by_dash(one)


_LIGHT, _by_dash = frozenset(ELEMENTS), plotly.utils.PlotlyJSONEncoder().default
