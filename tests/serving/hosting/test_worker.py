import json
import socket

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from driftline.serving.hosting import worker
from driftline.serving.hosting.frames import FrameReader
from driftline.serving.resources.worker_spec import WorkerSpec


class Answering(RegressorMixin, BaseEstimator):
    """Answers what it holds."""

    n_features_in_ = 1

    def __init__(self, held=()):
        self.held = held

    def fit(self):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, _):
        return self.held


def objects(*rows):
    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found


def ask(loaded, *asked):
    """Return the answers of a worker, by the number of the request."""
    request = {"form": "csv", "answer": "json", "exclusive": False}
    frames = [({"id": at, **request}, body) for at, body in enumerate(asked)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.answer_frames(theirs, loaded, frames, worker.Memory(None))
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(60)
        return {
            head["id"]: (head, bytes(body)) for head, body in FrameReader().feed(ours.recv(1 << 16))
        }


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([[3, 1], [2]], [[3, 1], [2]]),
        (objects(np.array([3, 1]), np.array([2])), [[3, 1], [2]]),
        (objects(np.array([3, 1]), None), None),
        (objects({1, 2}, {3}), None),
    ],
    ids=["rankings", "arrays", "an array and nothing", "what JSON has not"],
)
def test_a_model_may_answer_lists_and_no_answer_ends_the_worker(tmp_path, held, expected):
    joblib.dump(Answering(held), tmp_path / "m.joblib")
    loaded = worker.load(WorkerSpec(str(tmp_path / "m.joblib"), trust_pickle=True), None)

    header, body = ask(loaded, b"1\n2\n")[0]

    if expected is None:
        assert (header["status"], header["code"]) == (424, "model_error")
    else:
        assert [one["prediction"] for one in json.loads(body)["predictions"]] == expected


def test_a_body_over_which_a_reader_fails_is_refused_alone(slow_model, monkeypatch, caplog):
    read = worker.read_columns

    def failing(body, *given, **more):
        return read(body if body == b"0" else float("secret"), *given, **more)

    monkeypatch.setattr(worker, "read_columns", failing)
    loaded = worker.load(WorkerSpec(str(slow_model), trust_pickle=True), None)

    answers = ask(loaded, b"0", b"1", b"0")

    assert {at: header["status"] for at, (header, _) in answers.items()} == {0: 200, 1: 400, 2: 200}
    assert "error=ValueError" in caplog.text
    assert "to float: 'secret'" not in caplog.text
