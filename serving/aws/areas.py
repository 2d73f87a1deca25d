"""All areas of AWS's operations: to import them registers them."""

# ruff: noqa: F401
from driftline.serving.aws import (
    cloudwatch,
    cloudwatch_alarms,
    cloudwatch_dashboards,
    cloudwatch_mute_rules,
    identity,
    logs,
    monitoring_definitions,
    sagemaker_hosting,
    sagemaker_jobs,
    sagemaker_monitoring,
    scaling,
    sns,
    tags,
)
