"""What a worker may use of memory, where its Model says so: the request that needs more is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.conftest import resource
from tests.serving.hosting.formats.archives import pack

TAKE = r"""
import numpy as np

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    np.ones(int(body) << 17)
    return "taken", "text/plain"
"""
LARGE = TAKE.replace("return model_dir", "return np.ones(1500 << 17)")
TOO_SMALL = "the model needs more memory than 1024 MB, what its workers may use; raise memory_size"


@pytest.fixture
def server(start, tmp_path):
    with start(tmp_path, trust_pickle=True) as found:
        yield found


def takes(archive, **spec):
    return [
        resource("Model", "work", path=str(archive), memory_size_in_mb=1024, **spec),
        resource("Endpoint", "work", model="work"),
    ]


def test_only_requests_that_need_too_much_are_refused(server, tmp_path):
    large = 4
    server.apply(*takes(pack(tmp_path / "work.tar.gz", {"code/inference.py": TAKE})))

    with ThreadPoolExecutor(12) as threads:
        sizes = ["1", "2", *["1500"] * large, "3", "4", "5", "6", "7"]
        answers = list(threads.map(lambda size: server.invoke("work", size), sizes))

    refused = [answers.pop(2) for _ in range(large)]
    assert [answer.text for answer in answers] == ["taken"] * len(answers)
    assert {answer.status_code for answer in refused} == {424}
    assert all(server.error_of(one)["message"].startswith(TOO_SMALL) for one in refused)
    assert server.invoke("work", "8").status_code == 200


def test_a_model_that_needs_more_is_refused_when_it_is_applied(server, tmp_path):
    large = pack(tmp_path / "large.tar.gz", {"code/inference.py": LARGE})

    refused = server.apply(*takes(large))

    assert refused.status_code == 400
    assert TOO_SMALL in server.error_of(refused)["message"]
