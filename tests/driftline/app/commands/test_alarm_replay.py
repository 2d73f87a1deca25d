"""driftline alarm replay: a line of JSON for each evaluation."""

import json

from tests.servers.commands import driftline

DOCUMENT = {
    "alarm": {
        "AlarmName": "errors", "Namespace": "shop", "MetricName": "errors", "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 3,
        "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": ["pager"],
    },
    "datapoints": [
        {"Timestamp": f"2024-01-01T00:0{minute}:00Z", "Value": value}
        for minute, value in enumerate((5, 0, 1))
    ],
    "start": "2024-01-01T00:00:00Z",
    "end": "2024-01-01T00:03:00Z",
}  # fmt: skip


def test_a_file_gives_one_line_for_each_evaluation_and_the_same_bytes_again(tmp_path):
    (tmp_path / "errors.json").write_text(json.dumps(DOCUMENT))

    found, again = (driftline("alarm", "replay", tmp_path / "errors.json") for _ in range(2))

    assert found.returncode == 0, found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(line["state"], line["actions"]) for line in lines] == [
        ("ALARM", ["pager"]), ("OK", []), ("OK", []),
    ]  # fmt: skip
    assert again.stdout == found.stdout
