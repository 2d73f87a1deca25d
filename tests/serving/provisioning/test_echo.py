"""What clients of AWS said is shown again as long as its resource exists."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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

    shown = {**said, "Tags": [], "At": "2026-01-01T00:00:00Z"}
    assert first == shown
    assert kept() == {}


def test_tags_that_are_added_at_once_are_all_kept(shared: Any, trained: Any, declare: Any) -> None:
    shared.must_apply(declare("Model", "tagged", path=str(trained.file)))
    path, count = "/api/v1/aws-tags/Model/tagged", 24

    def add(number: int) -> int:
        answer = shared.client.post(path, json={"add": {f"key-{number}": "x"}})
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as threads:
        assert {*threads.map(add, range(count))} == {200}
    assert len(shared.client.get(path).json()) == count
