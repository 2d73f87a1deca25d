"""driftline alarm replay: lines on standard output, one sentence and 2 where the input is wrong."""

import json
import subprocess

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
