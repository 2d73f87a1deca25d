"""Each request of the tour with one odd value in it is answered, and never by a defect."""

import copy
import json
from random import Random
from urllib.parse import quote

import pytest

from tests.serving.api.tour import populated, tour

pytestmark = pytest.mark.slow

# What programs and people get wrong: nothing, too much, the wrong kind, the end of the world.
ODD = (
    None, True, 0, -1, 1.5, 1e308, 2**31, 2**63, 10**400, "", " ", "x" * 300, "é☃", "\u0000",
    "a\\b/..", "NaN", "2026-13-45", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2026-01-15", [], {}, [[]], {"": None}, "cron(0 0 ? * * *)", "EVX", "quality", "orders",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with populated(tmp_path_factory.mktemp("odd")) as found:
        yield found


def spoil(value, random):
    """Put one odd value somewhere into a document, or into a text."""
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + str(random.choice(ODD)) + value[at + random.randrange(9) :]
    place = value = copy.deepcopy(value)
    while True:
        key = random.choice([*place] if isinstance(place, dict) else range(len(place)))
        if not (isinstance(place[key], dict | list) and place[key]) or random.random() < 0.2:
            place[key] = random.choice(ODD)
            return value
        place = place[key]


def test_an_odd_value_anywhere_is_refused_or_answered(server, pytestconfig):
    calls, count = tour(server), 100 if pytestconfig.getoption("full") else 6
    # What deletes comes last: the others would find nothing.
    for key, (sent, _) in sorted(calls.items(), key=lambda one: one[0].startswith("DELETE")):
        for number in range(count):
            random = Random(f"{key} {number}")
            path, query, body = sent.url.path, dict(sent.url.params), sent.content
            is_json = sent.headers.get("content-type", "").endswith("json")
            if body and (number % 3 or not query):
                text = json.loads(body) if is_json else body.decode()
                text = spoil(text, random)
                body = (json.dumps(text) if is_json else text).encode()
            elif query and number % 2:
                query[random.choice([*query])] = str(random.choice(ODD))
            else:
                step = random.choice(path.split("/")[3:] or ["x"])
                path = path.replace(step, quote(str(random.choice(ODD)), safe=""))
            headers = {
                name: sent.headers[name] for name in sent.headers if name != "content-length"
            }

            answer = server.client.request(
                sent.method, path, params=query, content=body, headers=headers
            )

            assert answer.status_code < 500, (key, path, query, body, answer.text)
            if not answer.is_success and not answer.is_redirect:
                server.error_of(answer)
    assert server.client.get("/readyz").status_code == 200
