"""The rows behind a violation on pages and in files, of every kind, with all that is known."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlalchemy import create_engine

from driftline.app.demo import flights
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.dashboard.pages import measured as measured_page
from driftline.dashboard.queries.storage import Storage
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.signature import Column
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.seed import END_OF_YEAR

DAY = datetime(2013, 11, 18, tzinfo=UTC)
BUG = "20131118T000000Z"


@pytest.fixture(scope="module")
def stores(seeded, tmp_path_factory):
    """The installation with a monitor of outliers besides, and what its endpoint answers."""
    file = tmp_path_factory.mktemp("culprits") / "copy.db"
    with sqlite3.connect(seeded.engine.url.database) as old, sqlite3.connect(file) as new:
        old.backup(new)
    old.close()
    new.close()
    engine = create_engine(f"sqlite:///{file}")
    rows = flights.reference(flights.load(END_OF_YEAR), END_OF_YEAR)
    place = rows.schema.get_field_index("distance")
    near = rows.set_column(place, "distance", pc.divide(rows["distance"].cast("int64"), 100))
    near = near.rename_columns([HOSTILE if one == "temp" else one for one in near.column_names])
    baseline = Baseline.fit(near, label=flights.LABEL, timestamp=flights.EVENT_TIME)
    versions.put(seeded.root, "near", baseline, seeded.now)
    signature = versions.get(seeded.root, "flights", None).signature
    answer = Column("prediction", "prediction", "int64", "prediction")
    odd = MonitorDefinition("odd", endpoint="flights", baseline="near", kind="outliers",
                            schedule="cron(0 0 ? * * *)")  # fmt: skip
    with engine.begin() as connection:
        odd = put_definition(connection, odd, DAY)
    window = Window(DAY, DAY + timedelta(days=1))
    run(Job(engine, seeded.root, odd, window, now=seeded.now, signature=signature))
    answering = replace(signature, outputs=(answer,))
    yield Stores(engine, seeded.root, seeded.now, lambda _: answering)
    engine.dispose()


def test_without_a_version_it_is_the_newest_baseline_however_new(stores, seeded, tmp_path):
    storage, root = Storage(str(tmp_path)), str(tmp_path)
    for several in (50, 80):
        made = Baseline.fit(pa.table({"temp": [float(one) for one in range(several)]}))
        versions.put(root, "new", made, seeded.now)

        assert storage.baseline("new", "").profile.row_count == several
        assert storage.outline("new", "").version == versions.newest(root, "new")


@pytest.mark.parametrize("answered", ["both", "prediction alone"])
def test_a_monitors_columns_are_all_of_its_baseline(tmp_path, seeded, answered):
    """Its prediction was stored as another type before; the model stopped giving probabilities."""
    rows = {"temp": [1.0, 2.0], "late": [0, 1], "said": [0, 1], "chance": [0.2, 0.7]}
    made = Baseline.fit(
        pa.table({name: values * 50 for name, values in rows.items()}),
        label="late", prediction="said", probability="chance",
    )  # fmt: skip
    versions.put(str(tmp_path), "new", made, seeded.now)
    outputs = (
        Column("prediction", "prediction_v2", "string", "prediction", former=("prediction",)),
        Column("probability", "probability", "double", "probability"),
    )[: 2 if answered == "both" else 1]
    endpoint = replace(made.signature, outputs=outputs)
    storage = Storage(str(tmp_path), lambda _: endpoint)
    line = SimpleNamespace(
        endpoint="new", baseline_version="", definition=SimpleNamespace(baseline="new")
    )

    found = storage.signature_of(line)

    assert {*rows} == {one.name for one in found.columns}
    column = "prediction_v2" if answered == "both" else "prediction"
    assert found.get("said").column == column


def test_the_page_of_a_monitor_of_outliers_shows_the_worst_rows_with_their_scores(stores):
    view = stores.measured("odd", BUG, None)

    scores = [float(one) for one in view.rows.offending]
    page = str(measured_page.page(view))
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 4
    assert "outlier_score" in page
    assert "/rows.csv?monitor=odd&window=20131118T000000Z&feature=outlier_share" in page


def test_the_file_has_what_was_answered_and_the_label(stores, seeded):
    line, judged = stores.judged(seeded.monitor, BUG)
    found = stores.monitor(seeded.monitor, BUG, HOSTILE).found.pointing(HOSTILE)

    batch = next(stores.storage.all_rows(line, judged, found))

    names = batch.schema.names
    inputs = [one.name for one in stores.storage.baseline_of(line).signature.inputs]
    assert set(inputs) <= set(names)
    assert names[-2:] == ["prediction", "late"]
