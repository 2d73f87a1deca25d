"""The definition of a recommendation job: `driftline recommend` on a declared model."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from driftline.serving.jobs.store import JobKind, JobName
from driftline.serving.resources.spec import Spec

_USERS_MAX = 500  # Each has a connection.
LONGEST_S = 18_000  # The longest that SageMaker lets such a job run.


class LoadPhase(Spec):
    """A span of load: the users at its start, and how many come in a minute."""

    users: Annotated[int, Field(ge=1)]
    spawn_per_minute: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.users + self.spawn_per_minute * self.seconds / 60 > _USERS_MAX:
            raise ValueError(f"expected at most {_USERS_MAX} users at the end of a phase")
        return self


class RecommendationJobSpec(Spec):
    """What `driftline recommend` takes, for a declared model."""

    kind: ClassVar[JobKind] = "recommendation"
    job_name: JobName
    model_name: str
    sample: str  # Rows, capture files, or an archive (.tar.gz) of bodies.
    content_type: str = "text/csv"  # Of the bodies of an archive.
    phases: Annotated[tuple[LoadPhase, ...], Field(max_length=100)] = ()  # None: the usual ladder.
    max_p95_ms: Annotated[float, Field(gt=0)] | None = None
    max_tests: Annotated[int, Field(ge=1)] | None = None
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
