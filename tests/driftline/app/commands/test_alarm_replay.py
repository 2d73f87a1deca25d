"""driftline alarm replay: lines on standard output, one sentence and 2 where the input is wrong."""

import io
import json
import subprocess
import sys

import pytest

from driftline.app.cli import run
from tests.servers.commands import driftline

DOCUMENT = {
    "alarm": {
        "AlarmName": "errors",
        "Namespace": "shop",
        "MetricName": "errors",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 3,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": ["pager"],
    },
    "datapoints": [
        {"Timestamp": "2024-01-01T00:00:00Z", "Value": 5},
        {"Timestamp": "2024-01-01T00:01:00Z", "Value": 0},
        {"Timestamp": "2024-01-01T00:02:00Z", "Value": 1},
    ],
    "start": "2024-01-01T00:00:00Z",
    "end": "2024-01-01T00:03:00Z",
}


def replay(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    return driftline("alarm", "replay", *arguments, stdin=given)


def lines_of(found: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_a_file_gives_one_line_for_each_evaluation_and_the_same_bytes_again(tmp_path):
    file = tmp_path / "errors.json"
    file.write_text(json.dumps(DOCUMENT))

    found = replay(str(file))

    assert [(line["state"], line["actions"]) for line in lines_of(found)] == [
        ("ALARM", ["pager"]),
        ("OK", []),
        ("OK", []),
    ]
    assert replay(str(file), "--json").stdout == found.stdout


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"", "Expecting value"),
        (b"\xff{", "expected a JSON object"),
        (b"[" * 100_000, "nested too deep; expected a JSON object"),
        (b"[]", "expected an object"),
        (b"{}", "expected either an alarm or a composite in it"),
        (
            json.dumps(DOCUMENT | {"alarm": DOCUMENT["alarm"] | {"Period": 45}}).encode(),
            'alarm "errors": period 45 s; expected 10, 20, 30 or a multiple of 60',
        ),
        (
            json.dumps(
                {
                    "composite": {"AlarmRule": "ALARM(a) AND"},
                    "children": {"a": []},
                    "start": 0,
                    "end": 60,
                }
            ).encode(),
            "expected",
        ),
    ],
)
def test_wrong_input_is_2_with_one_sentence_and_no_line(monkeypatch, capsys, given, sentence):
    monkeypatch.setattr(sys, "argv", ["driftline", "alarm", "replay", "-"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))

    with pytest.raises(SystemExit) as left:
        run()

    told = capsys.readouterr()
    assert (left.value.code, told.out) == (2, "")
    assert told.err.startswith("driftline: ")
    assert told.err.count("\n") == 1
    assert sentence in told.err
