"""The forms of an Endpoint, of its variants, and of the configuration that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from driftline.serving.resources.deployment_specs import DeploymentConfig
from driftline.serving.resources.spec import Name, Spec, field_of, require_distinct


class ServerlessConfig(Spec):
    """Makes a variant one without workers at rest: requests start them, idle ones end."""

    # That each worker may use, 1024 to 6144 in steps of 1024; requests that it answers at once.
    memory_size_in_mb: Annotated[int, Field(ge=1024, le=6144, multiple_of=1024)]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]
    # Workers that run all the time; left out: none.
    provisioned_concurrency: Annotated[int, Field(ge=1, le=200)] | None = None

    @model_validator(mode="after")
    def _require_room(self) -> Self:
        if (self.provisioned_concurrency or 0) > self.max_concurrency:
            raise ValueError("expected provisioned_concurrency of at most max_concurrency")
        return self


INSTANCES_MAX = 64
InstanceCount = Annotated[int, Field(ge=1, le=INSTANCES_MAX)]


class _Variant(Spec):
    variant_name: Name
    model_name: str
    # Its share is its weight divided by the sum of all; with 0 it answers who names it.
    initial_variant_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


class Instances(_Variant):
    """One model behind an endpoint with workers that run all the time, and its share."""

    # Left out: the server's setting.
    initial_instance_count: InstanceCount | None = None


class Serverless(_Variant):
    """One model behind an endpoint whose workers start with requests, and its share."""

    serverless_config: ServerlessConfig


Variant = Annotated[
    Annotated[Instances, Tag("<instances>")] | Annotated[Serverless, Tag("<serverless>")],
    Discriminator(
        lambda given: (
            "<instances>" if field_of(given, "serverless_config") is None else "<serverless>"
        )
    ),
]


class NotificationConfig(Spec):
    """Channels that are told of asynchronous answers, and of those that failed."""

    success_topic: str | None = None
    error_topic: str | None = None


class AsyncOutputConfig(Spec):
    """Folders or URIs of asynchronous answers."""

    s3_output_path: str
    s3_failure_path: str | None = None
    notification_config: NotificationConfig = NotificationConfig()


class AsyncClientConfig(Spec):
    """How many asynchronous invocations a server has under way for each worker."""

    max_concurrent_invocations_per_instance: Annotated[int, Field(ge=1, le=1000)] = 4


class AsyncInferenceConfig(Spec):
    """Makes an endpoint one that answers later: requests wait in a queue, answers are files."""

    output_config: AsyncOutputConfig
    client_config: AsyncClientConfig = AsyncClientConfig()


class EndpointConfigSpec(Spec):
    """Which models answer for an endpoint, and how; endpoints name it, nothing changes it."""

    production_variants: Annotated[list[Variant], Field(min_length=1, max_length=10)]
    # Asked copies of the requests, of the share that its weight is of the production variant's.
    shadow_production_variants: Annotated[list[Instances], Field(max_length=1)] = []
    # Left out: all requests.
    sampling_percentage: Annotated[float, Field(ge=0, le=100)] | None = None
    async_inference_config: AsyncInferenceConfig | None = None

    @model_validator(mode="after")
    def _require_shares(self) -> Self:
        """Refuse variants of one name, and a shadow whose share could not be told."""
        variants, shadows = self.production_variants, self.shadow_production_variants
        require_distinct("variant_name", [one.variant_name for one in (*variants, *shadows)])
        if len(variants) > 1 and (shadows or self.async_inference_config is not None):
            raise ValueError("expected one variant beside a shadow, or to answer asynchronously")
        weight = variants[0].initial_variant_weight
        if any(not weight or one.initial_variant_weight > weight for one in shadows):
            raise ValueError(
                "the share that is mirrored is initial_variant_weight of the shadow divided by "
                "that of the variant; expected 0 to 1"
            )
        return self


class _Endpoint(Spec):
    baseline: str | None = None
    signature: dict[str, Any] | None = None
    trust_event_time: bool = False

    @model_validator(mode="after")
    def _require_one_signature(self) -> Self:
        if self.baseline is not None and self.signature is not None:
            raise ValueError("baseline and signature are both given; expected one of them")
        return self


class ExternalEndpoint(_Endpoint):
    """The name under which the requests of an app of one's own are captured."""

    @model_validator(mode="after")
    def _require_signature(self) -> Self:
        if self.baseline is None and self.signature is None:
            raise ValueError("expected a model, production_variants, config, baseline or signature")
        return self


class _Deployed(_Endpoint):
    # How a change of what answers comes into service; left out: at once, when it is loaded.
    deployment_config: DeploymentConfig | None = None
    # Whether a change keeps the counts, weights and sampling that are in force, which autoscaling
    # and people may have set since; and which of them are those that are declared all the same.
    retain_all_variant_properties: bool = False
    exclude_retained_variant_properties: list[
        Literal["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"]
    ] = []


class ServedEndpoint(_Deployed, EndpointConfigSpec):
    """A name whose requests are answered by models, and captured."""

    @model_validator(mode="before")
    @classmethod
    def _read_short_form(cls, given: object) -> object:
        """Write the short form of a single variant as what it stands for."""
        if not isinstance(given, Mapping) or given.get("model") is None:
            return given
        if given.get("production_variants"):
            raise ValueError("model beside production_variants; expected one of them")
        names = {"model": "model_name", "variant": "variant_name"}
        short = ("model", "variant", "initial_instance_count", "serverless_config")
        variant = {names.get(key, key): given[key] for key in short if given.get(key) is not None}
        rest = {key: value for key, value in given.items() if key not in short}
        return {**rest, "production_variants": [{"variant_name": "AllTraffic", **variant}]}


class ConfiguredEndpoint(_Deployed):
    """An endpoint that an EndpointConfig says the models of."""

    config: str


class ResolvedEndpoint(ServedEndpoint):
    """What a `ConfiguredEndpoint` is stored as: with the fields of its config."""

    config: str

    @classmethod
    def of(cls, spec: ConfiguredEndpoint, config: Mapping[str, Any]) -> Self:
        """Add the fields of a config, as it is stored, to an endpoint that names it."""
        return cls.model_validate({**config, **dict(spec)})


def _endpoint_form(given: object) -> str:
    if field_of(given, "config") is not None:
        return "<config>"
    is_served = any(field_of(given, key) is not None for key in ("model", "production_variants"))
    return "<served>" if is_served else "<external>"


Endpoint = Annotated[
    Annotated[ServedEndpoint, Tag("<served>")]
    | Annotated[ConfiguredEndpoint, Tag("<config>")]
    | Annotated[ExternalEndpoint, Tag("<external>")],
    Discriminator(_endpoint_form),
]


def variants_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of a stored endpoint's production variants; none without a model."""
    return list(spec.get("production_variants", ()))


def variants_and_shadows(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fields of all that a stored endpoint has served, production variants first."""
    return [*variants_of(spec), *spec.get("shadow_production_variants", ())]
