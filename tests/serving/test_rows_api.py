"""The rows behind a violation, taken out of a running server: API, client and command."""

import io
import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.errors import InputError, NotFoundError

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


def test_the_rows_behind_any_violation_come_once(client, ran, sent):
    found = pd.read_csv(io.BytesIO(b"".join(client.violation_rows(ran["id"]))))

    assert len(found) == ((sent.carrier == "EVX") | sent.temp.isna()).sum()
    assert found["share_of_blame"].sum() == pytest.approx(1.0)


def test_what_is_not_there_is_refused_before_the_first_byte(client, server, ran):
    path = f"/api/v1/executions/{ran['id']}/violations"

    with pytest.raises(NotFoundError, match="violation 99 does not exist"):
        list(client.violation_rows(ran["id"], 99))
    with pytest.raises(NotFoundError, match="does not exist"):
        list(client.violation_rows("none"))
    for question in (f"{path}/0/rows?format=xlsx", f"{path}/-1/rows", f"{path}/x/rows"):
        answer = server.client.get(question)
        assert answer.status_code == 400, question
        server.error_of(answer)


@pytest.mark.parametrize(
    ("monitor", "day", "sentence"),
    [
        ("broken", DAY, r"\(Failed\) wrote no report: .*bad.py, line 2: KeyError"),
        ("quality", DAY - timedelta(days=3), r"\(NoData\) wrote no report: Job inputs had no data"),
    ],
)
def test_a_run_without_a_report_is_told_with_its_reason(client, monitor, day, sentence):
    """Such a run never gets one: 503 said to ask again."""
    ran = client.run_monitor(monitor, start=day, end=day + timedelta(days=1))

    with pytest.raises(NotFoundError, match=f'execution "{ran["id"]}" {sentence}'):
        client.report(ran["id"])
    with pytest.raises(NotFoundError, match=sentence):
        list(client.violation_rows(ran["id"]))


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


@pytest.mark.usefixtures("ran")
def test_the_command_shows_the_first_of_them(server):
    done = run(server, "quality", "--feature", "carrier", "--limit", "3", "--json")

    assert [row["carrier"] for row in json.loads(done.stdout)["rows"]] == ["EVX"] * 3
    assert "EVX" in run(server, "quality", "--feature", "carrier").stdout


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["quality", "--feature", "origin"], InputError, "expected one of: .*carrier"),
        (["quality", "--window", "2026-01-13"], NotFoundError, "no window that begins 2026-01-13"),
        (["none"], NotFoundError, 'Monitor "none" does not exist'),
        (["quality", "-o", "x.xlsx"], InputError, "ends in .csv or .parquet"),
    ],
)
def test_what_the_command_cannot_find_is_told(server, arguments, error, sentence):
    done = run(server, *arguments)

    assert isinstance(done.exception, error)
    assert re.search(sentence, str(done.exception))


def test_a_part_of_a_window_that_was_run_by_hand_does_not_hide_the_whole(client, server):
    whole = client.run_monitor("daily", start=DAY, end=DAY + timedelta(days=1))
    part = client.run_monitor("daily", start=DAY, end=DAY + timedelta(hours=12))

    shown = run(server, "daily", "--window", "2026-01-14", "--json")
    marked = client.mark_monitor(
        "daily", window=DAY, verdict="harmful", reason="so it is", author="ann"
    )

    assert [one["id"] for one in client.executions("daily")] == [whole["id"], part["id"]]
    assert json.loads(shown.stdout)["execution"] == whole["id"]
    assert marked["mark"]["window_end"].startswith("2026-01-15")


def test_an_alarm_names_the_command_that_lists_the_rows_behind_it(client, server, declare, sent):
    client.apply(
        [
            declare("Monitor", "told", endpoint="flights", baseline="flights",
                    schedule="cron(0 0 ? * * *)"),
            declare("Alarm", "broken input", monitor="told", metric_name="pages", threshold=0,
                    evaluation_periods=1, comparison_operator="GreaterThanThreshold"),
        ]
    )  # fmt: skip
    ran = client.run_monitor("told", start=DAY, end=DAY + timedelta(days=1))
    Evaluator(server.engine, now=server.context.now).step()

    found = client.explain_alarm("broken input")

    assert (found["state"], found["cause"]) == ("ALARM", client.report(ran["id"])["cause"])
    assert datetime.fromisoformat(found["window"]) == DAY
    assert found["page"].startswith("http://127.0.0.1:8081/monitors/told?window=20260114T000000Z")
    program, *words = shlex.split(found["rows"])
    shown = CliRunner().invoke(build("monitor"), [*words, "--server", server.url, "--json"])
    assert (program, shown.exit_code) == ("driftline", 0), shown.output
    listed = json.loads(shown.stdout)
    assert listed["execution"] == ran["id"]
    (feature,) = re.findall("--feature (.*)", found["rows"])
    wrong = {"carrier": "EVX", "temp": None}[feature]
    assert {row[feature] for row in listed["rows"]} == {wrong}

    client.set_alarm_state("broken input", "OK", "looked at")
    words = ["alarm", "explain", "broken input", "--server", server.url]
    said = CliRunner().invoke(build("alarm"), words).stdout.splitlines()
    assert f"rows        {found['rows']}" in said
    assert "last alarm  2026-01-15 06:00:00 to 2026-01-15 06:00:00" in said
