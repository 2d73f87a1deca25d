"""Texts that no encoding can write are refused at every door; stored ones hide no others."""

from __future__ import annotations

import pytest

from tests.driftline.access.conftest import Guarded

HALF = "\\ud800"
ALARM = '"AlarmName": "a", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tokens", f'{{"name": "x", "roles": ["viewer"], "endpoints": ["a{HALF}b"]}}'),
        ("POST", "/apply", f'{{"resources": [{{"kind": "Monitor", "owner": "{HALF}"}}]}}'),
        ("POST", "/alarms/replay", f'{{"alarm": {{{ALARM}, "AlarmActions": ["{HALF}"]}}}}'),
        ("POST", "/metrics", f'{{"Namespace": "{HALF}", "MetricData": []}}'),
    ],
)
def test_half_a_character_is_refused_wherever_json_comes_in(
    server: Guarded, method: str, path: str, body: str
) -> None:
    answer = server.send(method, f"/api/v1{path}", body)

    assert answer.status_code == 400
    assert "surrogate" in answer.json()["error"]["message"]
    assert server.ask("GET", "/api/v1/tokens").status_code == 200
    assert server.ask("GET", "/api/v1/audit").status_code == 200


def test_half_a_character_in_a_file_or_an_argument_is_wrong_use(server: Guarded) -> None:
    (server.folder / "half.yaml").write_text(f'{{kind: Monitor, name: m, owner: "{HALF}"}}')

    for words in (
        ("apply", "-f", "half.yaml"),
        ("token", "create", "odd", "--role", "viewer", "--endpoint", "a\udcff"),
    ):
        found = server.cli(*words)

        assert (found.returncode, "surrogate" in found.stderr) == (2, True), found.stderr
