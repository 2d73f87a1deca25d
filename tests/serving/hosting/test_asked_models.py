import os
import signal
from contextlib import suppress
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from driftline.baseline import versions as baselines
from driftline.baseline.schema import infer_signature
from driftline.errors import InputError, UnavailableError
from driftline.formats.shapes.requests import RequestRows
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.attributions import Attributions
from driftline.monitors.kinds.attribution.sampling import as_known
from driftline.orphans import children
from driftline.serving.bodies.rows import read_columns
from driftline.serving.hosting.asked_models import EndpointModels, open_model
from driftline.serving.hosting.predictor import Predictor
from driftline.serving.hosting.worker_process import fork_server
from tests.serving.hosting.formats.archives import save


@pytest.fixture(scope="module")
def flights(trained):
    """Return the model of the flights in a process."""
    with open_model(trained.file, trust_pickle=False) as process:
        yield process


def workers():
    """Return the processes of models that this process asks."""
    return children(fork_server().pid)


def test_a_model_in_its_own_process_answers_as_it_does_here(flights, trained):
    rows = pa.Table.from_pandas(trained.inputs, preserve_index=False)

    found = flights(rows)

    expected = trained.model.predict_proba(trained.inputs)[:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert flights.features == ("carrier", "origin", "distance", "temp")
    assert (flights.method, flights.units, flights.labels) == ("permutation", "probability", ())


def test_a_process_that_is_killed_is_an_error_and_the_next_question_starts_another(
    flights, trained
):
    rows = pa.Table.from_pandas(trained.inputs[:5], preserve_index=False)
    flights(rows)
    (first,) = workers()

    os.kill(first, signal.SIGKILL)
    with suppress(UnavailableError):  # It may have seen its end before.
        flights(rows)

    assert flights(rows).shape == (5,)
    assert first not in workers()


def test_rows_that_the_model_refuses_and_files_it_cannot_read_are_errors(
    flights, trained, tmp_path
):
    with pytest.raises(InputError):
        flights(pa.table({"carrier": ["UA"]}))
    assert flights(pa.Table.from_pandas(trained.inputs[:1], preserve_index=False)).shape == (1,)
    joblib.dump(trained.model, tmp_path / "m.joblib")
    with open_model(tmp_path / "m.joblib", trust_pickle=False) as process:
        for _ in range(2):
            with pytest.raises(InputError):
                process.method  # noqa: B018
    with pytest.raises(InputError), open_model("none.skops", trust_pickle=False):
        pass
    with pytest.raises(UnavailableError):  # It is closed.
        process.method  # noqa: B018


def test_a_file_of_boosted_trees_is_explained_as_the_model_that_was_saved(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(3).normal(size=(400, 3)), columns=list("xyz"))
    late = (2 * frame["x"] + frame["x"] * frame["y"] > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=9, n_jobs=1, verbose=-1).fit(frame, late)
    rows = pa.Table.from_pandas(frame, preserve_index=False)

    with open_model(save(model, tmp_path), trust_pickle=False) as process:
        assert process.method == "tree_path_dependent"
        found = process.contributions(rows, rows.slice(0, 10))

    total = found.values[:, 0].sum(axis=1) + found.expected[0]
    np.testing.assert_allclose(total, model.predict(frame, raw_score=True), atol=1e-4)


def test_a_model_gets_missing_truth_values_as_pandas_reads_them(tmp_path):
    random, file = np.random.default_rng(0), tmp_path / "rows.csv"
    known = pd.Series(random.choice([True, False, None], 200), dtype=object)
    frame = pd.DataFrame({"ok": known, "x": random.normal(size=200)})
    frame.to_csv(file, index=False)
    rows = pd.read_csv(file)
    late = rows["ok"].isna() ^ (rows["x"] > 1)
    encode = make_column_transformer((OneHotEncoder(), ["ok"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(rows, late)
    joblib.dump(model, tmp_path / "m.joblib")
    expected = model.predict_proba(rows)[:, 1]
    source = open_source(file)
    signature = infer_signature(source.schema)
    notes = {one.name: (one.unit, one.missing) for one in signature.inputs}

    body = frame.to_csv(index=False, header=False).encode()
    columns = read_columns(body, "csv", RequestRows(signature, is_strict=True))
    found = Predictor(model).predict(columns).probabilities
    with open_model(str(tmp_path / "m.joblib"), trust_pickle=True) as asked:
        monitored = asked(as_known(pa.Table.from_batches(source.batches()), notes))

    np.testing.assert_allclose(np.ravel(found), expected)
    np.testing.assert_allclose(monitored, expected)


def test_a_baseline_that_names_a_model_is_explained_at_apply_and_asked_again(
    start, declare, trained, tmp_path
):
    baseline = {"data": str(trained.reference), "label": "late", "model": "late"}
    watch = {"endpoint": "flights", "baseline": "flights", "schedule": "external"}
    resources = [
        declare("Model", "late", path=str(trained.file)),
        declare("Baseline", "flights", **baseline),
        declare("Endpoint", "flights", model="late", baseline="flights"),
        {"kind": "Monitor", "name": "why", "spec": {"kind": "attribution", **watch}},
    ]
    with start(tmp_path) as server:
        done = server.apply(*resources)
        again = server.apply(*resources)

        assert done.status_code == 200, done.text
        assert {one["action"] for one in again.json()["changes"]} == {"unchanged"}
        assert server.client.delete("/api/v1/models/late").status_code == 409
        assert server.invoke("flights", trained.csv(slice(0, 300))).status_code == 200
        serving = server.worker_ids()
        server.sink_all()
        window = {"from": "2026-01-15T06:00:00Z", "to": "2026-01-15T07:00:00Z"}
        ran = server.client.post("/api/v1/monitors/why/run", json=window)
        assert ran.status_code == 200, ran.text
        (explaining,) = {*server.worker_ids()} - {*serving}

        stored = baselines.get(str(server.root), "flights")
        with EndpointModels(server.engine, str(server.root), trust_pickle=False) as models:
            predict = models.open("flights")
            explained = Attributions.from_arrow(stored.attributions)
            assert (predict.model, predict.positive) == (explained.model, "1")
            assert models.open("nothing") is None
    # What explained ends with its server.
    assert not Path(f"/proc/{explaining}").exists()
