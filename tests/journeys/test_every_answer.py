"""Thirty models answer twenty-two forms of body in every form of answer, as they answer Python."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import calibration, dummy, ensemble, linear_model, neighbors, neural_network, svm, tree
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.kit.waiting import wait

pytestmark = [pytest.mark.slow, pytest.mark.full]

COLUMNS = ["a", "b", "c"]
PAST = pd.DataFrame(np.random.default_rng(1).normal(size=(600, 3)).round(3), columns=COLUMNS)
ROWS = pd.DataFrame(np.random.default_rng(2).normal(size=(7, 3)).round(3), columns=COLUMNS)
SUM = PAST.sum(axis=1)
LABELS = {
    "two": (SUM > 0).astype(int),
    "texts": SUM.map(lambda value: "high" if value > 1 else "low" if value < -1 else "middle"),
    "flags": SUM > 0.5,
    "number": SUM + 0.1 * PAST["a"] ** 2,
}
LOGISTIC = linear_model.LogisticRegression()
FOREST = ensemble.RandomForestClassifier(n_estimators=7, random_state=1)
MODELS: dict[str, tuple[Any, str]] = {
    "logistic": (LOGISTIC, "two"),
    "logistic-texts": (LOGISTIC, "texts"),
    "logistic-flags": (LOGISTIC, "flags"),
    "scaled": (make_pipeline(StandardScaler(), LOGISTIC), "texts"),
    "polynomial": (make_pipeline(MinMaxScaler(), PolynomialFeatures(2), LOGISTIC), "two"),
    "ridge-classes": (linear_model.RidgeClassifier(), "texts"),
    "perceptron": (linear_model.Perceptron(), "two"),
    "descent": (linear_model.SGDClassifier(loss="log_loss", random_state=1), "flags"),
    "bayes": (GaussianNB(), "texts"),
    "discriminant": (LinearDiscriminantAnalysis(), "texts"),
    "tree": (tree.DecisionTreeClassifier(max_depth=4), "texts"),
    "forest": (FOREST, "two"),
    "forest-texts": (FOREST, "texts"),
    "extra-trees": (ensemble.ExtraTreesClassifier(n_estimators=7, random_state=1), "flags"),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=7), "two"),
    "histograms": (ensemble.HistGradientBoostingClassifier(max_iter=7), "texts"),
    "ada": (ensemble.AdaBoostClassifier(n_estimators=7), "two"),
    "bagging": (ensemble.BaggingClassifier(LOGISTIC, n_estimators=3), "two"),
    "voting": (ensemble.VotingClassifier([("l", LOGISTIC), ("f", FOREST)], voting="soft"), "two"),
    "calibrated": (calibration.CalibratedClassifierCV(LOGISTIC, cv=3), "two"),
    "vectors": (svm.SVC(), "texts"),
    "network": (
        neural_network.MLPClassifier((5,), solver="lbfgs", max_iter=5_000, random_state=1),
        "texts",
    ),
    "prior": (dummy.DummyClassifier(), "texts"),
    "neighbours": (neighbors.KNeighborsClassifier(algorithm="brute"), "texts"),
    "linear": (linear_model.LinearRegression(), "number"),
    "ridge": (make_pipeline(StandardScaler(), linear_model.Ridge()), "number"),
    "forest-number": (ensemble.RandomForestRegressor(n_estimators=7, random_state=1), "number"),
    "histograms-number": (ensemble.HistGradientBoostingRegressor(max_iter=7), "number"),
    "vectors-number": (svm.SVR(), "number"),
    "huber": (linear_model.HuberRegressor(), "number"),
}


def packed(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


LISTS, RECORDS = ROWS.to_numpy().tolist(), ROWS.to_dict("records")
BY_COLUMN, TEXT = ROWS.to_dict("list"), ROWS.to_csv(index=False, header=False)
TENSORS = [
    {"name": name, "shape": [len(ROWS)], "datatype": "FP64", "data": values}
    for name, values in BY_COLUMN.items()
]
VALUES = ROWS.to_numpy().ravel().tolist()
TENSOR = {"name": "x", "shape": [*ROWS.shape], "datatype": "FP64", "data": VALUES}
DOCUMENTS: dict[str, object] = {
    "lists": LISTS,
    "records": RECORDS,
    "columns": BY_COLUMN,
    "instances": {"instances": LISTS},
    "instances of records": {"instances": RECORDS},
    "instances of features": {"instances": [{"features": row} for row in LISTS]},
    "features": {"features": LISTS},
    "inputs by column": {"inputs": BY_COLUMN},
    "tensors": {"inputs": TENSORS},
    "one tensor": {"inputs": [TENSOR]},
    "split": {"dataframe_split": {"columns": COLUMNS, "data": LISTS}},
    "dataframe records": {"dataframe_records": RECORDS},
    "pandas": ROWS.to_dict("split"),
}  # fmt: skip
CSV, JSON, LINES, NPY = "text/csv", "application/json", "application/jsonlines", "application/x-npy"
BODIES: dict[str, tuple[str, bytes]] = {
    **{name: (JSON, json.dumps(one).encode()) for name, one in DOCUMENTS.items()},
    "text": (CSV, TEXT.encode()),
    "text with a header": (CSV, ROWS[["c", "a", "b"]].assign(d=1).to_csv(index=False).encode()),
    "text of Windows": (CSV, b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()),
    "quoted text": (CSV, ROWS.to_csv(index=False, header=False, quoting=csv.QUOTE_ALL).encode()),
    "lines of lists": (LINES, "\n".join(map(json.dumps, LISTS)).encode()),
    "lines of records": (LINES, "\n".join(map(json.dumps, RECORDS)).encode()),
    "array": (NPY, packed(ROWS.to_numpy())),
    "structured array": (NPY, packed(ROWS.to_records(index=False))),
    "zipped": (CSV, gzip.compress(TEXT.encode())),
}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {name: clone(one).fit(PAST, LABELS[of]) for name, (one, of) in MODELS.items()}


@pytest.fixture(scope="module")
def shop(install: Callable[..., Installation], fitted: dict[str, Any]) -> Iterator[Installation]:
    """An installation that serves all models, each with a baseline of its label."""
    found = install("", is_forked=True)
    for label, values in LABELS.items():
        PAST.assign(label=values).to_parquet(found.folder / f"{label}.parquet")
    for name, model in fitted.items():
        skops.io.dump(model, found.folder / f"{name}.skops")
    baselines = [
        resource("Baseline", label, data=str(found.folder / f"{label}.parquet"), label="label")
        for label in LABELS
    ]
    models = [resource("Model", name, path=str(found.folder / f"{name}.skops")) for name in MODELS]
    endpoints = [
        resource("Endpoint", name, model=name, baseline=of) for name, (_, of) in MODELS.items()
    ]
    found.apply(*baselines, *models, *endpoints)
    for name in MODELS:
        wait(lambda name=name: found.is_answering(name, TEXT))
    yield found


def expected(model: Any) -> tuple[list[Any], list[list[float]] | None]:
    """Return what the model predicts, and its probabilities: one of two classes, or all."""
    predictions = model.predict(ROWS).tolist()
    if not hasattr(model, "predict_proba"):
        return predictions, None
    chances = model.predict_proba(ROWS)
    return predictions, (chances[:, 1:] if chances.shape[1] == 2 else chances).tolist()


def read(answer: bytes, form: str) -> tuple[list[Any], list[list[float]] | None]:
    """Read an answer back: predictions and probabilities; of CSV the predictions are texts."""
    if form == NPY:
        array = np.load(io.BytesIO(answer))
        rows = (
            array.tolist()
            if array.ndim == 2 or array.dtype.names
            else [[v] for v in array.tolist()]
        )
        rows = [list(row) for row in rows]
    elif form == CSV:
        rows = list(csv.reader(answer.decode().splitlines()))
    else:
        text = answer.decode()
        entries = (
            json.loads(text)["predictions"] if form == JSON else map(json.loads, text.splitlines())
        )
        rows = []
        for one in entries:
            chances = one.get("probability", [])
            rows.append([one["prediction"], *(chances if isinstance(chances, list) else [chances])])
    chances = [list(map(float, row[1:])) for row in rows]
    return [row[0] for row in rows], chances if chances[0] else None


@pytest.mark.parametrize("name", MODELS)
def test_every_body_is_answered_as_the_model_answers(
    shop: Installation, fitted: dict[str, Any], name: str
) -> None:
    predictions, chances = expected(fitted[name])
    for what, (content_type, body) in BODIES.items():
        for accept in (CSV, JSON, LINES, NPY, "*/*"):
            packing = {"content-encoding": "gzip"} if what == "zipped" else {}
            answer = shop.invoke(name, body, content_type, {"accept": accept, **packing})
            assert answer.status_code == 200, (what, accept, answer.text)
            form = answer.headers["content-type"].partition(";")[0]
            usual = JSON if content_type == NPY else content_type
            assert form == (usual if accept == "*/*" else accept), (what, accept)
            found, found_chances = read(answer.content, form)
            if form == CSV and not isinstance(predictions[0], str):
                found = [json.loads(one) for one in found]
            if isinstance(predictions[0], float):
                assert found == pytest.approx(predictions, rel=1e-12), (what, accept)
            else:
                assert found == predictions, (what, accept)
            if chances is None:
                assert found_chances is None, (what, accept)
            else:
                assert np.array(found_chances) == pytest.approx(np.array(chances), rel=1e-9)
