"""The definition of a recommendation job: `driftline recommend` on a declared model."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from driftline.serving.jobs.store import JobKind, JobName
from driftline.serving.resources.spec import Spec

LONGEST_S = 18_000  # The longest that SageMaker lets such a job run.
_Users = Annotated[int, Field(ge=1, le=1000)]


class LoadPhase(Spec):
    """A span of load: the users at its start, and how many come in a minute."""

    users: _Users
    spawn_per_minute: Annotated[int, Field(ge=0, le=10_000)] = 0
    seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0


class ServerlessForm(Spec):
    """A serverless variant to try."""

    memory_size_in_mb: Annotated[int, Field(ge=1024, le=6144)]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]


class RecommendationJobSpec(Spec):
    """What `driftline recommend` takes, for a declared model."""

    kind: ClassVar[JobKind] = "recommendation"
    job_name: JobName
    model_name: str
    sample: str  # Rows, capture files, or an archive (.tar.gz) of bodies.
    content_type: str = "text/csv"  # Of the bodies of an archive.
    exclude: tuple[str, ...] = ()
    rows: Annotated[int, Field(ge=1, le=100_000)] = 1
    phases: Annotated[tuple[LoadPhase, ...], Field(max_length=100)] = ()  # None: the usual ladder.
    repetitions: Annotated[int, Field(ge=1, le=10)] = 3
    cores: Annotated[int, Field(ge=1, le=64)] | None = None
    max_p95_ms: Annotated[float, Field(gt=0)] | None = None
    enough_per_minute: Annotated[float, Field(gt=0)] | None = None
    max_tests: Annotated[int, Field(ge=1)] | None = None
    instance_types: tuple[str, ...] = ()  # Machines of the price table; none: all.
    serverless: list[ServerlessForm] | None = None  # None: as the command tries it.
    real_time: bool = True
    max_runtime_in_seconds: Annotated[int, Field(ge=1, le=LONGEST_S)] = LONGEST_S
    output: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name

    @property
    def places(self) -> list[str]:
        """Where the sample is."""
        return [self.sample]

    def asked(self) -> tuple[Literal["Model"], str]:
        """Return what is measured."""
        return "Model", self.model_name


# What was measured of a configuration, as `driftline recommend --json` has it; the best is first.
Results = list[dict[str, Any]]
