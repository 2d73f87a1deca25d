"""How an entry of the audit log reads in one line."""

import pytest

from driftline.app.commands.access import _what


@pytest.mark.parametrize(
    ("action", "target", "line"),
    [
        ("update", "Alarm/late flights", "update Alarm/late flights"),
        (
            "POST /api/v1/monitors/{name}/run",
            "/api/v1/monitors/m/run",
            "POST /api/v1/monitors/m/run",
        ),
        (
            "GET /api/v1/x/{name}",
            "/api/v1/x/a\nowner: was -> is",
            "GET /api/v1/x/a owner: was -> is",
        ),
    ],
)
def test_a_request_is_its_method_and_own_path(action: str, target: str, line: str) -> None:
    assert _what(action, target) == line
