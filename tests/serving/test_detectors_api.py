"""Metric math and detectors over HTTP, by the client and on the command line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from bench.bands import season
from driftline.alerts.math.training import train_next
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from driftline.app.client.client import Client
from driftline.app.commands.detector import detector
from driftline.app.commands.metric import metric
from driftline.errors import InputError, NotFoundError

HOURS = 14 * 24
ORDERS = {"namespace": "Shop", "metric_name": "Orders", "dimensions": {"Shop": "north"},
          "stat": "Sum"}  # fmt: skip
M1 = {
    "id": "m1",
    "metric_stat": {
        "metric": {key: ORDERS[key] for key in ("namespace", "metric_name", "dimensions")},
        "period": 3600,
        "stat": "Sum",
    },
}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    # What depends on the kind of database is tested with the rooms below.
    with start(tmp_path_factory.mktemp("detectors")) as found:
        end = int(found.context.now().timestamp()) // 3600 * 3600
        times = [end - 3600 * (HOURS - i) for i in range(HOURS)]
        values = 100 + 60 * season(np.array(times))
        with found.engine.begin() as connection:
            put(
                connection,
                [
                    Datapoint("Shop", "Orders", {"Shop": "north"},
                              datetime.fromtimestamp(time, UTC), value=value)
                    for time, value in zip(times, values.tolist(), strict=True)
                ],
                source="test",
            )  # fmt: skip
        yield found


@pytest.fixture
def client(server):
    with Client(server.url) as found:
        yield found


def span(server, hours: int = 24) -> tuple[datetime, datetime]:
    end = server.context.now().replace(minute=0, second=0, microsecond=0)
    return end - timedelta(hours=hours), end


def test_metric_math_is_answered_in_one_piece_or_in_pages(server, client):
    queries = [M1, {"id": "e1", "expression": "m1 * 2", "label": "twice"}]
    start, end = span(server)

    whole = client.metric_data(queries, start, end)
    paged = client.metric_data(queries, start, end, max_datapoints=7)

    assert paged == whole
    assert [one["label"] for one in whole] == ["Orders", "twice"]
    assert [len(one["values"]) for one in whole] == [24, 24]
    assert whole[1]["values"] == [2 * value for value in whole[0]["values"]]
    assert whole[0]["timestamps"] == sorted(whole[0]["timestamps"], reverse=True)


def test_awss_camel_case_is_answered_as_well(server):
    start, end = span(server, 3)
    asked = {
        "MetricDataQueries": [
            {
                "Id": "m1",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Shop",
                        "MetricName": "Orders",
                        "Dimensions": [{"Name": "Shop", "Value": "north"}],
                    },
                    "Period": 3600,
                    "Stat": "Maximum",
                },
            }
        ],
        "StartTime": start.isoformat(),
        "EndTime": end.isoformat(),
        "ScanBy": "TimestampAscending",
        "MaxDatapoints": 2,
    }

    found = server.client.post("/api/v1/metrics/data", json=asked).json()

    (result,) = found["metric_data_results"]
    assert len(result["values"]) == 2 and result["status_code"] == "PartialData"
    again = server.client.post(
        "/api/v1/metrics/data", json=asked | {"NextToken": found["next_token"]}
    ).json()
    assert again["metric_data_results"][0]["status_code"] == "Complete"
    assert len(again["metric_data_results"][0]["values"]) == 1 and again["next_token"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric_data_queries": [{"id": "e1", "expression": "m1 +"}]}, "at character 5"),
        ({"metric_data_queries": []}, "0 queries; expected 1 to 500"),
        ({"start_time": "2024-01-01T00:00:00"}, "start_time"),
        ({"end_time": "1999-01-01T00:00:00Z"}, "must be less than the parameter EndTime"),
        ({"scan_by": "Random"}, "scan_by"),
        ({"colour": 1}, "colour"),
        ({"next_token": "abc"}, "expected that of the page before"),
        ({"start_time": "0001-01-01T00:00:00+05:00"}, "within the years 1 to 9999"),
        ({"start_time": "0001-01-01T00:00:00Z"}, "points are asked for"),
        ({"end_time": "9999-12-31T23:59:59-05:00"}, "within the years 1 to 9999"),
    ],
)
def test_what_is_wrong_is_a_400_with_a_sentence(server, change, said):
    start, end = span(server)
    asked = {"metric_data_queries": [M1], "start_time": start.isoformat(),
             "end_time": end.isoformat()}  # fmt: skip

    answer = server.client.post("/api/v1/metrics/data", json=asked | change)

    assert answer.status_code == 400
    assert said in server.error_of(answer)["message"]


def test_a_detector_lives_from_put_to_delete(server, client):
    put_one = client.put_detector({"single_metric_anomaly_detector": ORDERS, "period": 3600})
    assert put_one["state_value"] == "PENDING_TRAINING"
    assert client.detectors(namespace="Elsewhere") == []
    train_next(server.engine, server.context.now())

    found = client.detector(put_one["id"])
    assert found["state_value"] == "TRAINED"
    assert client.detectors(metric_name="Orders") == [found]
    band = client.detector_band(put_one["id"], *span(server), deviations=3)
    lower, values, upper = (
        [value for _, value in band[name]] for name in ("lower", "values", "upper")
    )
    assert len(lower) == len(values) == 24
    spelt = (
        found["created_at"],
        found["models"][0]["due_at"],
        *(time for time, _ in band["lower"]),
    )
    assert {time[-1] for time in spelt} == {"Z"}
    for low, value, high in zip(lower, values, upper, strict=True):
        assert low <= value <= high
    assert client.train_detector(put_one["id"])["state_value"] == "PENDING_TRAINING"

    client.delete_detector(put_one["id"])
    with pytest.raises(NotFoundError, match="no detector has the id"):
        client.detector(put_one["id"])
    with pytest.raises(NotFoundError, match="no detector has the id"):
        client.delete_detector(put_one["id"])


def test_data_and_bands_are_told_where_a_detector_has_them(server, client):
    made = client.put_detector({"single_metric_anomaly_detector": ORDERS, "period": 3600})
    train_next(server.engine, server.context.now())
    queries = [M1, {"id": "b", "expression": "ANOMALY_DETECTION_BAND(m1, 3)"}]

    found = client.metric_data(queries, *span(server))

    assert [one["label"] for one in found] == ["Orders", "b upper", "b lower"]
    assert all(one >= other for one, other in zip(found[1]["values"], found[2]["values"],
                                                  strict=True))  # fmt: skip
    with pytest.raises(InputError, match="period 60 s is not learnt; expected one of: 3600"):
        client.detector_band(made["id"], period=60)
    with pytest.raises(InputError, match="expected 1 to 20000"):
        client.detector_band(made["id"], datetime(1990, 1, 1, tzinfo=UTC))
    for asked in ("?to=0001-01-01T00:00:00Z", "?to=0001-01-01T00:00:00%2B05:00",
                  "?deviations=0", "?deviations=nan", "?period=1", "?from=tomorrow"):  # fmt: skip
        answer = server.client.get(f"/api/v1/detectors/{made['id']}/band{asked}")
        assert answer.status_code == 400, asked
    client.delete_detector(made["id"])


def test_the_command_line_says_the_same(server, client, tmp_path):
    run, at = CliRunner(), ["--server", server.url]
    given = ["put", "Shop", "Orders", "-d", "Shop=north", "--stat", "Sum", "--period", "3600"]

    (made,) = json.loads(run.invoke(detector, [*given, "--json", *at]).stdout)
    train_next(server.engine, server.context.now())

    listed = run.invoke(detector, ["list", *at]).stdout
    assert made["id"] in listed and "TRAINED" in listed
    assert "336" in run.invoke(detector, ["get", made["id"], *at]).stdout
    assert "lower" in run.invoke(detector, ["band", made["id"], *at]).stdout
    (trained,) = json.loads(run.invoke(detector, ["train", made["id"], "--json", *at]).stdout)
    assert trained["state_value"] == "PENDING_TRAINING"
    file = tmp_path / "detectors.yaml"
    file.write_text(json.dumps({"single_metric_anomaly_detector": ORDERS}))
    (same,) = json.loads(run.invoke(detector, ["put", "-f", str(file), "--json", *at]).stdout)
    assert same["id"] == made["id"]
    assert [one["period"] for one in same["models"]] == [300, 3600]
    assert "deleted" in run.invoke(detector, ["delete", made["id"], *at]).stdout
    assert isinstance(run.invoke(detector, ["put", *at]).exception, InputError)
    assert isinstance(run.invoke(detector, ["put", "a", "b", "-d", "c", *at]).exception, InputError)


def test_metric_data_on_the_command_line_takes_a_file_and_expressions(server, tmp_path):
    file = tmp_path / "queries.json"
    file.write_text(json.dumps([M1]))
    start, end = span(server, 2)
    given = ["data", "m1 / 2", "RATE(m1)", "-f", str(file), "--from", start.isoformat(),
             "--to", end.isoformat(), "--server", server.url]  # fmt: skip

    found = json.loads(CliRunner().invoke(metric, [*given, "--json"]).stdout)

    assert [(one["id"], one["label"], len(one["values"])) for one in found] == [
        ("e1", "m1 / 2", 2), ("e2", "RATE(m1)", 1),
    ]  # fmt: skip
    assert "RATE(m1)" in CliRunner().invoke(metric, given).stdout


def test_what_the_page_shows_works(server, client):
    page = (Path(__file__).parents[2] / "docs" / "metric-math.md").read_text()
    queries, alarm, band = (
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    )
    rate = {"id": "rate", "expression": "100 * errors / requests"}

    found = client.metric_data([*queries, rate], *span(server))
    made = client.put_detector(band)
    applied = client.apply([alarm])

    assert [one["id"] for one in found] == ["errors", "requests", "rate"]
    assert made["configuration"]["metric_timezone"] == "Europe/Berlin"
    assert [change["action"] for change in applied["changes"]] == ["create"]
    assert [change["action"] for change in client.apply([alarm])["changes"]] == ["unchanged"]
    client.delete("Alarm", alarm["name"])
    client.delete_detector(made["id"])
