"""Alarms of all kinds by the command line, on a running server."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from driftline.app.cli import build
from driftline.errors import NotFoundError
from tests.serving.alarm_yard import METRIC, client, server, yard

__all__ = ["client", "server", "yard"]  # The fixtures.


def run(server, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(build("alarm"), ["alarm", *words, "--server", server.url])
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_the_command_line_lists_gets_and_sets(server, yard):
    code, text = run(server, "set-state", "c", "ALARM", "--reason", "a drill")
    assert (code, text) == (0, "c: INSUFFICIENT_DATA -> ALARM\n")

    code, text = run(server, "list", "--state", "ALARM")
    assert code == 0
    assert [line.split()[:3] for line in text.splitlines()[1:]] == [["c", "metric", "ALARM"]]
    assert max(len(line) for line in text.splitlines()) <= 80
    assert json.loads(run(server, "list", "--json")[1])[0]["name"] == "a b"

    assert "alarm_rule: ALARM(both)" in run(server, "get", "top")[1]
    assert run(server, "disable", "top", "c")[1] == "top: actions off\nc: actions off\n"
    assert json.loads(run(server, "enable", "top", "--json")[1]) == {
        "names": ["top"],
        "actions_enabled": True,
    }
    assert run(server, "tag", "c", "tier=1")[1] == "tier=1\n"
    assert run(server, "tag", "c", "--remove", "tier")[1] == ""
    assert "Alarm updated from" in run(server, "history", "c", "--type", "StateUpdate")[1]
    assert run(server, "set-state", "c", "ALARM")[1] == "c: ALARM already; only the reason is new\n"
    assert run(server, "delete", "top")[1] == "deleted top\n"
    deleted = json.loads(run(server, "delete", "both", "a b", "--json")[1])
    assert deleted == {"deleted": ["both", "a b"]}


def test_the_command_line_explains_at_80_columns(server, yard):
    code, text = run(server, "explain", "a b")

    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("a b: INSUFFICIENT_DATA since 2026-01-15 ")
    assert max(len(line) for line in lines) <= 80
    assert "periods     --- (old to new; X breaching, 0 good, -)" in lines
    said = " ".join(" ".join(lines).split())
    assert "no datapoint was ever put for exactly these dimensions" in said
    assert "fix put a datapoint" in said

    text = run(server, "explain", "both")[1]
    assert '            false ALARM("a b")' in text.splitlines()
    assert json.loads(run(server, "explain", "top", "--json")[1])["rule"] == "rule"


def test_an_unknown_alarm_ends_the_command_with_a_sentence(server):
    with pytest.raises(NotFoundError, match='alarm "gone" does not exist'):
        run(server, "explain", "gone")


FIRED = "flights: broken input"
BLOCKS = re.findall(
    r"```text\n(.*?)```", (Path(__file__).parents[2] / "docs/alarms.md").read_text(), re.DOTALL
)


def test_the_documented_explanation_of_an_alarm_that_fired_is_what_is_printed(server, client):
    dimensions = {"Endpoint": "flights", "MonitoringSchedule": "flights-data-quality"}
    metric = {"namespace": "Driftline", "metric_name": "pages", "dimensions": dimensions}
    start = server.context.now() - timedelta(hours=30)
    cause = 'temp: 36.1% of rows at or below 7.2 (reference 0%), origin = "EWR" holds all of them'
    window = f"{start:%Y%m%dT%H%M%SZ}"
    link = f"/monitors/flights-data-quality?window={window}&feature=temp#rows"
    source = {"monitor": "flights-data-quality", "window": window, "rows_of": "temp"}
    point = Datapoint(
        "Driftline", "pages", dimensions, start, value=1.0, period_s=86_400,
        note={"cause": cause, "link": link, **source},
    )  # fmt: skip
    with server.engine.begin() as connection:
        put(connection, [point], source="flights-data-quality")
    spec = {**METRIC, **metric, "period": 86_400, "threshold": 0}
    client.apply([{"kind": "Alarm", "name": FIRED, "spec": spec}])
    Evaluator(server.engine, now=server.context.now).step()

    code, text = run(server, "explain", FIRED)

    client.delete_alarm(FIRED)
    assert (code, text) == (0, BLOCKS[0])


def test_the_documented_explanation_of_missing_data_is_what_is_printed(server, declare, client):
    dimensions = {"Domain": "Rio", "Server": "Prod"}
    point = Datapoint("Own/App", "Load", dimensions, server.context.now(), value=0.9)
    with server.engine.begin() as connection:
        add(connection, [point])
    spec = {**METRIC, "evaluation_periods": 3, "datapoints_to_alarm": 2}
    client.apply([declare("Alarm", "load", **spec)])

    code, text = run(server, "explain", "load")

    client.delete_alarm("load")
    assert (code, text) == (0, BLOCKS[1])
