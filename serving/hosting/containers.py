"""A variant of several containers: one is asked by name, or all of them one after another.

Each container is a model with workers of its own. In a pipeline the answer of one, with its content
type, is the request of the next; an error ends it.

References
----------
SageMaker developer guide, "Host multiple models which use different containers behind one endpoint"
and "Host models along with pre-processing logic as serial inference pipeline".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from driftline.errors import DriftlineError, InputError
from driftline.serving.bodies.media_types import MEDIA_TYPES, answer_form, body_form
from driftline.serving.hosting.child import Launch, Reply, UnansweredError
from driftline.serving.hosting.pool import Limits, Pool, TimedOutError


@dataclass(frozen=True, slots=True)
class Container:
    """One container, its workers, and whether it takes bodies of any type as they come."""

    hostname: str
    pool: Pool
    reads_bodies: bool


class ContainersPool(Pool):
    """The workers of all containers of a variant; lives inside one event loop."""

    def __init__(
        self, name: str, launch: Launch, limits: Limits, containers: Iterable[Container]
    ) -> None:
        super().__init__(name, launch, limits)
        self._containers = {one.hostname: one for one in containers}

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now; of containers that are named, by one of them."""
        found = [one.pool.is_ready for one in self._containers.values()]
        return all(found) if self.launch.is_serial else any(found)

    @property
    def parts(self) -> Mapping[str, Pool]:
        """The pools of its containers, by hostname."""
        return {hostname: one.pool for hostname, one in self._containers.items()}

    @property
    def process_ids(self) -> list[int]:
        """The process numbers of the workers that can answer now."""
        return [one for found in self._containers.values() for one in found.pool.process_ids]

    @property
    def instance_count(self) -> int:
        """How many workers each container has at least."""
        return min(one.pool.instance_count for one in self._containers.values())

    @property
    def problem(self) -> str | None:
        """The problems of containers without a worker."""
        found = (
            f'container "{one.hostname}": {one.pool.problem}'
            for one in self._containers.values()
            if one.pool.problem
        )
        return "; ".join(found) or None

    async def start(self) -> None:
        """Start all containers and return when each has a worker."""
        starts = [asyncio.create_task(self._start(one)) for one in self._containers.values()]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise

    async def _start(self, container: Container) -> None:
        try:
            await container.pool.start()
        except DriftlineError as error:
            raise type(error)(f'container "{container.hostname}": {error}') from error

    def resize(self, limits: Limits) -> None:
        """Take on other limits, for each container."""
        self.limits = limits
        for one in self._containers.values():
            one.pool.resize(limits)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all containers; first wait up to ``drain_s`` for requests, open or coming."""
        await super().stop(drain_s=drain_s)
        await asyncio.gather(*(one.pool.stop() for one in self._containers.values()))

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Return the answer of a named container, or of all of them in their order."""
        found = self._containers
        stages = list(found.values()) if target_model is None else [found[target_model]]
        asked: list[tuple[str, float, int]] = []
        with self._opened():
            deadline = self._deadline(timeout_s)
            for number, stage in enumerate(stages, start=1):
                accept = answer if number == len(stages) else ""
                began_s = time.perf_counter()
                try:
                    reply = await self._asked(stage, form, accept, body, deadline, timeout_s)
                except UnansweredError as error:
                    if error.was_asked:
                        status = 504 if isinstance(error, TimedOutError) else 503
                        asked.append((stage.hostname, time.perf_counter() - began_s, status))
                    error.containers = tuple(asked)
                    raise
                except InputError as error:
                    if number == 1:
                        raise
                    reply = _refusal(f"{error}, as the container before answered")
                asked.append((stage.hostname, time.perf_counter() - began_s, reply.model_status))
                if reply.status != 200:
                    reply = _named(reply, stage.hostname, is_first=number == 1)
                    break
                form, body = reply.media_type, reply.body
        return replace(reply, note={"containers": tuple(asked)})

    async def _asked(
        self,
        stage: Container,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        timeout_s: float | None,
    ) -> Reply:
        if not stage.reads_bodies:
            read_form = body_form(_media_type(form))
            form, answer = read_form, answer_form(_media_type(answer), read_form)
        if asyncio.get_running_loop().time() >= deadline:
            raise self._late(timeout_s or self.limits.timeout_s)
        return await stage.pool.invoke_until(form, answer, body, deadline, timeout_s)


def _media_type(form: Any) -> str:  # noqa: ANN401 - a key, or any text
    """Return the media type that a form stands for."""
    return str(MEDIA_TYPES.get(form, form))


def _refusal(message: str) -> Reply:
    return Reply(424, "", b"", "model_error", message)


def _named(reply: Reply, hostname: str, *, is_first: bool) -> Reply:
    """Name the container that refused; only what the first was sent is the caller's."""
    message = f'container "{hostname}": {reply.message}'
    found = reply if is_first else _refusal(message)
    return replace(found, message=message, original=reply.original)
