"""Which models a worker keeps within its memory."""

import pickle
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.serving.hosting.frames import FrameReader
from driftline.serving.hosting.multi_model.models import LoadedModels, Models
from driftline.serving.hosting.worker import Memory
from driftline.serving.resources.worker_spec import WorkerSpec

SIZE = 1 << 20


def load(loaded: LoadedModels, name: str, size: int = SIZE) -> int:
    """Load a model that counts as a size; return how many had to go."""
    times = loaded.make_room(size * 2 // 3)
    loaded.put(name, object(), size * 2 // 3)  # type: ignore[arg-type]
    return len(times)


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


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 4 * SIZE)), max_size=60))
def test_the_bound_holds_whatever_comes(calls: list[tuple[str, int]]) -> None:
    loaded = LoadedModels(4 * SIZE)

    for name, size in calls:
        if loaded.use(name) is None:
            load(loaded, name, size)
        assert loaded.used_bytes <= loaded.limit
        assert len(loaded) > 0
