"""A variant of several containers: one is asked by name, or each with the answer before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from driftline.errors import DriftlineError, InputError
from driftline.serving.bodies.media_types import MEDIA_TYPES, BodyForm, answer_form, body_form
from driftline.serving.hosting.admission import Gate, Limits, TimedOutError
from driftline.serving.hosting.child import Reply, UnansweredError
from driftline.serving.hosting.pool import NoWorkerError, Pool
from driftline.serving.resources.worker_spec import WorkerSpec


class Pipeline(Gate):
    """The pools of all containers of a variant, by hostname; lives inside one event loop."""

    def __init__(
        self, name: str, spec: WorkerSpec, limits: Limits, parts: Mapping[str, Pool]
    ) -> None:
        super().__init__(name, spec, limits)
        self.parts = parts

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now; of containers that are named, by one of them."""
        found = [one.is_ready for one in self.parts.values()]
        return all(found) if self.spec.is_serial else any(found)

    @property
    def instance_count(self) -> int:
        """How many workers each container has at least."""
        return min(one.instance_count for one in self.parts.values())

    @property
    def problem(self) -> str | None:
        """The problems of containers without a worker."""
        parts = self.parts.items()
        return (
            "; ".join(f'container "{at}": {one.problem}' for at, one in parts if one.problem)
            or None
        )

    async def start(self) -> None:
        """Start all containers, once, and return when each has a worker."""

        async def start(hostname: str, pool: Pool) -> None:
            try:
                await pool.start()
            except DriftlineError as error:
                raise NoWorkerError(f'container "{hostname}": {error}') from error

        await asyncio.gather(*(start(*one) for one in self.parts.items()))

    def resize(self, limits: Limits) -> None:
        """Take on other limits, for each container."""
        self.limits = limits
        for pool in self.parts.values():
            pool.resize(limits)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all containers; first wait up to ``drain_s`` for requests, open or coming."""
        await self._drain(drain_s)
        await asyncio.gather(*(pool.stop() for pool in self.parts.values()))

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Return the answer of a named container, or of all of them in their order."""
        names = [*self.parts] if target_model is None else [target_model]
        asked: list[tuple[str, float, int]] = []
        with self._opened():
            deadline = self._deadline(timeout_s)
            for name in names:
                pool, is_first, began_s = self.parts[name], name == names[0], time.perf_counter()
                accept = answer if name == names[-1] else ""
                try:
                    if not pool.spec.reads_bodies:
                        # Who asks by the form of a body means its media type.
                        kinds = [
                            MEDIA_TYPES.get(cast("BodyForm", one), one) for one in (form, accept)
                        ]
                        form = body_form(kinds[0])
                        accept = answer_form(kinds[1], form)
                    reply = await pool.invoke(
                        form, accept, body, timeout_s=timeout_s, deadline=deadline
                    )
                except UnansweredError as error:
                    if error.was_asked:
                        status = 504 if isinstance(error, TimedOutError) else 503
                        asked.append((name, time.perf_counter() - began_s, status))
                    error.containers = tuple(asked)
                    raise
                except InputError as error:
                    if is_first:
                        raise
                    message = f"{error}, as the container before answered"
                    reply = Reply(424, "", b"", "model_error", message)
                asked.append((name, time.perf_counter() - began_s, reply.model_status))
                if reply.status != 200:
                    reply = replace(reply, message=f'container "{name}": {reply.message}')
                    if not is_first:  # Only what the first was sent is the caller's.
                        reply = replace(reply, status=424, code="model_error")
                    break
                form, body = reply.media_type, reply.body
        return replace(reply, note={"containers": tuple(asked)})
