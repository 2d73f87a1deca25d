"""Botocore's models of the services that are served: loaded when first asked for, then kept."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from driftline.errors import UnavailableError

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel

# A value of a type that a model names.
Value = Any

SERVICES = (
    "application-autoscaling", "cloudwatch", "events", "logs", "sagemaker", "sagemaker-metrics",
    "sagemaker-runtime", "sns", "sts",
)  # fmt: skip
MISSING = (
    "this server cannot read requests of AWS's clients: botocore or cbor2 is not installed; "
    "pip install 'driftline[aws]'"
)


class NoModelsError(UnavailableError):
    """The extra is not installed that reads requests of AWS's clients."""


@cache
def service_model(service: str) -> ServiceModel:
    """Return the model of a service; the first call takes up to a second, so not in the loop."""
    try:
        import cbor2  # noqa: F401 - of the same extra
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ImportError:
        raise NoModelsError(MISSING) from None
    found = Loader().load_service_model(service, "service-2")
    return ServiceModel(_without_documentation(found), service)


def operation_model(service: str, operation: str) -> OperationModel | None:
    """Return the model of an operation; None when the service has no such operation."""
    model = service_model(service)
    return model.operation_model(operation) if operation in model.operation_names else None


def _without_documentation(model: dict[str, Any]) -> dict[str, Any]:
    """Leave out the prose, which is most of what a model weighs."""
    for shape in model["shapes"].values():
        shape.pop("documentation", None)
        for member in shape.get("members", {}).values():
            member.pop("documentation", None)
    for operation in model["operations"].values():
        operation.pop("documentation", None)
    return model
