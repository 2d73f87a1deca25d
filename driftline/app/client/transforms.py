"""What a client can ask of transform jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.app.client.connection import Json
from driftline.app.client.operation_calls import OperationCalls

if TYPE_CHECKING:
    from driftline.serving.transform.definition import JobStatus


class TransformCalls(OperationCalls):
    """Calls about transform jobs: files scored by a model in the background."""

    def create_transform_job(self, spec: Mapping[str, Any]) -> Json:
        """Have the server score files; gives the job as it begins.

        Parameters
        ----------
        spec
            CreateTransformJob's fields in snake case, and ``endpoint_name`` in place of
            ``model_name`` to score as an endpoint does.
        """
        return self._post("transform-jobs", body=dict(spec))

    def transform_jobs(
        self,
        *,
        status: JobStatus | None = None,
        name_contains: str | None = None,
        limit: int | None = 100,
    ) -> list[Json]:
        """List transform jobs, the newest first.

        Parameters
        ----------
        status
            Only those of a status, such as "InProgress".
        name_contains
            Only names with this text.
        limit
            So many at most; None: all.
        """
        return self._items(
            "transform-jobs", limit=limit, status=status, name_contains=name_contains
        )

    def transform_job(self, name: str) -> Json:
        """Return a transform job: what it was asked, its status, and how far it is."""
        return self._get("transform-jobs", name)

    def stop_transform_job(self, name: str) -> Json:
        """Stop a transform job; outputs that are whole stay."""
        return self._post("transform-jobs", name, "stop")
