"""The model that a job asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel

from driftline.errors import InputError
from driftline.serving.context import ServerContext
from driftline.serving.resources.model_specs import command_of, environment_of
from driftline.serving.resources.worker_spec import WorkerSpec


class PinnedModel(BaseModel):
    """A declared model as it was at one moment; later ones change nothing."""

    name: str
    file: str  # Relative to the storage root.
    digest: str
    trust_pickle: bool
    description: Mapping[str, Any]
    environment: tuple[tuple[str, str], ...]  # Of its process.
    positive: str | None = None  # The class whose probability it answers, of two.
    signature: str | None = None  # An endpoint's, by which records are read.

    @classmethod
    def of(cls, name: str, made: Mapping[str, Any], **more: str | None) -> Self:
        """Return a model by what it was made of; refuse one that is none by itself."""
        if "file" not in made:
            raise InputError(f'model "{name}" stands for many models; expected one by itself')
        if command_of(made["spec"])[0] is not None:
            raise InputError(f'model "{name}" is a command; expected one of a file or folder')
        # What else it was made of is left out.
        return cls.model_validate(
            {**made, "name": name, "environment": environment_of(made["spec"]), **more}
        )

    def worker(self, name: str, context: ServerContext) -> WorkerSpec:
        """Return what its process is started with; ``name``: for the log."""
        return WorkerSpec(
            str(context.models.fetch(self.file)),
            # What was trusted once may be no more.
            trust_pickle=context.settings.serving.trust_pickle and self.trust_pickle,
            environment=self.environment,
            signature=self.signature,
            positive=self.positive,
            name=name,
        )
