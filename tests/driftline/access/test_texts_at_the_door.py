"""Texts that no encoding can write are refused at every door; stored ones hide no others."""

from __future__ import annotations

import sqlite3

import pytest

from tests.driftline.access.conftest import Guarded

HALF = "\\ud800"
ALARM = '"AlarmName": "a", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tokens", f'{{"name": "x", "roles": ["viewer"], "endpoints": ["a{HALF}b"]}}'),
        ("POST", "/apply", f'{{"resources": [{{"kind": "Monitor", "owner": "{HALF}"}}]}}'),
        ("POST", "/apply", f'{{"resources": [{{"kind": "Monitor", "{HALF}": 1}}]}}'),
        (
            "POST",
            "/monitors/m/marks",
            f'{{"window": "w", "verdict": "expected", "reason": "{HALF}", "author": "me"}}',
        ),
        ("PUT", "/alarms/a/state", f'{{"state_value": "OK", "state_reason": "{HALF}"}}'),
        ("POST", "/alarms/actions", f'{{"names": ["{HALF}"], "enabled": true}}'),
        ("POST", "/alarms/replay", f'{{"alarm": {{{ALARM}, "AlarmActions": ["{HALF}"]}}}}'),
        ("POST", "/detectors", f'{{"id": "{HALF}"}}'),
        ("POST", "/metrics", f'{{"Namespace": "{HALF}", "MetricData": []}}'),
        ("POST", "/transform-jobs", f'{{"name": "{HALF}"}}'),
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
        ("token", "revoke", "a\udcff"),
    ):
        found = server.cli(*words)

        assert (found.returncode, "surrogate" in found.stderr) == (2, True), found.stderr


def test_a_stored_row_with_half_a_character_does_not_hide_the_others(server: Guarded) -> None:
    with sqlite3.connect(server.folder / "store" / "driftline.db") as database:
        database.execute(
            "INSERT INTO access_tokens (name, digest, roles, endpoints, created_by, created_at) "
            "VALUES ('bad', 'x', '[\"viewer\"]', ?, 'me', '2026-01-01 00:00:00')",
            (f'["a{HALF}b"]',),
        )
        database.execute(
            "INSERT INTO access_audit (at, subject, via, action, target, after) "
            "VALUES ('2026-01-01 00:00:00', 'me', 'token', 'create', 'Token/bad', ?)",
            (f'{{"endpoints": ["a{HALF}b"]}}',),
        )
    database.close()

    listed = server.ask("GET", "/api/v1/tokens").json()["items"]
    assert "bad" in [one["name"] for one in listed]
    assert "bad" in server.done("token", "list")
    noted = server.ask("GET", "/api/v1/audit").json()["items"]
    assert "Token/bad" in [one["target"] for one in noted]
    assert "Token/bad" in server.done("audit")
