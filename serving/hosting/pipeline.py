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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from driftline.errors import DriftlineError, InputError
from driftline.serving.bodies.media_types import MEDIA_TYPES, BodyForm, answer_form, body_form
from driftline.serving.hosting.admission import Gate, Limits, TimedOutError
from driftline.serving.hosting.child import Launch, Reply, UnansweredError
from driftline.serving.hosting.pool import Pool


@dataclass(frozen=True, slots=True)
class Container:
    """One container, its workers, and whether it takes bodies of any type as they come."""

    hostname: str
    pool: Pool
    reads_bodies: bool


class Pipeline(Gate):
    """The pools of all containers of a variant; lives inside one event loop."""

    def __init__(
        self, name: str, launch: Launch, limits: Limits, containers: Iterable[Container]
    ) -> None:
        super().__init__(name, launch, limits)
        self._containers = {one.hostname: one for one in containers}

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now; of containers that are named, by one of them."""
        found = [one.is_ready for one in self.parts.values()]
        return all(found) if self.launch.is_serial else any(found)

    @property
    def parts(self) -> Mapping[str, Pool]:
        """The pools of its containers, by hostname."""
        return {hostname: one.pool for hostname, one in self._containers.items()}

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
            async with asyncio.TaskGroup() as starts:
                for hostname, pool in self.parts.items():
                    starts.create_task(_start(hostname, pool))
        except BaseExceptionGroup as errors:
            await self.stop()
            raise errors.exceptions[0] from None
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
        return await stage.pool.invoke(form, answer, body, timeout_s=timeout_s, deadline=deadline)


async def _start(hostname: str, pool: Pool) -> None:
    try:
        await pool.start()
    except DriftlineError as error:
        raise type(error)(f'container "{hostname}": {error}') from error


def _media_type(form: str) -> str:
    """Return the media type that a form stands for."""
    return MEDIA_TYPES.get(cast("BodyForm", form), form)


def _refusal(message: str) -> Reply:
    return Reply(424, "", b"", "model_error", message)


def _named(reply: Reply, hostname: str, *, is_first: bool) -> Reply:
    """Name the container that refused; only what the first was sent is the caller's."""
    message = f'container "{hostname}": {reply.message}'
    found = reply if is_first else _refusal(message)
    return replace(found, message=message, original=reply.original)
