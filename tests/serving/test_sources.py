"""Tables that others write, from docs/sources.md's resource file to the rows of a violation."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from driftline.app.client.client import Client
from driftline.monitors.external.source import Access
from driftline.serving.resources.reach import Reach

DAY = datetime(2026, 1, 14, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
SECRET = "hunter2"


def scores(rows: int, start: datetime, seed: int) -> pd.DataFrame:
    """Rows of a batch job: their inputs, the score, and what came true."""
    random = np.random.default_rng(seed)
    score = random.beta(2, 3, rows).round(3)
    return pd.DataFrame(
        {
            "request_id": [f"r{seed}-{number}" for number in range(rows)],
            "scored_at": [start + timedelta(minutes=number % 1440) for number in range(rows)],
            "carrier": random.choice(["UA", "AA", "DL"], rows),
            "distance": random.integers(100, 3000, rows),
            "score": score,
            "late": (random.random(rows) < score).astype(int),
        }
    )


def resources(block: int, data: Path) -> list[dict]:
    text = PAGE.read_text().split("```yaml\n")[block + 1].split("```")[0]
    return list(yaml.safe_load_all(text.replace("/data/", f"{data}/")))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    scores(3_000, DAY - timedelta(days=30), 1).to_parquet(folder / "reference.parquet")
    today = scores(480, DAY, 2)
    today.loc[240:, "carrier"] = "EVX"
    for name in ("scores", "labels"):
        (folder / name).mkdir()
    today.drop(columns="late").to_parquet(folder / "scores" / "part.parquet")
    today[["request_id", "late"]].to_csv(folder / "labels" / "part.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def server(start, data, tmp_path_factory):
    reach = Reach((str(data),))
    access = Access(
        {"warehouse": f"postgresql://reader:{SECRET}@127.0.0.1:1/scores"}, reach.check_data
    )
    with start(tmp_path_factory.mktemp("sources"), reach=reach, access=access) as found:
        yield found


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as found:
        yield found


@pytest.fixture(scope="module")
def applied(server, data):
    answer = server.apply(*resources(0, data))
    assert answer.status_code == 200, answer.text
    return server


def test_a_declared_table_is_judged_with_labels_of_another_and_its_rows_are_found(applied, client):
    day = {"start": DAY, "end": DAY + timedelta(days=1)}
    ran = client.run_monitor("scores-data-quality", **day)
    quality = client.run_monitor("scores-model-quality", **day)

    report = client.report(ran["id"])
    place = [one["feature_name"] for one in report["violations"]].index("carrier")
    rows = pd.read_csv(io.BytesIO(b"".join(client.violation_rows(ran["id"], place))))

    assert ran["status"] == "CompletedWithViolations"
    assert set(rows["event_id"]) == {f"r2-{number}" for number in range(240, 480)}
    assert rows["score"].notna().all()
    assert quality["failure_reason"] is None
    assert client.report(quality["id"])["labelled_count"] == 480


def test_a_version_is_made_of_the_table_that_a_monitor_reads(applied, client, data, declare):
    source = {"path": str(data / "reference.parquet"), "timestamp": "scored_at"}
    monitor = declare("Monitor", "of-reference", source=source, baseline="scores")
    assert applied.apply(monitor).status_code == 200
    start = DAY - timedelta(days=30)

    made = client.make_baseline_version(
        "scores", monitor="of-reference", start=start, end=start + timedelta(hours=12)
    )

    assert made["row_count"] == 1_560
    assert made["origin"]["source"] == source["path"]


def test_a_password_is_in_no_answer_document_or_log(applied, client, data, caplog):
    (monitor,) = resources(1, data)
    assert applied.apply(monitor).status_code == 200

    answer = applied.client.post(
        "/api/v1/monitors/nightly-scores/run",
        json={"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()},
    )

    assert "query on warehouse: database postgresql" in answer.text
    texts = [answer.text, caplog.text, json.dumps(client.list("Monitor"))]
    texts += [file.read_text(errors="ignore") for file in Path(applied.root).rglob("*.json")]
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"path": "/etc/passwd", "timestamp": "at"}, "in none of the data folders"),
        (
            {"query": "SELECT :start, :end", "connection": "wherehouse", "timestamp": "at"},
            'the nearest known one is "warehouse"',
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_when_it_is_declared(
    applied, declare, source, told
):
    answer = applied.apply(declare("Monitor", "wrong", source=source, baseline="scores"))

    assert answer.status_code == 400
    assert told in applied.error_of(answer)["message"]
