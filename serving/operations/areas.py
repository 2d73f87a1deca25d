"""All areas of operations: to import them registers them."""

# ruff: noqa: F401
from driftline.serving.operations import (
    access,
    alarms,
    baselines,
    captures,
    detectors,
    erasures,
    executions,
    invocations,
    labels,
    logs,
    metrics,
    monitors,
    notifications,
    resources,
    server,
    transfer,
    transform_jobs,
)
