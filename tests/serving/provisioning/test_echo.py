"""What clients of AWS said is shown again as long as its resource exists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from driftline.serving.resources import echo


def test_what_was_said_goes_with_its_resource(shared: Any, trained: Any, declare: Any) -> None:
    model = declare("Model", "echoed", path=str(trained.file))
    assert shared.apply(model).status_code == 200
    said = {
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/r",
        "At": datetime(2026, 1, 1, tzinfo=UTC),
    }
    with shared.engine.begin() as connection:
        echo.put(connection, "Model", "Echoed", {"Tags": []})
        echo.put(connection, "Model", "echoed", said)

    def kept() -> Any:
        with shared.engine.connect() as connection:
            return echo.get(connection, "Model", "ECHOED")

    first = kept()
    shared.client.delete("/api/v1/models/echoed")

    shown = {**said, "At": "2026-01-01T00:00:00Z"}
    assert first == shown
    assert kept() == {}
