"""One column over all windows, against the documents that the same windows wrote."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from driftline.baseline.statistics import Statistics
from driftline.dashboard.charts.metric import history_figure
from driftline.dashboard.pages import monitor as monitor_page
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from driftline.monitors.run.report_cache import Digest, ReportCache

BUG = "20131118T000000Z"


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def reports(seeded):
    """Read what each window's document says of its features, oldest first."""
    folder = Path(seeded.root) / "executions" / seeded.monitor
    for file in sorted(folder.glob("*/*/report.json")):
        report = json.loads(file.read_text())
        yield {one["feature"]: one for one in report["features"]}, report["violations"]


@pytest.mark.parametrize("column", ["carrier", "dewp", "hour"])
def test_series_are_those_of_the_documents(stores, seeded, column):
    distance, missing, *_ = stores.column(seeded.monitor, column, None).histories

    told = [features[column] for features, _ in reports(seeded)]

    def of(key):
        return np.array([np.nan if one[key] is None else one[key] for one in told], dtype=float)

    np.testing.assert_allclose(distance.value, of("distance"))
    np.testing.assert_allclose(distance.bound, of("bound"))
    np.testing.assert_allclose(distance.pooled, of("window_count"))
    np.testing.assert_allclose(missing.value, of("missing_count") / of("row_count"), atol=1e-12)


def test_violations_are_marked_where_the_documents_have_them(stores, seeded):
    distance = stores.column(seeded.monitor, "carrier", None).histories[0]

    broken = [
        any(one["feature_name"] == "carrier" for one in violations)
        for _, violations in reports(seeded)
    ]

    assert sum(broken) == 5
    assert distance.violated.tolist() == broken


def test_reference_is_summed_up_from_the_training_data(stores, seeded):
    found = stores.column(seeded.monitor, "dewp", BUG)
    baseline = stores.storage.baseline_of(found.monitor)
    mean = found.histories[-1].metric

    profile = baseline.profile.columns["dewp"]

    assert mean.reference == pytest.approx(profile.moments.mean)
    low, high = profile.sketch.quantiles(np.array([0.05, 0.95]))
    assert (mean.reference_low, mean.reference_high) == pytest.approx((low, high), abs=1)


def test_statistics_of_all_columns_are_not_read_for_one(stores, seeded, monkeypatch):
    monkeypatch.setattr(Statistics, "from_json", None)

    assert stores.column(seeded.monitor, "dewp", BUG).histories[-1].metric.reference_low


def test_page_shows_rows_and_comparison_of_its_column(stores, seeded):
    view = stores.column(seeded.monitor, "carrier", BUG)

    assert view.comparison.feature == view.rows.feature == "carrier"
    page = str(monitor_page.page(view))
    assert "In violation: unknown values" in page
    assert "This column over all windows" not in page


def test_page_says_in_how_many_windows_its_column_was_not_judged_and_why(stores, seeded):
    def read(folder):
        found = stores.storage.report(folder)
        features = [replace(one, bound=None, note="undecidable") for one in found.features]
        return replace(found, features=tuple(features)) if folder in unjudged else found

    runs = stores.monitor(seeded.monitor, None, None).monitor.runs
    unjudged = {run.folder for run in runs[:10]}
    judged = stores.column(seeded.monitor, "carrier", BUG)
    stores.reports = ReportCache(read, clock=lambda: 0.0)

    page = str(monitor_page.page(stores.column(seeded.monitor, "carrier", BUG)))

    words = "Not judged in 10 of 14 windows, without a bound: the reference varies too much."
    assert words in page
    assert "without a bound" not in str(monitor_page.page(judged))
    feature = replace(judged.feature, bound=None, note="undecidable", violations=())
    page = str(monitor_page.page(replace(judged, feature=feature)))
    assert "Not judged: the reference varies too much (Mon 18 Nov 2013)" in page


def test_unknown_column_is_not_found(stores, seeded):
    with pytest.raises(NotFoundError):
        stores.column(seeded.monitor, "no such column", None)


def test_before_the_first_window_the_page_says_what_to_do(stores, seeded):
    view = stores.column(seeded.monitor, "carrier", None)
    waiting = replace(view, run=None, monitor=replace(view.monitor, runs=()))

    assert f"driftline monitor run {seeded.monitor}" in str(monitor_page.page(waiting))


def test_figure_has_a_panel_for_each_thing_that_is_there(stores, seeded):
    text, numbers = (
        history_figure(view.monitor.runs, None, view.histories, [""] * len(view.monitor.runs))
        for view in (stores.column(seeded.monitor, name, None) for name in ("carrier", "dewp"))
    )

    assert "yaxis4" in numbers["layout"]
    assert "yaxis4" not in text["layout"]
    assert text["layout"]["yaxis"]["title"]["text"] == "distance"
    for figure in (text, numbers):
        go.Figure(figure)


def test_click_leads_to_the_same_column_in_another_window(stores, seeded):
    page = str(monitor_page.page(stores.column(seeded.monitor, "carrier", None)))

    assert f"/monitors/{seeded.monitor}/columns/carrier?window=20131122T000000Z" in page


def test_documents_of_the_past_are_read_once_newest_first(stores, seeded):
    runs = stores.monitor(seeded.monitor, None, None).monitor.runs
    read = []

    def count(folder):
        read.append(folder)
        return stores.storage.report(folder)

    past = ReportCache(count)
    places = [(run.execution, run.folder) for run in runs]
    first, second = past.digests(places), past.digests(places)

    assert read == [run.folder for run in reversed(runs)]
    assert first == second
    assert len(first) == len(runs)


def test_a_page_waits_no_longer_than_its_patience(stores, seeded):
    runs = stores.monitor(seeded.monitor, None, None).monitor.runs
    times = iter(range(1_000))
    past = ReportCache(stores.storage.report, clock=lambda: float(next(times)))

    places = [(run.execution, run.folder) for run in runs]
    # The clock moves one second with each look at it: two documents fit into two and a half.
    some = past.digests(places, patience_s=2.5)
    more = past.digests(places, patience_s=2.5)

    assert list(some) == [run.execution for run in runs[:-3:-1]]
    assert len(more) == 4


def test_unread_windows_are_said(stores, seeded):
    view = replace(stores.column(seeded.monitor, "carrier", None), unread=3)

    assert "The intervals and bounds of 3 windows are still being read." in str(
        monitor_page.page(view)
    )


def test_what_is_counted_before_all_documents_are_read_says_so(stores, seeded, monkeypatch):
    runs = stores.column(seeded.monitor, "dewp", None).monitor.runs
    some = {one.execution: Digest(unjudged={"dewp": "undecidable"}) for one in runs[-3:]}
    monkeypatch.setattr(stores.reports, "digests", lambda _: some)

    (note,) = stores.column(seeded.monitor, "dewp", None).notes

    count = f"3 of the 3 windows read so far, of {len(runs)}, without a bound"
    assert note == f"Not judged in {count}: the reference varies too much."


def test_a_failed_window_is_not_shown_as_one_without_violations(stores, seeded):
    view = stores.monitor(seeded.monitor, BUG, None)
    failed = replace(view, run=replace(view.run, state="failed", violation_count=0))

    assert "shown: Mon 18 Nov 2013, failed" in str(monitor_page.page(failed))


def test_the_filter_of_many_features_has_the_look_of_all_filters(stores, seeded, monkeypatch):
    monkeypatch.setattr("driftline.dashboard.pages.monitor.FEATURES_SHOWN", 3)

    page = monitor_page.page(stores.monitor(seeded.monitor, None, None))
    boxes = [one for one in page._traverse() if getattr(one, "className", "") == "filters"]

    assert any("Filter by name" in str(one) for one in boxes)
