"""Over an endpoint's time axis stand deployments, definitions, baselines, silences and labels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from driftline.access.audit import record
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import put_silence
from driftline.dashboard.address import RANGE, TimeRange, parse
from driftline.dashboard.charts.timeline import health_figure
from driftline.dashboard.pages import endpoint
from driftline.dashboard.queries.stores import Stores

DEPLOYED = datetime(2013, 11, 10, 9, tzinfo=UTC)
PATH = "/endpoints/flights"


@pytest.fixture(scope="module")
def stores(seeded, tmp_path_factory):
    """The installation with what happened to it, in a copy of its database."""
    file = tmp_path_factory.mktemp("marks") / "driftline.db"
    with seeded.engine.connect() as connection:
        connection.exec_driver_sql(f"VACUUM INTO '{file}'")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for kind, name, day in (
            ("Endpoint", "flights", 0), ("Monitor", "flights-data-quality", 1),
            ("Baseline", "flights", 2), ("Endpoint", "taxis", 3),
        ):  # fmt: skip
            record(connection, "update", f"{kind}/{name}", DEPLOYED + timedelta(days=day))
        of = {"matchers": ["endpoint=flights"], "ends_at": DEPLOYED + timedelta(days=6)}
        silence = Silence(name="roll-out", starts_at=DEPLOYED + timedelta(days=4), **of)
        put_silence(connection, silence, DEPLOYED + timedelta(days=4))
    yield Stores(engine, seeded.root, seeded.now)
    engine.dispose()


def test_what_happened_stands_in_lanes_below_the_monitors(stores):
    view = stores.endpoint(parse(PATH))

    lanes = {one.lane: one for one in view.marks}
    figure = health_figure(view.line.monitors, view.marks)

    assert {*lanes} == {"deployments", "definitions", "baselines", "silences", "labels"}
    assert lanes["deployments"].start == DEPLOYED
    assert not any("taxis" in one.words for one in view.marks)
    assert lanes["silences"].end == DEPLOYED + timedelta(days=6)
    named = [*figure["layout"]["yaxis"]["ticktext"]]
    assert named[1:] == ["deployments", "definitions", "baselines", "silences", "labels"]
    page = str(endpoint.page(view))
    assert "deployments 1, definitions 1, baselines 1, silences 1, labels" in page
    assert "silence roll-out" in page


def test_marks_keep_to_the_span_that_is_shown(stores):
    mark = RANGE.set(TimeRange(DEPLOYED + timedelta(days=5), DEPLOYED + timedelta(days=7)))
    view = stores.endpoint(parse(PATH))
    RANGE.reset(mark)

    assert [one.lane for one in view.marks if one.lane != "labels"] == ["silences"]


def test_an_axis_does_not_reach_far_before_its_first_window(stores):
    view = stores.endpoint(parse(PATH))
    old = replace(view.marks[0], start=DEPLOYED - timedelta(days=900))

    figure = health_figure(view.line.monitors, [old])

    assert figure["layout"]["xaxis"]["range"][0] >= "2013-10"
    assert len(figure["layout"]["yaxis"]["ticktext"]) == 1
