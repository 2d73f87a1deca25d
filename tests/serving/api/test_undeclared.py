"""Names that nobody declared, while the storage cannot be listed."""

from pathlib import Path
from typing import Any

import pytest

from driftline.errors import ConflictError, UnavailableError
from driftline.serving.api import undeclared
from driftline.serving.api.undeclared import UndeclaredEndpoints


def test_while_the_storage_is_away_records_are_taken_within_the_limit(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_root: str) -> list[str]:
        raise UnavailableError("storage s3://models: does not answer")

    with start(tmp_path, max_undeclared_endpoints=2) as server:
        monkeypatch.setattr(undeclared, "list_endpoints", away)
        endpoints = UndeclaredEndpoints(server.context)

        for name in ("first", "second", "first"):
            endpoints.admit(name)
        with pytest.raises(ConflictError, match="third"):
            endpoints.admit("third")


def test_the_storage_is_listed_once_for_many_names(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(undeclared, "list_endpoints", lambda root: asked.append(root) or [])
    with start(tmp_path, max_undeclared_endpoints=0) as server:
        endpoints = UndeclaredEndpoints(server.context, monotonic=lambda: 1000.0)

        for number in range(10):
            with pytest.raises(ConflictError):
                endpoints.admit(f"name-{number}")

    assert (len(asked), endpoints.counters) == (1, {"refused": 10})
