"""Running a monitor from a request: its endpoint's signature, its model where it needs one."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from driftline.capture.windows.window import Window
from driftline.errors import UndecidedError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.execution import Execution, run
from driftline.serving.context import ServerContext
from driftline.serving.endpoints import signature_of
from driftline.serving.explain import ModelShelf
from driftline.signature import Signature

__all__ = ["judge_window", "known_signature"]


def judge_window(
    context: ServerContext, shelf: ModelShelf, definition: MonitorDefinition, window: Window
) -> Execution:
    """Judge one window and record the result; the same window and rows are not judged twice."""
    with ExitStack() as stack:
        model = shelf.open(definition.endpoint) if definition.kind == "attribution" else None
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
