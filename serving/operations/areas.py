"""All areas of operations: to import them registers them."""

# ruff: noqa: F401
from driftline.serving.operations import (
    access,
    alarms,
    baselines,
    captures,
    deployments,
    invocations,
    labels,
    metrics,
    monitors,
    notifications,
    processing_jobs,
    resources,
    scaling,
    server,
    tags,
    transform_jobs,
    variants,
)
