"""A variant of several containers: pools of which one is asked by name, or all in turn.

In turn the answer of one, with its content type, is the request of the next; an error ends it.

References
----------
SageMaker developer guide, "Host multiple models which use different containers behind one endpoint"
and "Host models along with pre-processing logic as serial inference pipeline".
"""

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
from driftline.serving.hosting.pool import Pool
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
        found = (
            f'container "{hostname}": {pool.problem}'
            for hostname, pool in self.parts.items()
            if pool.problem
        )
        return "; ".join(found) or None

    async def start(self) -> None:
        """Start all containers and return when each has a worker."""
        try:
            await asyncio.gather(*(_start(name, pool) for name, pool in self.parts.items()))
        except BaseException:
            await self.stop()
            raise

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
                is_first, accept = name == names[0], answer if name == names[-1] else ""
                began_s = time.perf_counter()
                try:
                    reply = await self._asked(name, form, accept, body, deadline, timeout_s)
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
                    message = f'container "{name}": {reply.message}'
                    if not is_first:  # Only what the first was sent is the caller's.
                        reply = replace(reply, status=424, code="model_error")
                    reply = replace(reply, message=message)
                    break
                form, body = reply.media_type, reply.body
        return replace(reply, note={"containers": tuple(asked)})

    async def _asked(
        self,
        name: str,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        timeout_s: float | None,
    ) -> Reply:
        pool = self.parts[name]
        if not pool.spec.reads_bodies:
            read_form = body_form(_media_type(form))
            form, answer = read_form, answer_form(_media_type(answer), read_form)
        if asyncio.get_running_loop().time() >= deadline:
            raise self._late(timeout_s or self.limits.timeout_s)
        return await pool.invoke(form, answer, body, timeout_s=timeout_s, deadline=deadline)


async def _start(hostname: str, pool: Pool) -> None:
    try:
        await pool.start()
    except DriftlineError as error:
        raise type(error)(f'container "{hostname}": {error}') from error


def _media_type(form: str) -> str:
    """Return the media type that a form stands for."""
    return MEDIA_TYPES.get(cast("BodyForm", form), form)
