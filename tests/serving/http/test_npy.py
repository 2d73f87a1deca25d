"""Arrays of numpy by HTTP: answered as text is, captured, and refused where they are hostile."""

import io

import numpy as np
import pytest

from driftline.capture.tables.dataset import Dataset

KINDS = [("carrier", "<U2"), ("origin", "<U3"), ("distance", "<i8"), ("temp", "<f8")]
NPY = "application/x-npy"


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    with start(tmp_path_factory.mktemp("server")) as found:
        answer = found.apply(*trained.flights())
        assert answer.status_code == 200, answer.text
        yield found


def written(rows, **more):
    sink = io.BytesIO()
    np.save(sink, rows, **more)
    return sink.getvalue()


def test_arrays_are_answered_as_text_is_and_captured_rows_decode(server, trained):
    frame = trained.inputs[:40]
    rows = np.array([tuple(row) for row in frame.itertuples(index=False)], KINDS)
    asked = {"content_type": NPY, "x_amzn_sagemaker_inference_id": "array"}

    plain = server.invoke("flights", written(rows), content_type=NPY)
    answer = server.invoke("flights", written(rows), accept=NPY, **asked)

    assert (plain.status_code, answer.status_code) == (200, 200), answer.text
    assert plain.headers["content-type"] == "application/json"
    assert answer.headers["content-type"] == NPY
    found = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert found[:, 0].tolist() == trained.model.predict(frame).tolist()
    np.testing.assert_allclose(found[:, 1], trained.model.predict_proba(frame)[:, 1], rtol=1e-12)
    said = [one["probability"] for one in plain.json()["predictions"]]
    np.testing.assert_array_equal(said, found[:, 1])
    server.sink_all()
    table = Dataset(str(server.root), "flights").open(None, None).to_table().to_pandas()
    stored = table[table["inference_id"] == "array"].sort_values("row_index")
    assert stored["parse_error"].isna().all()
    for name in ("carrier", "origin", "distance", "temp"):
        np.testing.assert_array_equal(stored[f"feature_{name}"], frame[name])
    np.testing.assert_array_equal(stored["prediction"], found[:, 0])
    np.testing.assert_array_equal(stored["probability"], found[:, 1])


def test_hostile_arrays_are_refused_and_the_worker_lives(server):
    class Bomb:
        def __reduce__(self):
            return (eval, ("1/0",))

    bodies = [
        written(np.array([Bomb(), 1], object), allow_pickle=True), b"\x93NUMPY\x01\x00\xff\xff{",
        written(np.zeros((2, 3))), written(np.zeros((2, 4)))[:-1], b"",
    ]  # fmt: skip
    for body in bodies:
        refused = server.invoke("flights", body, content_type=NPY)
        assert refused.status_code == 400, refused.text
        assert server.error_of(refused)["code"] == "bad_request"
    assert server.invoke("flights", "UA,EWR,100,1").status_code == 200


def test_labels_are_no_arrays(server):
    answer = server.client.post(
        "/api/v1/endpoints/flights/truth", content=b"1", headers={"content-type": NPY}
    )
    assert answer.status_code == 415
