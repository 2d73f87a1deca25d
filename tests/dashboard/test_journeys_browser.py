"""A person's usual questions, answered by what the pages show: each within so many clicks.

Every step goes by visible text, roles and labels. The browser counts the clicks, those of the
keyboard, too; the seconds are for a machine that is busy with other tests.
"""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect
from sqlalchemy import insert, select

from driftline.access.principal import system_user
from driftline.capture.tables.dataset import Dataset
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.tables import executions, results
from tests.dashboard.conftest import HOSTILE, serving
from tests.dashboard.journey import by_hand, by_keyboard, journey
from tests.dashboard.measured_seed import HOSTILE as GROUP
from tests.dashboard.policed_seed import LATENCY
from tests.dashboard.seed import Seeded, keep_up, make_engine

pytestmark = pytest.mark.browser

START, DAY, DAYS = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1), 90
NAMES = [f"feature_{place:04}" for place in range(1_000)]
LAST_NIGHT = "Fri 22 Nov 2013"


def walked(*, ways):
    """Walk by mouse, by keyboard alone, or on a phone; in a full run in all of these ways."""
    known = {"mouse": (by_hand, 1440), "keyboard": (by_keyboard, 1440), "phone": (by_hand, 390)}
    marks = {way: () if way in ways else (pytest.mark.full,) for way in known}
    return pytest.mark.parametrize(
        ("press", "width"),
        [pytest.param(*known[way], marks=marks[way], id=way) for way in known],
    )


def of_last_night(seeded, column):
    """Return a column's values in the newest window, from the captured table itself."""
    rows = pl.read_delta(Dataset(seeded.root, "flights").uri)
    return rows.filter(pl.col("event_date") == "2013-11-22")[f"feature_{column}"].to_list()


def rows_link(page):
    return page.get_by_role("article").filter(has_text="flights: broken input").get_by_role(
        "link", name="See the rows"
    )  # fmt: skip


@walked(ways=["phone"])
def test_is_anything_wrong_now(visit, press, width):
    with journey(visit(width), "/", clicks=1) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "2 alarms are firing, 1 of them paging"
        )
        paging = page.get_by_role("article").filter(has_text="flights: broken input")
        expect(paging).to_contain_text("for 4 d 2 h")
        expect(paging).to_contain_text('new level "EDV"')

        press(page, page.get_by_role("link", name="flights", exact=True))
        expect(page.get_by_role("heading", level=1)).to_have_text("flights")


@walked(ways=["keyboard"])
def test_what_drifted_last_night_and_its_rows_exported(visit, seeded, press, width):
    with journey(visit(width), "/", clicks=2) as page:
        press(page, rows_link(page))
        main = page.get_by_role("main")
        expect(main).to_contain_text(re.compile(rf"rows, \d violations(; .*)? \({LAST_NIGHT}"))
        said = main.inner_text()
        with page.expect_download() as waiting:
            press(page, page.get_by_role("link", name="CSV", exact=True))
        lines = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))

    assert HOSTILE in said
    # The weather feed of one airport, and all of its rows.
    assert len(lines) == of_last_night(seeded, "origin").count("EWR")
    assert {line["origin"] for line in lines} == {"EWR"}


@pytest.mark.full
@walked(ways=["mouse"])
def test_which_new_value_in_how_many_rows(visit, seeded, press, width):
    several = of_last_night(seeded, "carrier").count("EDV")
    with journey(visit(width), "/", clicks=2) as page:
        press(page, rows_link(page))
        press(page, page.get_by_role("link", name="carrier", exact=True).first)

        expect(page.get_by_role("heading", name="carrier: reference beside window")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text('new level "EDV"')
        expect(page.get_by_role("main")).to_contain_text(f"{several} rows")
    assert several > 0


def test_a_silence_with_a_reason_its_end_and_a_test_of_the_channel(visit_policed, policed_site):
    with journey(visit_policed(), "/", clicks=4) as page:
        page.get_by_role("link", name=LATENCY, exact=True).first.click()
        page.get_by_label("Reason").fill("roll-out")
        page.get_by_role("button", name="Silence", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text(f"by {system_user()}: roll-out")
        page.get_by_role("button", name="End now").click()
        expect(page.get_by_role("button", name="End now")).to_have_count(0)
        page.get_by_role("button", name="Send a test to pager").click()
        expect(page.get_by_role("status")).to_contain_text("pager took the test message in")


@pytest.mark.full
def test_would_three_of_five_have_fired_last_month(visit, seeded):
    with seeded.engine.connect() as connection:
        found = select(executions.c.page_count).order_by(executions.c.window_start)
        broken = [pages > 0 for pages in connection.scalars(found)]
    firing = [sum(broken[max(0, day - 4) : day + 1]) >= 3 for day in range(len(broken))]
    fired = sum(now and not before for before, now in pairwise([False, *firing]))
    with journey(visit(), "/", clicks=2) as page:
        page.get_by_role("link", name="flights: broken input", exact=True).first.click()
        page.get_by_label("Breaching periods").fill("3")
        page.get_by_label("of the newest").fill("5")
        page.get_by_role("button", name="Preview").click()
        declared, tried = (
            page.get_by_role("row").filter(has_text=words).get_by_role("cell")
            for words in ("As declared", "With these values")
        )
        expect(declared.nth(2)).to_have_text(f"{sum(broken)} d")
        expect(tried.nth(1)).to_have_text(f"{fired} time")
        expect(tried.nth(2)).to_have_text(f"{sum(firing)} d")


@pytest.mark.full
def test_did_the_model_get_worse_and_which_windows_are_provisional(visit_measured):
    with journey(visit_measured(), "/", clicks=2) as page:
        row = page.get_by_role("row").filter(has_text="flights").last
        row.get_by_role("link", name="Violations").first.click()
        worse = page.get_by_role("figure", name="Brier skill over time: 14 windows measured")
        expect(worse).to_contain_text("4 in violation")
        expect(page.get_by_role("main")).to_contain_text("77.0% of its rows have a label")
        windows = page.get_by_role("navigation", name="Window")
        windows.get_by_text("30 Sep – 6 Oct 2013").first.click()
        provisional = windows.get_by_role("link").filter(has_text="Waiting for labels")
        expect(provisional).to_have_count(2)
        expect(provisional.first).to_contain_text("14–20 Oct 2013")


@pytest.mark.full
def test_for_whom_is_it_less_fair(visit_measured):
    with journey(visit_measured(), "/", clicks=2) as page:
        page.get_by_role("link", name="flights", exact=True).click()
        page.get_by_role("link", name="Fairness", exact=True).click()
        worst = page.get_by_role("region", name="DPPL, DI, RD by group").get_by_role("row").nth(1)
        expect(worst).to_contain_text(f"origin={GROUP}")
        expect(worst).to_contain_text("+0.09, intervals apart")
        expect(worst).to_contain_text("violation")


@pytest.mark.full
def test_which_feature_lost_importance(visit_measured):
    with journey(visit_measured(), "/", clicks=3) as page:
        page.get_by_role("link", name="flights", exact=True).click()
        page.get_by_role("link", name="Attribution", exact=True).click()
        ranks = page.get_by_role("figure", name="2 of 9 features moved by 3 ranks or more")
        ranks.get_by_text("Show as a table").click()
        lost = ranks.get_by_role("row").filter(has_text="carrier")
        expect(lost.get_by_role("cell")).to_have_text(
            ["carrier", "2", "9", "0.2", "0.01", "0.009", "0.011"]
        )


@pytest.mark.full
def test_a_colleague_opens_the_link(visit):
    mine = visit()
    page = mine.open("/")
    rows_link(page).click()
    page.get_by_role("link", name="carrier", exact=True).first.click()
    heading = "carrier: reference beside window"
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator(".js-plotly-plot:not(:has(.main-svg))")).to_have_count(0)
    said = page.get_by_role("main").inner_text()

    theirs = visit(fresh=True)
    with journey(theirs, page.url.removeprefix(mine.address), clicks=0) as other:
        expect(other.get_by_role("heading", name=heading)).to_be_visible()
        expect(other).to_have_title(page.title())
        # With the words of figures, which come a moment after the page.
        expect(other.get_by_role("main")).to_have_text(said, use_inner_text=True)
        assert other.get_by_role("main").inner_text() == said


def judged(connection, definition, start, ratios=()):
    """Record a day that was judged without a violation, with how far columns lay from bounds."""
    end = start + DAY
    row = {
        "id": f"{start:%Y%m%d}", "monitor": definition.name, "kind": "data-quality",
        "endpoint": definition.endpoint, "baseline": definition.baseline, "window_start": start,
        "window_end": end, "started_at": end, "finished_at": end, "status": "Completed",
        "row_count": 1_000, "request_count": 1_000, "violation_count": 0, "page_count": 0,
        "cause": "", "folder": "", "failure_reason": None, "is_current": True, "digest": "",
        "definition_version": 1, "baseline_version": "",
        "max_drift_ratio": max(ratios, default=None),
    }  # fmt: skip
    connection.execute(insert(executions).values(row))
    columns = [
        {
            "execution": row["id"], "key": f"distance / {name}", "value": float(ratio),
            "bound": 1.0, "is_violated": False, "state": "judged",
        }
        for name, ratio in zip(NAMES, ratios, strict=False)
    ]  # fmt: skip
    if columns:
        connection.execute(insert(results), columns)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Ninety days of a thousand columns; how far each lay from its bound, days by columns."""
    folder = tmp_path_factory.mktemp("wide")
    engine, time = make_engine(folder / "driftline.db"), START + DAYS * DAY
    ratios = np.random.default_rng(3).lognormal(-1.5, 0.4, (DAYS, len(NAMES))).round(3)
    definition = MonitorDefinition("wide", endpoint="shop", baseline="shop", start=START)
    with engine.begin() as connection:
        put_definition(connection, definition, START)
        for day, found in enumerate(ratios):
            judged(connection, definition, START + day * DAY, found)
    keep_up(engine, "wide", time)
    with serving(Seeded(engine, str(folder), time, "wide")) as url:
        yield url, ratios
    engine.dispose()


@pytest.mark.full
def test_the_five_worst_of_a_thousand_columns_over_ninety_days(visits, wide):
    url, ratios = wide
    worst = [NAMES[at] for at in np.argsort(-ratios.max(axis=0))[:5]]
    with journey(visits(url), "/", clicks=3) as page:
        page.get_by_role("link", name="shop", exact=True).click()
        page.get_by_role("link", name="Drift", exact=True).click()
        page.get_by_text("Show as a table").click()
        expect(page.get_by_role("main")).to_contain_text("1–50 of 1,000")
        names = page.get_by_role("region", name="Drift ÷ bound by column").get_by_role("link")
        assert names.filter(has_text="feature").all_inner_texts()[:5] == worst


def test_an_empty_installation_says_what_to_do(visits, empty):
    said = {
        "Alerts": "driftline apply -f alarms.yaml",
        "Jobs": "No window has been judged yet. Schedules shows when the next one is.",
        "Fleet": "driftline deploy MODEL --reference DATA --label COL",
    }
    with journey(visits(empty), "/", clicks=len(said)) as page:
        pages = page.get_by_role("navigation", name="Pages")
        for link, words in said.items():
            pages.get_by_role("link", name=link, exact=True).click()
            expect(page.get_by_role("main")).to_contain_text(words)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    engine = make_engine(folder / "driftline.db")
    with serving(Seeded(engine, str(folder), START)) as url:
        yield url
    engine.dispose()
