"""Which models a worker keeps within its memory."""

import pickle
import socket
from pathlib import Path

import pytest

from driftline.serving.hosting.frames import FrameReader
from driftline.serving.hosting.multi_model.models import Models
from driftline.serving.hosting.worker import Memory
from driftline.serving.resources.worker_spec import WorkerSpec


class TooMuch:
    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (1 << 62,)


@pytest.mark.parametrize("limit", [None, 1 << 30])
def test_a_load_beyond_the_memory_limit_ends_the_worker(tmp_path: Path, limit: int | None) -> None:
    file = tmp_path / "large.joblib"
    file.write_bytes(pickle.dumps(TooMuch()))
    memory, (here, there) = Memory(limit), socket.socketpair()
    spec = WorkerSpec(str(tmp_path), trust_pickle=True, many_memory_mb=64)
    header = {"id": 7, "target": file.name, "file": [str(file), 100]}

    with here, there:
        Models(there, spec, memory).answer([(header, b"")])
        *_, (refused, _) = FrameReader().feed(here.recv(1 << 16))

    assert (refused["id"], refused["status"]) == (7, 424)
    assert refused["code"] == ("not_loadable" if limit is None else "model_error")
    assert memory.is_spent is (limit is not None)


def test_a_model_that_never_fits_is_refused_and_nothing_is_unloaded(store_models) -> None:
    here, there = socket.socketpair()
    spec = WorkerSpec("", many_memory_mb=1)
    request = {"form": "csv", "answer": "csv", "exclusive": False}
    files = [[str(store_models[0]), 1 << 10], [str(store_models[1]), 1 << 20]]

    def frame(at):
        return {"id": at, "target": f"{at}.skops", "file": files[at], **request}, b"1,2,3"

    with here, there:
        many = Models(there, spec, Memory(None))
        for sent in ([frame(0), frame(1)], [frame(0)]):
            many.answer(sent)
        there.shutdown(socket.SHUT_WR)
        answers = FrameReader().feed(here.recv(1 << 16))

    (first, _), (large, _), (again, _) = answers
    assert (first["status"], first["note"]["count"]) == (200, 1)
    assert (large["status"], large["code"], large["note"]["count"]) == (424, "model_error", 1)
    assert "memory_limit_mb" in large["message"]
    assert again["status"] == 200
    assert "note" not in again  # It was still there.
