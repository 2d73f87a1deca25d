"""Running a monitor from a request: its endpoint's signature, its model where it needs one."""

from __future__ import annotations

from datetime import timedelta

from driftline.baseline.cache import BaselineCache
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.run.execution import Job
from driftline.serving.context import ServerContext
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.resources.endpoints import require_signature


def job_of(
    context: ServerContext, asked: EndpointModels, definition: MonitorDefinition, window: Window
) -> Job:
    """Return what it takes to judge one window, with the model where the kind asks it.

    With another window in its place the job judges that one, by what was loaded for the first.
    """
    is_captured = definition.source is None
    needs_model = definition.kind_value.needs_model
    return Job(
        context.engine,
        context.root,
        definition,
        window,
        now=context.now,
        baselines=BaselineCache().get,
        drift_tests=DriftTestCache(),
        signature=require_signature(context.engine, definition.endpoint) if is_captured else None,
        predict=asked.open(definition.endpoint, definition.variant) if needs_model else None,
        scripts_dir=context.settings.scheduler.scripts_dir,
        commands_dir=context.settings.scheduler.commands_dir,
        retention=timedelta(days=context.settings.capture.retention_days),
        access=context.access,
    )
