"""The rows behind a violation, taken out of a running server: API, client and command."""

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.client.client import Client

DAY = datetime(2026, 1, 14, tzinfo=UTC)
ROWS = 480


@pytest.fixture(scope="module")
def sent(trained):
    """A day of rows, some carriers new from the afternoon on and some temperatures lost."""
    rows = trained.inputs.head(ROWS).reset_index(drop=True)
    late = rows.index >= 12 * 20
    rows["carrier"] = np.where(late & (rows.index % 3 == 0), "EVX", rows["carrier"])
    return rows.assign(temp=rows["temp"].mask(rows.index % 2 == 0))


@pytest.fixture(scope="module")
def server(start, trained, declare, sent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "bad.py").write_text("def preprocess_handler(record):\n    raise KeyError\n")
    with start(folder, scripts_dir=str(folder)) as found:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            declare("Monitor", "quality", endpoint="flights", baseline="flights"),
            declare("Monitor", "daily", endpoint="flights", baseline="flights",
                    schedule="cron(0 0 ? * * *)"),
            declare("Monitor", "broken", endpoint="flights", baseline="flights",
                    preprocess="bad.py"),
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        found.send_hours(sent, DAY)
        yield found


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as found:
        yield found


@pytest.fixture(scope="module")
def ran(client):
    return client.run_monitor("quality", start=DAY, end=DAY + timedelta(days=1))


def place_of(report, feature):
    return [one["feature_name"] for one in report["violations"]].index(feature)


def test_exactly_the_rows_of_a_violation_come_with_their_ids(client, ran, sent):
    report = client.report(ran["id"])
    place = place_of(report, "carrier")

    text = b"".join(client.violation_rows(ran["id"], place))
    binary = b"".join(client.violation_rows(ran["id"], place, form="parquet"))

    frame, same = pd.read_csv(io.BytesIO(text)), pd.read_parquet(io.BytesIO(binary))
    expected = sent[sent.carrier == "EVX"]
    assert len(frame) == len(same) == len(expected) == report["violations"][place]["row_count"]
    assert frame.columns[:6].tolist() == [
        "event_id", "row_index", "event_time", "inference_id", "share_of_blame", "carrier",
    ]  # fmt: skip
    assert frame["distance"].tolist() == expected["distance"].tolist()
    assert frame["share_of_blame"].sum() == pytest.approx(1.0)
    assert not frame.duplicated(["event_id", "row_index"]).any()
    assert same["event_time"].dt.hour.tolist() == (expected.index // 20).tolist()
    assert report["violations"][place]["onset"]["text"] == "since 2026-01-14 12:00 UTC"


def run(server, *arguments):
    return CliRunner().invoke(
        build("monitor"), ["monitor", "rows", *arguments, "--server", server.url]
    )


@pytest.mark.usefixtures("ran")
def test_the_command_writes_them_to_a_file(server, sent, tmp_path):
    file = tmp_path / "bad.parquet"

    done = run(server, "quality", "--feature", "carrier", "-o", str(file), "--json")

    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert told["row_count"] == len(pd.read_parquet(file)) == (sent.carrier == "EVX").sum()
    assert told["bytes"] == file.stat().st_size
    text = run(server, "quality", "-o", str(tmp_path / "all.csv"), "--window", "2026-01-14")
    assert "all violations" in text.stdout
