"""Running a monitor from a request: its endpoint's signature, its model where it needs one."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from sqlalchemy import Connection, select

from driftline.capture.windows.window import Window
from driftline.errors import UndecidedError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.run.execution import run
from driftline.monitors.tables import executions
from driftline.serving.context import ServerContext
from driftline.serving.hosting.explain import ModelShelf
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import signature_of
from driftline.signature import Signature


def judge_window(
    context: ServerContext, shelf: ModelShelf, definition: MonitorDefinition, window: Window
) -> Execution:
    """Judge one window and record the result; the same window and rows are not judged twice."""
    with ExitStack() as stack:
        needs_model = definition.kind_value.needs_model
        model = shelf.open(definition.endpoint) if needs_model else None
        return run(
            context.engine,
            context.root,
            definition,
            window,
            now=context.now,
            signature=known_signature(context, definition.endpoint),
            predict=None if model is None else stack.enter_context(model),
            scripts_dir=context.scripts_dir,
            retention=timedelta(days=context.retention_days),
        )


def known_signature(context: ServerContext, endpoint: str) -> Signature:
    """Give an endpoint's signature; UndecidedError when it has none."""
    found = signature_of(context.engine, endpoint)
    if found is None:
        raise UndecidedError(f'endpoint "{endpoint}" has no signature; apply it with a baseline')
    return found


def known_monitor(connection: Connection, name: str) -> str:
    """Give the name of a monitor as it is declared, or of one that was deleted and left runs.

    Raises
    ------
    NotFoundError
        When there is none and never was, with the nearest name.
    """
    row = store.find(connection, "Monitor", name)
    if row is None:
        ran = select(executions.c.id).where(executions.c.monitor == name).limit(1)
        if connection.scalar(ran) is not None:
            return name
    return store.get(connection, "Monitor", name).name
