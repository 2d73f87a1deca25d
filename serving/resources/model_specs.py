"""The forms of a Model: a file, a program, many files, several containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from driftline.serving.resources.spec import Name, Spec, field_of, require_distinct
from driftline.validation import shown

SINGLE_MODEL: Literal["SingleModel"] = "SingleModel"
MULTI_MODEL = "MultiModel"
# Under which rows of transform jobs are captured.
TRANSFORM_VARIANT = "transform"
# Modes of several containers: asked one after another, or each by its name.
SERIAL, DIRECT = "Serial", "Direct"
MODES = (SINGLE_MODEL, MULTI_MODEL, SERIAL, DIRECT)


class ContainerSpec(Spec):
    """One of several containers: a declared Model, and the name that requests give it."""

    # Left out of a pipeline's: container-1, container-2, …
    container_hostname: Name | None = None
    model_name: str


class _Model(Spec):
    # Of data, that each worker, or each process of a command, may use; left out: no limit.
    memory_size_in_mb: Annotated[int, Field(ge=16, le=1 << 20)] | None = None


class FileModel(_Model):
    """A model of a file or a folder."""

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    trust_pickle: bool | None = None


class ProgramModel(_Model):
    """A program that answers GET /ping and POST /invocations, and the files it answers from."""

    form = " beside command"

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    # The program and its arguments.
    command: Annotated[list[str], Field(min_length=1, max_length=100)]


class MultiModel(_Model):
    """Many models below a prefix."""

    form = f" in mode {MULTI_MODEL}"

    mode: Literal["MultiModel"]
    # A folder, or a URI of a bucket's, below which the models' files lie.
    model_data_prefix: str
    trust_pickle: bool | None = None
    # What models may take that are in memory, of each worker, and as files on the server's disk.
    memory_limit_mb: Annotated[int, Field(ge=16, le=1 << 20)] = 1024
    disk_limit_mb: Annotated[int, Field(ge=1, le=1 << 24)] = 10_240

    @model_validator(mode="after")
    def _require_memory(self) -> Self:
        size, of_models = self.memory_size_in_mb, self.memory_limit_mb
        if size is not None and size <= of_models:
            raise ValueError(
                f"memory_size_in_mb {size} is no more than memory_limit_mb {of_models}, what "
                "models in memory may take; a worker needs more than its models"
            )
        return self


class Pipeline(Spec):
    """Several models, asked one after another (Serial) or each by its name (Direct)."""

    form = " of several containers"

    mode: Literal["Serial", "Direct"]
    # SageMaker's bounds.
    containers: Annotated[list[ContainerSpec], Field(min_length=2, max_length=15)]

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        names = [one.container_hostname for one in self.containers if one.container_hostname]
        lacking = len(self.containers) - len(names)
        if lacking and (names or self.mode == DIRECT):
            wanted = (
                "mode Direct needs it of all" if self.mode == DIRECT else "expected all, or none"
            )
            raise ValueError(f"containers: {lacking} have no container_hostname; {wanted}")
        require_distinct("container_hostname", names)
        return self


def _model_form(given: object) -> str:
    mode = field_of(given, "mode") or SINGLE_MODEL
    if mode != SINGLE_MODEL:
        return f"<{mode}>"
    return "<file>" if field_of(given, "command") is None else "<program>"


def _require_mode(given: object) -> object:
    mode = field_of(given, "mode") or SINGLE_MODEL
    if mode not in MODES:
        raise ValueError(f"mode {shown(mode)}; expected {' or '.join(MODES)}")
    return given


Model = Annotated[
    Annotated[FileModel, Tag("<file>")]
    | Annotated[ProgramModel, Tag("<program>")]
    | Annotated[MultiModel, Tag("<MultiModel>")]
    | Annotated[Pipeline, Tag("<Serial>")]
    | Annotated[Pipeline, Tag("<Direct>")],
    Discriminator(_model_form),
    BeforeValidator(_require_mode),
]


def containers_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of a stored Model's containers, by hostname, in their order."""
    return {
        one["container_hostname"] or f"container-{number}": one["model_name"]
        for number, one in enumerate(spec.get("containers", ()), start=1)
    }


def command_of(spec: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the command of a stored model and the bytes that it may use; None for neither."""
    command, memory = spec.get("command"), spec["memory_size_in_mb"]
    return None if command is None else tuple(command), None if memory is None else memory << 20
