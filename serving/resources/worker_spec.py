"""What a worker process is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftline.formats.body_limits import MAX_REQUEST_ROWS

# The last one in waits for the first one's rows as well.
MAX_BATCH_REQUESTS = 64


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The parameters of a worker process; workers of equal ones are interchangeable."""

    path: str
    trust_pickle: bool = False
    signature: str | None = None  # The endpoint's, as JSON.
    # The class whose probability is answered when there are two; or several names of it.
    positive: str | tuple[str, ...] | None = None
    max_rows: int = MAX_REQUEST_ROWS  # Of one request.
    name: str = ""  # The model's, for the log.
    # Of many models, which lie below ``path``: the memory and the disk that they may take together,
    # and the Description that each has to have.
    many_memory_mb: int | None = None
    many_disk_mb: int = 0
    like: Mapping[str, Any] | None = None
    # A model that is a program: what is run beside the file or folder of ``path``.
    command: tuple[str, ...] | None = None
    trust_commands: bool = False
    environment: tuple[tuple[str, str], ...] = ()  # Names and values of variables.
    reads_bodies: bool = False  # Whether it takes bodies as they come, of whatever type.
    # Of a variant of several containers: what each of them is started with, by its hostname.
    containers: tuple[tuple[str, WorkerSpec], ...] = ()
    is_serial: bool = False  # Whether they are asked one after another.
    container: str = ""  # Its hostname, of one of several.
    max_batch_requests: int = MAX_BATCH_REQUESTS  # That are predicted together.
    memory_bytes: int | None = None  # Of data, of each process of the command or the worker.
    # So that a variant that becomes one, or is one no longer, gets another pool.
    is_serverless: bool = False
