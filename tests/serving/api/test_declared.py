"""A resource is read again only if it changed, and changed only if it is as the caller saw it."""

import pytest

SPEC = {
    "namespace": "Own/App", "metric_name": "Load", "period": 60, "evaluation_periods": 1,
    "threshold": 1, "comparison_operator": "GreaterThanThreshold",
}  # fmt: skip
PATH = "/api/v1/alarms/load"


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("declared")) as found:
        yield found


@pytest.fixture
def tag(server, declare):
    """Declare an alarm; return its ETag."""
    assert server.apply(declare("Alarm", "load", **SPEC)).status_code == 200
    yield server.client.get(PATH).headers["etag"]
    server.client.delete(PATH)


def put(server, declare, tag, **spec):
    body = {"resources": [declare("Alarm", "load", **SPEC | spec)]}
    return server.client.post("/api/v1/apply", json=body, headers={"if-match": tag})


def test_of_two_who_change_what_they_saw_the_second_is_refused(server, declare, tag):
    state = {"state_value": "OK", "state_reason": "fine"}  # Which hinders no change.
    server.client.put(f"{PATH}/state", json=state)
    first = put(server, declare, tag, threshold=2)
    second = put(server, declare, tag, threshold=3)

    assert (first.status_code, second.status_code) == (200, 412)
    assert server.error_of(second)["code"] == "changed"
    assert server.client.get(PATH).json()["spec"]["threshold"] == 2


def test_only_what_was_seen_is_deleted(server, declare, tag):
    put(server, declare, tag, threshold=2)

    late = server.client.delete(PATH, headers={"if-match": tag})
    now = server.client.get(PATH).headers["etag"]
    done = server.client.delete(PATH, headers={"if-match": now})
    again = put(server, declare, now)

    assert (late.status_code, done.status_code, again.status_code) == (412, 204, 412)


@pytest.mark.parametrize(("tag_", "count"), [("nonsense", 1), ('"1.1"', 2)])
def test_an_if_match_that_says_nothing_is_refused(server, declare, tag_, count):
    alarms = [declare("Alarm", f"a{number}", **SPEC) for number in range(count)]

    answer = server.client.post(
        "/api/v1/apply", json={"resources": alarms}, headers={"if-match": tag_}
    )

    assert answer.status_code == 400
