"""Rows are selected in the figures themselves: by hand, and in words by keyboard."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from dash import html
from playwright.sync_api import expect

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.pages import quality
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.run.standing import NoWindowError
from driftline.roles import Roles
from tests.dashboard.conftest import Visit

MONITOR = "/monitors/flights-data-quality"
WINDOW = "20131118T000000Z"
NUMBER = f"{MONITOR}?window={WINDOW}&feature=dewp"


def page(found, path):
    address, _, query = path.partition("?")
    return render(Stores(found.engine, found.root, found.now), parse(address, query))


def ranges_of(drawn, figure):
    """Return where ranges of a figure lead, and the figure."""
    for part in drawn._traverse():
        ways = getattr(part, "data-ranges", None)
        if ways is not None and part.children.id == figure:
            return json.loads(ways), part.children.figure
    return None, None


def test_ranges_of_numbers_lead_to_the_rows_between_their_ends(seeded):
    drawn = page(seeded, NUMBER)

    ways, figure = ranges_of(drawn, "comparison")

    assert (ways["name"], ways["to"]) == ("where", f"{MONITOR}/explain?window={WINDOW}")
    assert len(ways["first"]) == len(ways["last"]) == len(ways["edges"]) - 1
    # The outermost bars hold all beyond.
    assert (ways["first"][0], ways["last"][-1]) == ("", "")
    assert ways["first"][1] == ways["last"][0].replace("<", ">=")
    assert figure["layout"]["dragmode"] == "select"
    assert "click a bar or drag over a range, or type which they are:" in str(drawn)
    assert "Rows where" in str(drawn)


def test_bars_of_texts_are_clicked_and_have_no_range(seeded):
    drawn = page(seeded, f"{MONITOR}?window={WINDOW}&feature=carrier")

    assert ranges_of(drawn, "comparison") == (None, None)
    assert "click a bar, or type which they are:" in str(drawn)


def test_windows_that_are_dragged_over_lead_to_a_comparison(seeded):
    drawn = page(seeded, NUMBER)

    ways, _ = ranges_of(drawn, "timeline")

    assert (ways["name"], ways["to"]) == ("b", "/compare?monitor=flights-data-quality")
    assert ways["first"][1:] == ways["last"][:-1]
    assert "drag over several to compare them" in str(drawn)
    asked = f"{ways['to']}&b={ways['first'][-2]}..{ways['last'][-1]}"
    # Beside as many days before.
    assert "19–20 Nov 2013 beside 21–22 Nov 2013" in str(page(seeded, asked))


def test_ranges_of_scores_lead_to_their_rows(measured):
    stores = Stores(measured.engine, measured.root, measured.now)
    view = stores.endpoint(parse("/endpoints/flights/quality")).measured
    # Its rows were captured without answers.
    answered = replace(view, roles=Roles.of(label="late", probability="chance"))
    drawn = html.Div(quality.quality_parts(answered, lambda _: "/"))

    ways, _ = ranges_of(drawn, "calibration")

    assert (ways["name"], ways["joint"], ways["edges"][10]) == ("where", ";", 0.5)
    assert re.fullmatch(r".+>=0\.5", ways["first"][10])
    assert ways["last"][-1] == ""
    assert "drag over a range of scores" in str(drawn)


@pytest.mark.parametrize("page_of", ["", "/columns/dewp", "/explain"])
def test_a_window_that_is_not_there_is_none_by_its_status(seeded, page_of):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    path = f"{MONITOR}{page_of}"

    with pytest.raises(NoWindowError, match="has no window"):
        stores.require(parse(path, "window=20200101T000000Z"))
    stores.require(parse(path, f"window={WINDOW}"))
    assert "Newest window of flights-data-quality" in str(
        page(seeded, f"{path}?window=20200101T000000Z")
    )


@pytest.mark.browser
def test_a_range_of_a_histogram_is_dragged_over(visit):
    seen: Visit = visit()
    shown = seen.open(NUMBER)
    over = shown.locator("#comparison .nsewdrag").last
    expect(over).to_be_attached()
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    shown.mouse.move(box["x"] + 0.3 * box["width"], middle)
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
    shown.mouse.up()
    shown.wait_for_url(re.compile(r"/explain\?window=20131118T000000Z&where=dewp%3E%3D.*dewp%3C"))
    expect(shown.get_by_role("heading", name="What differs")).to_be_visible()
    seen.check()
