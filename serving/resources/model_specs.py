"""The forms of a Model: a file, a program, many files, several containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from driftline.serving.resources.spec import Name, Spec, field_of, require_distinct
from driftline.serving.resources.worker_spec import MAX_BATCH_REQUESTS

SINGLE_MODEL: Literal["SingleModel"] = "SingleModel"
MULTI_MODEL = "MultiModel"
# Modes of several containers: asked one after another, or each by its name.
SERIAL, DIRECT = "Serial", "Direct"
# The variable by which the SageMaker SDK says where it has put the code of a model.
SUBMITTED = "SAGEMAKER_SUBMIT_DIRECTORY"


# A worker's libraries are the installation's own, and what it runs is the model's.
_OURS = frozenset({"PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"})


def _require_theirs(name: str) -> str:
    if name in _OURS or name.startswith("LD_"):
        raise ValueError(f"{name} is the installation's own; expected variables of the model")
    return name


_Variable = Annotated[
    str,
    Field(max_length=1024, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    AfterValidator(_require_theirs),
]
_Value = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$")]


class ContainerSpec(Spec):
    """One of several containers: a declared Model, and the name that requests give it."""

    # Left out of a pipeline's: container-1, container-2, …
    container_hostname: Name | None = None
    model_name: str


class _Model(Spec):
    # Of data, that each worker, or each process of a command, may use; left out: no limit.
    memory_size_in_mb: Annotated[int, Field(ge=16, le=1 << 20)] | None = None


class _Program(_Model):
    # Variables of the workers' environment, which code of models reads; anybody who may look at
    # the Model sees them.
    environment: Annotated[dict[_Variable, _Value], Field(max_length=100)] = {}


class FileModel(_Program):
    """A model of a file or a folder."""

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    trust_pickle: bool | None = None
    # Waiting requests that are predicted together, at most; 1: each by itself.
    max_batch_requests: Annotated[int, Field(ge=1, le=MAX_BATCH_REQUESTS)] = MAX_BATCH_REQUESTS


class ProgramModel(_Program):
    """A program that answers GET /ping and POST /invocations, and the files it answers from."""

    mode: Literal["SingleModel"] = SINGLE_MODEL
    path: str
    # The program and its arguments.
    command: Annotated[list[str], Field(min_length=1, max_length=100)]


class MultiModel(_Program):
    """Many models below a prefix."""

    mode: Literal["MultiModel"]
    # A folder, or a URI of a bucket's, below which the models' files lie.
    model_data_prefix: str
    trust_pickle: bool | None = None
    # What models may take that are in memory, of each worker, and as files on the server's disk.
    memory_limit_mb: Annotated[int, Field(ge=16, le=1 << 20)] = 1024
    disk_limit_mb: Annotated[int, Field(ge=1, le=1 << 24)] = 10_240


class Pipeline(Spec):
    """Several models, asked one after another (Serial) or each by its name (Direct)."""

    mode: Literal["Serial", "Direct"]
    # SageMaker's bounds.
    containers: Annotated[list[ContainerSpec], Field(min_length=2, max_length=15)]

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        names = [one.container_hostname for one in self.containers]
        if None in names and (any(names) or self.mode == DIRECT):
            raise ValueError(
                "containers: expected container_hostname of all; in Serial, or of none"
            )
        require_distinct("container_hostname", filter(None, names))
        return self


def _model_form(given: object) -> str:
    mode = field_of(given, "mode") or SINGLE_MODEL
    is_program = mode == SINGLE_MODEL and field_of(given, "command") is not None
    return f"<{mode} with command>" if is_program else f"<{mode}>"


Model = Annotated[
    Annotated[FileModel, Tag("<SingleModel>")]
    | Annotated[ProgramModel, Tag("<SingleModel with command>")]
    | Annotated[MultiModel, Tag("<MultiModel>")]
    | Annotated[Pipeline, Tag("<Serial>")]
    | Annotated[Pipeline, Tag("<Direct>")],
    Discriminator(_model_form),
]


def containers_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of a stored Model's containers, by hostname, in their order."""
    return {
        one["container_hostname"] or f"container-{number}": one["model_name"]
        for number, one in enumerate(spec.get("containers", ()), start=1)
    }


def environment_of(spec: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the variables of a stored model's workers; its code is in its archive by now."""
    variables = dict(spec.get("environment") or {})
    if spec.get("command") is None and code_apart(variables) is not None:
        del variables[SUBMITTED]
    return tuple(sorted(variables.items()))


def code_apart(environment: Mapping[str, str]) -> str | None:
    """Return where the code of a model lies, if that is apart from its archive."""
    place = environment.get(SUBMITTED, "")
    return place if place.startswith("s3://") else None


def command_of(spec: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the command of a stored model and the bytes that it may use; None for neither."""
    command, memory = spec.get("command"), spec["memory_size_in_mb"]
    return None if command is None else tuple(command), None if memory is None else memory << 20
