"""Labels over HTTP: SageMaker's records, plain objects, CSV; all of a body or nothing."""

import json
import uuid
from functools import partial

import pytest

from driftline.capture.labels.labels import label_folder
from tests.together import together

SIGNATURE = {"features": [{"name": "temp", "column": "feature_temp", "type": "double"}]}


class Labelled:
    """A running server, and an endpoint on it that has no labels yet."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.route = f"/api/v1/endpoints/{name}/truth"
        self.error_of = server.error_of

    def post(self, body, media="text/csv", query=""):
        headers = {"content-type": media}
        return self.server.client.post(self.route + query, content=body, headers=headers)

    def table(self):
        data = label_folder(self.server.context.root, self.name).open()
        return None if data is None else data.to_table()

    def stored(self):
        """Return all labels as (key, row, label), sorted."""
        rows = [] if self.table() is None else self.table().to_pylist()
        return sorted((row["key"], row["row_index"], row["label"]) for row in rows)


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    # Labels touch the database only to look the endpoint up: one kind of it is enough.
    with start(tmp_path_factory.mktemp("truth"), max_request_bytes=300_000) as found:
        yield found


@pytest.fixture
def flights(server, declare):
    """Declare an endpoint of an app elsewhere: labels need no model here."""
    name = f"flights-{uuid.uuid4().hex[:8]}"
    answer = server.apply(declare("Endpoint", name, signature=SIGNATURE))
    assert answer.status_code == 200, answer.text
    return Labelled(server, name)


def sagemaker(key, data, encoding="CSV"):
    return json.dumps(
        {
            "groundTruthData": {"data": data, "encoding": encoding},
            "eventMetadata": {"eventId": key},
            "eventVersion": "0",
        }
    )


def test_every_form_is_stored_and_counted_the_same(flights):
    lines = "\n".join([sagemaker("a", "1"), sagemaker("b", '{"label": 0}', "JSON")])
    plain = [{"id": "a", "label": 1}, {"inference_id": "b", "label": 0, "row_index": 0}]
    table = "event_id,label\na,1\nb,0\n"
    expected = [("a", 0, "1"), ("b", 0, "0")]

    for media, body in [
        ("application/jsonlines", lines),
        ("application/json", json.dumps(plain)),
        ("text/csv; charset=utf-8", table),
    ]:
        answer = flights.post(body, media)

        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "received": 2, "stored": 2, "duplicates": 0, "empty": 0, "conflicts": 0,
        }  # fmt: skip
    assert flights.stored() == sorted(expected * 3)


@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        ("text/csv", "a,b\n1,2\n", 400),
        ("application/json", '[{"id": "a", "label": 1}, 5]', 400),
        ("application/xml", "<a/>", 415),
        pytest.param("text/csv", "id,label\n" + "abcdefgh,1\n" * 30_000, 413, id="too large"),
    ],
)
def test_a_wrong_body_is_refused_and_stores_nothing(flights, media, body, status):
    answer = flights.post(body, media)

    assert answer.status_code == status
    flights.error_of(answer)
    assert flights.stored() == []


def test_many_at_once_are_all_stored_at_the_servers_time(flights):
    def send(first):
        for number in range(first, first + 5):
            answer = flights.post(f"id,label\ne{number},1\n")
            assert answer.status_code == 200, answer.text

    together(*(partial(send, 5 * one) for one in range(4)))

    assert [key for key, _, _ in flights.stored()] == sorted(f"e{number}" for number in range(20))
    assert set(flights.table()["received_time"].to_pylist()) == {flights.server.context.now()}
