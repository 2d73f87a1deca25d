"""All areas of operations: to import them registers them."""

# ruff: noqa: F401
from driftline.serving.operations import (
    access,
    alarms,
    baselines,
    captures,
    deployments,
    invocations,
    jobs,
    labels,
    metrics,
    monitors,
    notifications,
    resources,
    scaling,
    server,
    tags,
    variants,
)
