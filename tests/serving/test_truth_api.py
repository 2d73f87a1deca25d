"""Labels over HTTP: SageMaker's records, plain objects, CSV; all of a body or nothing."""

import io
import json
import uuid
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.client.client import Client
from driftline.app.commands.truth import truth
from driftline.capture.labels.labels import label_folder
from driftline.errors import InputError, NotFoundError
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
    with start(tmp_path_factory.mktemp("truth"), max_request_bytes=3_000_000) as found:
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
            "endpoint": flights.name, "received": 2, "stored": 2, "duplicates": 0, "empty": 0,
            "conflicts": 0,
        }  # fmt: skip
    assert flights.stored() == sorted(expected * 3)


def test_the_time_of_receipt_is_the_servers_clock(flights):
    flights.post("id,label\na,1\n")

    rows = flights.table()

    assert rows["received_time"].to_pylist() == [flights.server.context.now()]
    assert rows["received_date"].to_pylist() == ["2026-01-15"]


def test_columns_may_have_other_names(flights):
    answer = flights.post("flight,delayed\nUA1,1\n", query="?id=flight&label=delayed")

    assert answer.status_code == 200, answer.text
    assert flights.stored() == [("UA1", 0, "1")]


@pytest.mark.parametrize(
    ("media", "body", "status", "message"),
    [
        (
            "text/csv",
            "a,b\n1,2\n",
            400,
            "body: columns a, b; expected id or inference_id or event_",
        ),
        ("text/csv", "id,label\na,1\nb,2,3\n", 400, "body: line 3 has 3 fields, expected 2"),
        ("text/csv", "id,label\na,1\n,2\n", 400, "body, row 2: no id; expected the request's id"),
        ("text/csv", "", 400, "nothing in it; expected labels"),
        ("application/json", "", 400, "nothing in it; expected labels"),
        ("application/json", '[{"id": "a", "label": 1}, 5]', 400, "record 2: expected an object"),
        ("application/jsonlines", '{"id": "a", "label": 1}\n{"id"', 400, "body: line 2 is no JSON"),
        ("application/jsonlines", '{"captureData": {}}', 400, "line 1: no id"),
        ("application/xml", "<a/>", 415, "expected text/csv, application/json or application/j"),
        ("text/csv; charset=latin-1", "id,label\na,1\n", 415, 'charset "latin-1"; expected utf-8'),
    ],
)
def test_a_wrong_body_is_4xx_with_one_sentence_and_stores_nothing(
    flights, media, body, status, message
):
    answer = flights.post(body, media)

    assert answer.status_code == status
    assert message in flights.error_of(answer)["message"]
    assert flights.stored() == []


def test_an_endpoint_that_is_not_there_is_404(server):
    nobody = Labelled(server, "nobody")

    answer = nobody.post("id,label\na,1\n")

    assert answer.status_code == 404
    assert '"nobody"' in server.error_of(answer)["message"]


def test_a_body_beyond_the_limit_is_413(flights):
    answer = flights.post("id,label\n" + "abcdefgh,1\n" * 300_000)

    assert answer.status_code == 413
    assert flights.stored() == []


def test_many_at_once_are_all_stored(flights):
    def send(first):
        for number in range(first, first + 5):
            answer = flights.post(f"id,label\ne{number},1\n")
            assert answer.status_code == 200, answer.text

    together(*(partial(send, 5 * one) for one in range(4)))

    assert [key for key, _, _ in flights.stored()] == sorted(f"e{number}" for number in range(20))


def test_the_client_takes_what_python_users_have(flights):
    frame = pd.DataFrame({"flight": ["f0", "f1"], "late": [1, np.nan]})
    with Client(flights.server.url) as client:
        by_id = client.put_truth(flights.name, {"a": np.int64(1), "b": [1, 0.5, None], "c": True})
        by_row = client.put_truth(
            flights.name, ({"id": "d", "label": at, "row_index": at} for at in range(3))
        )
        as_csv = client.put_truth(
            flights.name,
            frame.to_csv(index=False).encode(),
            names={"id": "flight", "label": "late"},
        )

    assert (by_id["stored"], by_id["empty"], by_row["stored"]) == (4, 1, 3)
    assert (as_csv["stored"], as_csv["empty"]) == (1, 1)
    assert flights.stored() == [
        ("a", 0, "1"), ("b", 0, "1"), ("b", 1, "0.5"), ("c", 0, "true"),
        ("d", 0, "0"), ("d", 1, "1"), ("d", 2, "2"), ("f0", 0, "1.0"),
    ]  # fmt: skip


def test_the_client_passes_the_servers_sentence_on(flights):
    with Client(flights.server.url) as client:
        with pytest.raises(InputError, match="row 1: no id"):
            client.put_truth(flights.name, b"id,label\n,1\n")
        with pytest.raises(NotFoundError, match="nobody"):
            client.put_truth("nobody", {"a": 1})
        with pytest.raises(InputError, match="label of type set"):
            client.put_truth(flights.name, {"a": {1}})


def test_more_labels_than_one_request_carries_go_in_parts(flights):
    with Client(flights.server.url) as client:
        found = client.put_truth(flights.name, {f"e{number}": number for number in range(50_001)})

    assert found["stored"] == 50_001
    assert np.unique(flights.table()["load_number"].to_numpy()).tolist() == [1, 2]


def test_an_app_that_was_only_captured_takes_labels_too(server):
    root = Path(server.context.root)
    (root / "capture" / "foreign").mkdir(parents=True)
    foreign, outside = Labelled(server, "foreign"), Labelled(server, "..%2F..%2Foutside")

    assert foreign.post("id,label\na,1\n").status_code == 200
    assert foreign.stored() == [("a", 0, "1")]
    assert 400 <= outside.post("id,label\na,1\n").status_code < 500
    assert not list(root.parent.rglob("outside"))


def test_a_parquet_file_has_no_route_of_its_own(flights):
    buffer = io.BytesIO()
    pd.DataFrame({"id": ["a"], "label": [1]}).to_parquet(buffer)

    assert flights.post(buffer.getvalue(), "application/octet-stream").status_code == 415


def test_how_labels_fit_is_told_over_http_and_by_command(flights):
    flights.post("id,label\na,1\na,0\nb,1\n")

    answer = flights.server.client.get(flights.route, params={"from": "2026-01-01"})
    with Client(flights.server.url) as client:
        report = client.truth_report(flights.name)

    assert answer.status_code == 200
    assert answer.json() == report
    assert (report["places"], report["unmatched"], report["days"]) == (2, 2, [])
    assert report["unmatched_ids"] == ["a", "b"]
    assert report["unmatched_since"] == "2026-01-15T06:00:00+00:00"
    assert report["type"] is None
    assert flights.server.client.get(flights.route, params={"from": "soon"}).status_code == 400
    assert flights.server.client.get("/api/v1/endpoints/nobody/truth").status_code == 404


def test_labels_of_different_text_in_one_body_are_counted(flights):
    answer = flights.post("id,label\na,1\na,0\nb,1\nb, 1\n")

    assert (answer.json()["duplicates"], answer.json()["conflicts"]) == (2, 1)


def test_the_table_of_days_fits_a_terminal(flights, monkeypatch):
    flights.post("id,label\na,1\n")
    monkeypatch.setenv("COLUMNS", "80")

    done = CliRunner().invoke(truth, ["report", flights.name, "--server", flights.server.url])

    head = done.stdout.splitlines()[0].split()
    assert " ".join(head) == "day requests labelled partly share rows labelled rows"
