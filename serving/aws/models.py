"""Botocore's models of the services that are served: loaded when first asked for, then kept."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from driftline.errors import UnavailableError

if TYPE_CHECKING:
    from botocore.model import ServiceModel

# A value of a type that a model names.
Value = Any

# By what the protocols name them: the header X-Amz-Target or a path of CBOR, and Version of a form.
# SageMaker Metrics is named by its paths alone.
TARGETS = {
    "AnyScaleFrontendService": "application-autoscaling",
    "GraniteServiceVersion20100801": "cloudwatch",
    "Logs_20140328": "logs",
    "SageMaker": "sagemaker",
    "SageMakerMetrics": "sagemaker-metrics",
}
VERSIONS = {"2010-03-31": "sns", "2010-08-01": "cloudwatch", "2011-06-15": "sts"}
SERVICES = tuple(sorted({*TARGETS.values(), *VERSIONS.values()}))


class NoModelsError(UnavailableError):
    """The extra is not installed that reads requests of AWS's clients."""

    def __init__(self) -> None:
        super().__init__(
            "this server cannot read requests of AWS's clients: botocore or cbor2 is not "
            "installed; pip install 'driftline[aws]'"
        )


@cache
def service_model(service: str) -> ServiceModel:
    """Return the model of a service; the first call takes a moment, so not in the loop."""
    try:
        import cbor2  # noqa: F401 - of the same extra
        from botocore.loaders import Loader
        from botocore.model import ServiceModel
    except ImportError:
        raise NoModelsError from None
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)
