"""What a caller gets when a model is too slow, too busy, or ends its process."""

from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(scope="module")
def server(start, declare, slow_model, tmp_path_factory):
    settings = {"trust_pickle": True, "timeout_s": 1.0, "max_open_requests": 4}
    with start(tmp_path_factory.mktemp("overload"), **settings) as found:
        answer = found.apply(
            declare("Model", "slow", path=str(slow_model)),
            declare("Endpoint", "slow", model="slow"),
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


def test_a_model_that_ends_its_process_is_unavailable_and_comes_back(server, until):
    answer = server.invoke("slow", "-1")

    assert answer.status_code in (503, 504)
    if answer.status_code == 503:
        assert answer.headers["retry-after"] == "1"
    server.error_of(answer)
    until(lambda: server.invoke("slow", "0").status_code == 200)


def test_a_model_that_takes_too_long_is_timed_out(server, until):
    until(lambda: server.invoke("slow", "0").status_code == 200)

    answer = server.invoke("slow", "30")

    assert answer.status_code == 504
    assert server.error_of(answer)["code"] == "timed_out"
    until(lambda: server.invoke("slow", "0").status_code == 200)
