"""Tables that others write, from docs/sources.md's resource file to the rows of a violation."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from driftline.app.client.client import Client
from driftline.monitors.external.source import Access
from driftline.serving.resources.reach import Reach
from tests.kit.data import integers, stream

DAY = datetime(2026, 1, 14, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def scores(rows: int, start: datetime, seed: int) -> pd.DataFrame:
    """Rows of a batch job: their inputs, the score, and what came true."""
    columns = {
        "carrier": ["UA", "AA", "DL"],
        "distance": integers(100, 3000),
        "score": lambda random, count: random.beta(2, 3, count).round(3),
    }
    found = stream(columns, rows=rows, seed=seed, start=start).rename(columns={"time": "scored_at"})
    late = np.random.default_rng(seed).random(rows) < found["score"]
    ids = [f"r{seed}-{number}" for number in range(rows)]
    return found.assign(request_id=ids, late=late.astype(int))


def resources(block: int, data: Path) -> list[dict]:
    text = PAGE.read_text().split("```yaml\n")[block + 1].split("```")[0]
    return list(yaml.safe_load_all(text.replace("/data/", f"{data}/")))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    scores(3_000, DAY - timedelta(days=30), 1).to_parquet(folder / "reference.parquet")
    today = scores(600, DAY, 2)
    today.loc[240:, "carrier"] = "EVX"
    for name in ("scores", "labels"):
        (folder / name).mkdir()
    today.drop(columns="late").to_parquet(folder / "scores" / "part.parquet")
    today[["request_id", "late"]].to_csv(folder / "labels" / "part.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def server(start, data, tmp_path_factory):
    reach = Reach((str(data),))
    access = Access({}, reach.check_data)
    with start(tmp_path_factory.mktemp("sources"), reach=reach, access=access) as found:
        yield found


def test_a_declared_table_is_judged_with_labels_of_another_and_its_rows_are_found(server, data):
    assert server.apply(*resources(0, data)).status_code == 200
    day = {"start": DAY, "end": DAY + timedelta(days=1)}
    with Client(server.url) as client:
        ran = client.run_monitor("scores-data-quality", **day)
        quality = client.run_monitor("scores-model-quality", **day)
        report = client.report(ran["id"])
        place = [one["feature_name"] for one in report["violations"]].index("carrier")
        rows = pd.read_csv(io.BytesIO(b"".join(client.violation_rows(ran["id"], place))))
        labelled = client.report(quality["id"])["labelled_count"]
        made = client.make_baseline_version("scores", monitor="scores-data-quality", **day)

    assert ran["status"] == "CompletedWithViolations"
    assert set(rows["event_id"]) == {f"r2-{number}" for number in range(240, 600)}
    assert rows["score"].notna().all()
    assert (quality["failure_reason"], labelled, made["row_count"]) == (None, 600, 600)


@pytest.mark.parametrize(
    "place",
    [{"path": "/etc/passwd"}, {"query": "SELECT :start, :end", "connection": "wherehouse"}],
)
def test_a_source_that_cannot_be_read_is_refused_when_it_is_declared(server, data, declare, place):
    monitor = declare("Monitor", "wrong", source={**place, "timestamp": "at"}, baseline="scores")

    assert server.apply(*resources(0, data), monitor).status_code == 400
