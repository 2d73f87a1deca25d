"""All areas of AWS's operations: to import them registers them."""

# ruff: noqa: F401
from driftline.serving.aws import (
    identity,
    sagemaker_hosting,
    scaling,
    tags,
)
