"""Calls about a monitor's executions: their list, their reports, the rows behind violations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from driftline.app.client.connection import ServerCalls, in_path, refusal
from driftline.errors import UnavailableError


class ExecutionCalls(ServerCalls):
    """What can be asked of executions."""

    def executions(self, monitor: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """List the executions of a monitor, newest window first."""
        return self._items("monitors", monitor, "executions", limit=limit)

    def report(self, execution: str) -> dict[str, Any]:
        """Give the report of an execution: violations, features, segments."""
        return self._get("executions", execution, "report")

    def first_rows(self, execution: str, violation: int = 0, *, limit: int = 50) -> dict[str, Any]:
        """Give the first rows behind a violation: ``columns``, and ``rows`` as objects."""
        return self._get("executions", execution, "rows", violation=violation, limit=limit)

    def violation_rows(
        self, execution: str, violation: int | None = None, *, form: str = "csv"
    ) -> Iterator[bytes]:
        """Give all rows behind a violation, by its place in the report, as a file in pieces.

        Parameters
        ----------
        violation
            None: the rows behind any that alarms.
        form
            "csv" or "parquet".
        """
        which = "" if violation is None else f"/{violation}"
        path = f"/api/v1/executions/{in_path(execution)}/violations{which}/rows"
        try:
            with self._http.stream("GET", path, params={"format": form}) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self.server} broke off ({error}); ask again") from error
