"""Captured requests sent again to another model of a running server, and to any address."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.errors import InputError, NotFoundError, UnavailableError
from tests.servers.answering import served

DAY = datetime(2026, 1, 14, tzinfo=UTC)
REQUESTS, ROWS = 24, 480


@pytest.fixture(scope="module")
def second(trained):
    """Another version of the model, fitted on half of the rows."""
    half = trained.frame[::2]
    return clone(trained.model).fit(half[["carrier", "origin", "distance", "temp"]], half["late"])


@pytest.fixture(scope="module")
def sent(trained):
    rows = trained.inputs.head(ROWS).reset_index(drop=True)
    return rows.assign(carrier=rows["carrier"].mask(rows.index % 9 == 0, "EVX"))


@pytest.fixture(scope="module")
def server(start, trained, declare, second, sent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    skops.io.dump(second, folder / "second.skops")
    with start(folder) as found:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            declare("Model", "flights-2", path=str(folder / "second.skops")),
            declare("Endpoint", "shadow", model="flights-2", baseline="flights"),
            declare("Monitor", "quality", endpoint="flights", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        found.send_hours(sent, DAY, REQUESTS)
        yield found


def replay(server, *arguments, code=0):
    words = ["capture", "replay", "flights", *map(str, arguments), "--server", server.url]
    done = CliRunner().invoke(build("capture"), words)
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


def chances(model, rows):
    return model.predict_proba(rows)[:, 1]


@pytest.mark.parametrize("target", [("--model", "flights-2"), ("--endpoint", "shadow")])
def test_another_version_answers_as_scikit_learn_says(
    server, trained, second, sent, tmp_path, target
):
    """Then and now against both models, asked directly, row by row."""
    file = tmp_path / "pairs.parquet"

    told = replay(server, *target, "-o", file, "--json")

    pairs = pd.read_parquet(file)
    before, after = chances(trained.model, sent), chances(second, sent)
    assert (told["requests"], told["rows"], told["failed"]) == (REQUESTS, ROWS, 0)
    np.testing.assert_allclose(pairs["probability_before"], before, atol=1e-12)
    np.testing.assert_allclose(pairs["probability_after"], after, atol=1e-12)
    assert pairs["differs"].tolist() == (np.abs(after - before) > 1e-9).tolist()
    assert told["differing"] == (np.abs(after - before) > 1e-9).sum()
    change = told["columns"]["probability"]
    assert change["mean_change"] == pytest.approx((after - before).mean())
    assert change["greatest_size"] == pytest.approx(np.abs(after - before).max())
    error = 1.96 * (after - before).std(ddof=1) / ROWS**0.5
    assert change["mean_change_high"] - change["mean_change"] == pytest.approx(error)
    assert pairs["event_time"].dt.hour.tolist() == (sent.index // 20).tolist()


def test_the_same_model_answers_the_same_and_nothing_is_captured(server):
    stored = server.client.get("/api/v1/counts").json()["tap"]["stored"]

    told = replay(server, "--model", "flights", "--json", "--rate", "500")

    assert (told["differing"], told["compared"], told["share_low"]) == (0, ROWS, 0)
    # Wilson's upper limit of 0 in n at 95%: z^2 / (n + z^2).
    assert told["share_high"] == pytest.approx(1.959964**2 / (ROWS + 1.959964**2), rel=1e-5)
    server.sink_all()
    assert server.client.get("/api/v1/counts").json()["tap"]["stored"] == stored == REQUESTS
    assert server.client.get("/api/v1/endpoints/flights/capture").json()["requests"] == REQUESTS


def test_only_requests_of_exported_rows_are_sent(server, tmp_path):
    with Client(server.url) as client:
        ran = client.run_monitor("quality", start=DAY, end=DAY + timedelta(days=1))
        found = [one["feature_name"] for one in client.report(ran["id"])["violations"]]
        body = b"".join(client.violation_rows(ran["id"], found.index("carrier")))
    whole = pd.read_csv(io.BytesIO(body))
    some = whole[pd.to_datetime(whole["event_time"]).dt.hour.between(3, 5)]
    some.to_csv(tmp_path / "rows.csv", index=False)

    told = replay(server, "--model", "flights-2", "--rows", tmp_path / "rows.csv", "--json")

    assert told["requests"] == some["event_id"].nunique() == 3
    gone = some.assign(event_id="gone")
    pd.concat([some, gone]).to_parquet(tmp_path / "rows.parquet")
    told = replay(server, "--model", "flights-2", "--rows", tmp_path / "rows.parquet", "--json")
    assert (told["requests"], told["left_out"]) == (3, {"not_kept": 1})
    some.drop(columns="event_id").to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="cannot be read"):
        replay(server, "--model", "flights-2", "--rows", tmp_path / "other.parquet")


@pytest.fixture
def elsewhere():
    """A server of one's own: answers 0.5 to all, refuses the carrier "DL", notes headers."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            seen.append(dict(self.headers))
            count = body.count("\n")
            status = 503 if len(seen) % 4 == 0 else 200
            answer = json.dumps(
                {"predictions": [{"prediction": 0, "probability": 0.5}] * count}
            ).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with served(Handler) as found:
        yield f"{found}/predict", seen


def test_any_address_can_be_asked_and_failures_are_counted(
    server, trained, sent, elsewhere, tmp_path
):
    url, seen = elsewhere
    file = tmp_path / "pairs.parquet"

    text = replay(server, "--url", url, "-o", file, "--parallel", "1")
    told = replay(server, "--url", url, "--parallel", "1", "--json")

    pairs = pd.read_parquet(file)
    assert f"24 requests of flights sent to {url}: 360 rows answered, 6 requests not" in text
    assert "status 503: 6" in text
    assert {one["X-Driftline-Replay"] for one in seen} == {"1"}
    assert (told["failed"], told["failures"], told["rows"]) == (6, {"status 503": 6}, 360)
    answered = pairs["error"].isna().to_numpy()
    assert answered.sum() == 360
    change = 0.5 - chances(trained.model, sent)[answered]
    np.testing.assert_allclose(
        (pairs["probability_after"] - pairs["probability_before"])[answered], change, atol=1e-12
    )
    assert pairs["differs"][~answered].isna().all()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ([], InputError, "expected one of --model, --endpoint and --url"),
        (["--model", "a", "--url", "b"], InputError, "expected one of"),
        (["--model", "flights-3"], NotFoundError, 'Model "flights-3" does not exist'),
        (["--endpoint", "shadows"], NotFoundError, 'nearest known one is "shadow"'),
        (["--url", "localhost"], InputError, 'replay to "localhost": expected an address'),
        (["--url", "http://127.0.0.1:9/x"], UnavailableError, "no answer"),
        (["--model", "flights", "-o", "x.csv"], InputError, "ends in .parquet"),
        (["--model", "flights", "--rate", "0"], InputError, "rate 0; expected more than 0"),
        (["--model", "flights", "--from", "x"], InputError, '--from "x"; expected a time'),
        (
            ["--model", "flights", "--from", "2026-01-14", "--to", "2026-01-13"],
            InputError,
            "--from 2026-01-14 --to 2026-01-13: expected the end after the start",
        ),
        (
            ["--model", "flights", "--variant", "Blue"],
            InputError,
            '--variant "Blue": flights captured nothing of it; expected one of AllTraffic',
        ),
        (["--model", "flights", "--rows", "none.csv"], InputError, "none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_told(server, arguments, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        replay(server, *arguments)


def test_an_endpoint_of_this_server_is_not_asked_by_its_address(server):
    with pytest.raises(InputError, match="would be captured as production; give --endpoint"):
        replay(server, "--url", f"{server.url}/endpoints/shadow/invocations")


def test_hours_without_requests_decide_nothing(server):
    told = replay(server, "--model", "flights", "--to", "2026-01-13", "--json", code=3)
    assert (told["requests"], told["share_differing"]) == (0, None)


def test_why_nothing_was_sent_is_told(server, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("event_id,event_time\nelsewhere,2026-01-14T12:00:00Z\n")

    before = CliRunner().invoke(
        build("capture"),
        ["capture", "replay", "flights", "--model", "flights", "--to", "2026-01-13",
         "--server", server.url],
    )  # fmt: skip
    others = CliRunner().invoke(
        build("capture"),
        ["capture", "replay", "flights", "--model", "flights", "--rows", str(rows),
         "--server", server.url],
    )  # fmt: skip

    assert before.exit_code == others.exit_code == 3
    assert "no request of flights before 2026-01-13" in before.stderr
    assert "no request of these rows is kept of endpoint flights" in others.stderr
