"""What a caller gets when a model is too slow, too busy, or ends its process."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.conftest import resource


@pytest.fixture(scope="module")
def server(start, slow_model, tmp_path_factory):
    settings = {"trust_pickle": True, "timeout_s": 1.0, "max_open_requests": 4}
    with start(tmp_path_factory.mktemp("overload"), **settings) as found:
        answer = found.apply(
            resource("Model", "slow", path=str(slow_model)),
            resource("Endpoint", "slow", model="slow"),
        )
        assert answer.status_code == 200, answer.text
        yield found


def test_more_than_the_limit_at_once_is_told_to_come_again(server):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: server.invoke("slow", "0.3"), range(10)))

    codes = [answer.status_code for answer in answers]
    assert codes.count(200) >= 4
    assert set(codes) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert server.error_of(refused)["code"] == "throttled"


def test_a_model_that_ends_its_process_or_takes_too_long_comes_back(server, until):
    ended = server.invoke("slow", "-1")
    until(lambda: server.invoke("slow", "0").status_code == 200)
    late = server.invoke("slow", "30")
    until(lambda: server.invoke("slow", "0").status_code == 200)

    assert ended.status_code in (503, 504)
    assert ended.status_code == 504 or ended.headers["retry-after"] == "1"
    assert (late.status_code, server.error_of(late)["code"]) == (504, "timed_out")
