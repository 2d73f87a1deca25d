"""What a worker answers over its socket, and which models it keeps within its memory."""

import json
import pickle
import shutil
import socket
import struct
from itertools import pairwise

import joblib
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin

from driftline.serving.hosting import worker
from driftline.serving.hosting.frames import FrameError, FrameReader, pack
from driftline.serving.hosting.multi_model.models import Models
from driftline.serving.resources.worker_spec import WorkerSpec

REQUEST = {"form": "csv", "answer": "json", "exclusive": False}


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
    frames = [({"id": at, **REQUEST}, body) for at, body in enumerate(asked)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.answer_frames(theirs, loaded, frames, worker.Memory(None))
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(60)
        return {
            head["id"]: (head, bytes(body)) for head, body in FrameReader().feed(ours.recv(1 << 16))
        }


@given(st.lists(st.binary(max_size=40), max_size=4), st.lists(st.integers(0, 200), max_size=6))
def test_frames_are_the_same_however_they_arrive(bodies, cuts):
    stream = b"".join(pack({"id": at}, body) for at, body in enumerate(bodies))
    ends = sorted(min(cut, len(stream)) for cut in cuts)
    reader = FrameReader()

    pieces = [stream[start:end] for start, end in pairwise([0, *ends, len(stream)])]
    found = [frame for piece in pieces for frame in reader.feed(piece)]

    assert found == [({"id": at}, body) for at, body in enumerate(bodies)]


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


class TooMuch:
    def __reduce__(self):
        return bytearray, (1 << 62,)


@pytest.mark.parametrize("limit", [None, 1 << 30])
def test_a_load_beyond_the_memory_limit_ends_the_worker(tmp_path, limit):
    file = tmp_path / "large.joblib"
    file.write_bytes(pickle.dumps(TooMuch()))
    memory, (here, there) = worker.Memory(limit), socket.socketpair()
    spec = WorkerSpec(str(tmp_path), trust_pickle=True, many_memory_mb=64)
    header = {"id": 7, "target": file.name, "file": [str(file), 100]}

    with here, there:
        Models(there, spec, memory).answer([(header, b"")])
        *_, (refused, _) = FrameReader().feed(here.recv(1 << 16))

    assert (refused["id"], refused["status"]) == (7, 424)
    assert refused["code"] == ("not_loadable" if limit is None else "model_error")
    assert memory.is_spent is (limit is not None)


def test_a_model_that_never_fits_is_refused_and_nothing_is_unloaded(trained, tmp_path):
    here, there = socket.socketpair()
    spec = WorkerSpec("", many_memory_mb=1)
    row = trained.csv(slice(0, 1)).encode()
    files = ((trained.file, 1 << 10), (shutil.copy(trained.file, tmp_path / "m.skops"), 1 << 20))

    def frame(at):
        file, size = files[at]
        return {"id": at, "target": f"{at}.skops", "file": [str(file), size], **REQUEST}, row

    with here, there:
        models = Models(there, spec, worker.Memory(None))
        for sent in ([frame(0), frame(1)], [frame(0)]):
            models.answer(sent)
        there.shutdown(socket.SHUT_WR)
        answers = FrameReader().feed(here.recv(1 << 16))

    (first, _), (large, _), (again, _) = answers
    assert (first["status"], first["note"]["count"]) == (200, 1)
    assert (large["status"], large["code"], large["note"]["count"]) == (424, "model_error", 1)
    assert "memory_limit_mb" in large["message"]
    assert again["status"] == 200
    assert "note" not in again  # It was still there.


headers = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)


@given(st.lists(st.tuples(headers, st.binary(max_size=50)), max_size=5), st.integers(1, 40))
@example([({"path": "/m\udcff", "count": -(1 << 70)}, b"")], 40)
def test_frames_come_out_as_they_went_in_whatever_the_pieces(sent, size):
    stream = b"".join(pack(header, body) for header, body in sent)
    reader = FrameReader()

    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == sent


@pytest.mark.parametrize("data", [struct.pack("!II", 1 << 30, 1 << 30), b"\0\0\0\1\0\0\0\0x"])
def test_what_is_no_frame_is_an_error(data):
    with pytest.raises(FrameError):
        FrameReader().feed(data)
