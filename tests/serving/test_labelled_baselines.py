"""A baseline made anew of labelled rows: after a concept drift, estimates of quality resume."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.serving.resources.endpoints import require_signature
from tests.monitors.conftest import DAY, START, append_day
from tests.monitors.test_denied_estimates import DRIFTED, answers

ENDPOINT = {"endpoint": "flights", "baseline": "flights"}
DENIED = "cannot estimate: labels of the window of 2024-01-04 00:00 UTC contradict the estimates"


@pytest.fixture(scope="module")
def server(start, declare, tmp_path_factory):
    """Return a server that captured seven days in which outcomes are others than before."""
    folder = tmp_path_factory.mktemp("labelled")
    data = folder / "reference.parquet"
    parquet.write_table(answers(1, rows=6_000), data)
    with start(folder) as found:
        answer = found.apply(
            declare("Baseline", "flights", data=str(data), label="late", probability="score"),
            declare("Endpoint", "flights", baseline="flights"),
            {"kind": "Monitor", "name": "quality", "spec": {**ENDPOINT, "kind": "model-quality"}},
        )
        assert answer.status_code == 200, answer.text
        signature = require_signature(found.engine, "flights")
        for day in range(7):
            rows = {name: drifted(day)[name].to_numpy() for name in ("x", "z", "score")}
            append_day(found.context.root, signature, day, rows)
        yield found


def drifted(day: int) -> pa.Table:
    return answers(100 + day, DRIFTED)


def load_labels(server, day: int, *, count: int = 1_500) -> None:
    late = drifted(day)["late"].to_pylist()[:count]
    first = day * 1_000_000
    labels = [{"id": f"a-{first + at}", "label": one} for at, one in enumerate(late)]
    answer = server.client.post("/api/v1/endpoints/flights/truth", json=labels)
    assert answer.status_code == 200, answer.text


def judge(server, day: int) -> tuple[dict, dict]:
    """Judge a day; return the run and, if it came to a report, the report's details."""
    span = {"from": moment(day).isoformat(), "to": moment(day + 1).isoformat()}
    ran = server.client.post("/api/v1/monitors/quality/run", json=span).json()
    report = server.client.get(f"/api/v1/executions/{ran['id']}/report").json()
    return ran, report.get("details", {})


def moment(day: int) -> datetime:
    return START + day * DAY


def command(server, *words: str) -> tuple[int, str]:
    asked = ["baseline", *words, "--server", server.url]
    done = CliRunner().invoke(build("baseline"), asked)
    return done.exit_code, done.output


def test_rows_without_labels_make_no_such_version(server):
    asked = {"from": moment(5).isoformat(), "to": moment(7).isoformat(), "labels": True}

    refused = [
        server.client.post("/api/v1/baselines/flights/versions", json={**asked, **rows})
        for rows in ({"endpoint": "flights"}, {"monitor": "quality"})
    ]

    for answer in refused:
        assert answer.status_code == 409
        message = server.error_of(answer)["message"]
        assert "3,000 rows were captured in [2024-01-06T00:00:00Z, 2024-01-08T00:00:00Z)" in message
        assert "0 of them with a label; a baseline with labels needs 500 at least" in message


def test_estimates_resume_with_a_version_of_labelled_rows_and_hold_what_labels_say(server):
    span = ["--endpoint", "flights", "--from", "2024-01-01", "--to", "2024-01-05", "--labels"]
    load_labels(server, 0, count=1_400)
    for day in (1, 2, 3):
        load_labels(server, day)
    _, denied = judge(server, 3)
    withheld, _ = judge(server, 4)
    code, made = command(server, "create", "flights", *span)
    promoted, _ = command(server, "promote", "flights", "2")
    estimated = [judge(server, day) for day in (5, 6)]
    for day in (5, 6):
        load_labels(server, day)
    labelled = [judge(server, day) for day in (5, 6)]
    _, shown = command(server, "show", "flights")

    assert denied["estimates_denied"] is True
    assert (withheld["status"], DENIED in withheld["failure_reason"]) == ("NoData", True)
    assert (code, promoted) == (0, 0)
    assert "baseline flights: version 2 of 5,900 rows; to use it:" in made
    assert ", those of 6,000 rows with a label" in " ".join(shown.split())
    for (ran, before), (again, after) in zip(estimated, labelled, strict=True):
        assert (ran["status"], again["status"]) == ("Completed", "Completed")
        assert before["estimate_note"].startswith("estimated without labels: AUC 0.5")
        assert after["estimates_denied"] is False
        assert len(after["estimates"]) == 8
        for one in after["estimates"].values():
            assert one["low"] <= one["realised"] <= one["high"]
