"""Running a monitor from a request: its endpoint's signature, its model where it needs one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

from driftline.baseline.cache import BaselineCache
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.run.execution import Job
from driftline.serving.context import ServerContext
from driftline.serving.hosting.model_process import ModelShelf
from driftline.serving.resources.endpoints import require_signature


@contextmanager
def open_job(
    context: ServerContext, shelf: ModelShelf, definition: MonitorDefinition, window: Window
) -> Iterator[Job]:
    """Return what it takes to judge one window, the model opened where the kind asks it.

    With another window in its place the job judges that one, by what was loaded for the first.
    """
    is_captured = definition.source is None
    needs_model = definition.kind_value.needs_model
    model = shelf.open(definition.endpoint, definition.variant) if needs_model else None
    with nullcontext() if model is None else model as predict:
        yield Job(
            context.engine,
            context.root,
            definition,
            window,
            now=context.now,
            baselines=BaselineCache().get,
            drift_tests=DriftTestCache(),
            signature=(
                require_signature(context.engine, definition.endpoint) if is_captured else None
            ),
            predict=predict,
            scripts_dir=context.settings.scheduler.scripts_dir,
            commands_dir=context.settings.scheduler.commands_dir,
            retention=timedelta(days=context.settings.capture.retention_days),
            access=context.access,
        )
