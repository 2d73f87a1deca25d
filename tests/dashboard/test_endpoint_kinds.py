"""The tabs of an endpoint's page about one kind of monitor, and who changed what."""

import csv
import io
import json
import math
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import numpy as np
import plotly.utils
import pytest
from playwright.sync_api import expect
from sqlalchemy import delete

from driftline.access.audit import record
from driftline.access.principal import CURRENT, Principal
from driftline.access.tables import audit
from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.metric import history_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.endpoint import page as draw
from driftline.dashboard.queries.fleet import TAB_KINDS
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.run.report_document import read_report
from tests.dashboard.measured_seed import HOSTILE
from tests.dashboard.policed_seed import texts

QUALITY, FAIRNESS = "/endpoints/flights/quality", "/endpoints/flights/fairness"
ATTRIBUTION, CHANGES = "/endpoints/flights/attribution", "/endpoints/flights/changes"


@pytest.fixture(scope="module")
def stores(measured):
    return Stores(measured.engine, measured.root, measured.now)


def drawn(stores, path: str) -> str:
    asked, _, query = path.partition("?")
    return json.dumps(render(stores, parse(asked, query)), cls=plotly.utils.PlotlyJSONEncoder)


def test_four_metrics_stand_first_and_estimates_behind_what_labels_say(stores):
    view = stores.endpoint(parse(QUALITY))

    text = str(draw(view).children[3:])  # Below the list of windows.

    shown = [text.index(f"children='{name}'") for name in ("Brier skill", "AUC", "precision")]
    assert shown == sorted(shown)  # The violation before all others.
    assert "◇" not in text.split("Brier skill over all windows")[0].split("All ")[0]
    assert "▲ violation (page)" in text
    assert view.measured.estimates[0].metric.name == "auc"
    assert view.measured.estimates[1].metric.name == "estimated_auc"
    assert "AUC: 14 windows have both, none with intervals apart" in text


def test_the_matrix_is_the_model_s_own_or_that_of_the_threshold_in_the_address(stores):
    own, at = drawn(stores, QUALITY), drawn(stores, f"{QUALITY}?thr=0.5")

    # The model calls 380 rows positive; 0.79 comes nearest.
    assert "Recall 15.4% at a false positive rate of 5.0% (threshold 0.79)" in own
    assert "(threshold 0.50)" in at
    assert "which is the nearest to the model's own" in own
    assert "the model's own" not in at


@pytest.mark.parametrize("thr", ["2", "-1", "nan", "x", "", "0.5.5", "1e999"])
def test_a_threshold_that_is_none_is_as_if_it_were_not_there(stores, thr):
    assert "(threshold 0.79)" in drawn(stores, f"{QUALITY}?thr={thr}")


def test_a_document_without_counts_still_shows_its_matrix(stores):
    view = stores.endpoint(parse(QUALITY))
    details = replace(view.measured.report.details, counts_at_thresholds=None, calibration=())
    report = replace(view.measured.report, details=details)
    text = str(draw(replace(view, measured=replace(view.measured, report=report))))

    assert "Confusion matrix" in text
    assert "ROC curve" not in text


@pytest.mark.parametrize(
    "counts", [{"window": [[1]]}, {"window": [[0, 0], [0, 0]]}, {"window": 5}, 7]
)
def test_counts_that_cannot_be_drawn_are_as_if_they_were_not_there(counts):
    report = read_report({"kind": "model-quality", "details": {"counts_at_thresholds": counts}})

    assert report.counts_of("window") is None


def test_the_reference_s_own_bias_is_told_from_change(stores):
    text = drawn(stores, FAIRNESS)

    assert "no difference shown" in text
    assert "+0.09, intervals apart" in text
    assert "can't tell from chance" in text
    assert "Groups of origin" in text


def test_ranks_then_and_now_name_who_moved_most(stores):
    text = drawn(stores, ATTRIBUTION)

    assert "2 of 9 features moved by 3 ranks or more; carrier lost most, from rank 2 to 9" in text
    assert "; minute gained most, from rank 9 to 2" in text
    assert "NDCG over all windows" in text  # The label of the only output tells nothing.


def test_an_older_window_is_a_link_and_stays_while_a_metric_is_chosen(stores):
    view = stores.endpoint(parse(QUALITY, "window=20130701T000000Z&metric=auc"))

    assert view.measured.run.stamp == "20130701T000000Z"
    assert view.measured.chosen.name == "auc"
    assert "/quality?metric=brier_skill&window=20130701T000000Z" in str(draw(view)) or (
        "/quality?window=20130701T000000Z&metric=brier_skill" in str(draw(view))
    )


@pytest.mark.parametrize("tab", ["quality", "fairness", "attribution"])
def test_without_such_a_monitor_the_tab_says_how_to_get_one(stores, tab):
    view = stores.endpoint(parse("/endpoints/flights"))

    text = texts(draw(replace(view, tab=tab)))

    assert "watches this endpoint yet" in text
    assert "driftline apply -f FILE" in text
    assert f"kind: Monitor\nname: flights-{TAB_KINDS[tab]}\n" in text
    assert f"  endpoint: flights\n  baseline: flights\n  kind: {TAB_KINDS[tab]}\n" in text


@pytest.mark.parametrize("tab", [QUALITY, FAIRNESS, ATTRIBUTION])
def test_a_window_without_document_leaves_a_page(stores, tab):
    view = stores.endpoint(parse(tab))
    text = str(draw(replace(view, measured=replace(view.measured, report=None))))

    assert "retention deleted it" in text
    assert "over all windows" in text


def test_a_file_of_numbers_is_no_formula_and_has_all_rows():
    columns = {"Name": [f"=1+{at}" for at in range(100)], "Value": [at / 3 for at in range(100)]}
    columns["Value"][2] = math.nan
    part = ui.numbers("n", columns)
    button = part.children[1]
    rows = list(csv.reader(io.StringIO(getattr(button, "data-csv"))))

    assert rows[0] == ["Name", "Value"]
    assert len(rows) == 101
    assert rows[2] == ["'=1+1", str(1 / 3)]
    assert rows[3] == ["'=1+2", ""], "not known is empty"


@contextmanager
def asking(**who):
    mark = CURRENT.set(Principal("ana", via="session", **who))
    yield
    CURRENT.reset(mark)


@pytest.fixture
def noted(measured):
    now = measured.now() - timedelta(days=1)
    with measured.engine.begin() as connection:
        record(connection, "update", "Monitor/flights-bias", now, before={"owner": "a"},
               after={"owner": "b"})  # fmt: skip
        record(connection, "promote", "Baseline/flights", now, after={"version": "7"})
        record(connection, "update", "Monitor/prices", now, after={"owner": "hidden"})
    yield
    with measured.engine.begin() as connection:
        connection.execute(delete(audit))


def test_changes_are_those_of_the_endpoint_and_what_watches_it(stores, noted):
    with asking(roles=frozenset({"admin"})):
        text = drawn(stores, CHANGES)

    assert "Monitor/flights-bias" in text
    assert 'owner: \\"a\\" -> \\"b\\"' in text
    assert "Baseline/flights" in text
    assert "prices" not in text


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"roles": frozenset({"viewer"})}, "This takes the role admin"),
        ({"roles": frozenset({"admin"}), "endpoints": frozenset({"flights"})}, "for some"),
    ],
)
def test_changes_are_for_whom_the_audit_log_is(stores, noted, who, why):
    with asking(**who):
        text = drawn(stores, CHANGES)

    assert why in text
    assert "flights-bias" not in text


@pytest.mark.browser
def test_the_threshold_follows_the_hand_and_goes_into_the_address(visit_measured):
    seen = visit_measured()
    page = seen.open("/endpoints/flights")
    page.get_by_role("link", name="Quality", exact=True).click()
    slider = page.get_by_role("slider", name="Threshold")
    expect(slider).to_have_value("0.79")

    slider.focus()
    page.keyboard.press("Home")

    # Below every probability all rows are called positive.
    page.wait_for_url("**/endpoints/flights/quality?thr=0.00")
    matrix = page.get_by_role("table", name="Confusion matrix")
    expect(matrix).to_contain_text("4,300")
    expect(page.get_by_text("(threshold 0.00)").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("slider", name="Threshold")).to_have_value("0")
    seen.check()


@pytest.mark.browser
def test_numbers_of_a_figure_come_as_a_file(visit_measured):
    seen = visit_measured()
    page = seen.open(ATTRIBUTION)
    panel = page.locator("section", has=page.get_by_role("heading", name="Rank then and now"))
    panel.get_by_text("Show as a table").click()

    with page.expect_download() as file:
        panel.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(io.StringIO(file.value.path().read_text())))

    assert [row[:3] for row in rows[:2]] == [
        ["Feature", "Rank before", "Rank now"],
        ["hour", "1", "1"],
    ]
    assert HOSTILE in {row[0] for row in rows}
    seen.check()


def test_long_histories_draw_lines_in_place_of_marks(stores):
    view = stores.endpoint(parse(QUALITY)).measured
    runs = tuple(
        replace(
            run, start=run.start + at * timedelta(days=200), end=run.end + at * timedelta(days=200)
        )
        for at in range(10)
        for run in view.monitor.runs
    )
    wide = {
        name: np.tile(getattr(view.history, name), 10)
        for name in ("value", "low", "high", "bound", "violated")
    }
    labels = replace(view.labels, rows=np.tile(view.labels.rows, 10),
                     labelled=np.tile(view.labels.labelled, 10))  # fmt: skip
    history = replace(view.history, **wide)
    figure = history_figure(runs, None, [history], [""] * len(runs), labels)
    marks = sum(len(one["x"]) for one in figure["data"] if one.get("mode") == "markers")

    assert marks == 10 * int(view.history.violated.sum() + view.history.apart.sum())
    assert not [one for one in figure["data"] if one["type"] == "bar"]


@pytest.mark.parametrize("tab", ["drift", "quality", "fairness"])
def test_a_tab_of_a_monitor_that_is_gone_says_so_and_prints_no_resource(stores, tab):
    page = drawn(stores, f"/endpoints/flights/{tab}?monitor=gone")

    assert "Not found" in page
    assert 'This tab has no monitor \\"gone\\"; it has ' in page
    assert "driftline apply" not in page


def test_a_tabs_window_that_is_not_there_leads_to_those_of_the_endpoint(stores):
    page = drawn(stores, "/endpoints/flights/quality?window=20010101T000000Z")

    assert "Windows of flights" in page
    assert '"href": "/monitors/"' not in page
