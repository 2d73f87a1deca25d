"""One call from a fitted model to a monitored endpoint; ``dl.deploy`` and ``driftline deploy``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Unpack

from driftline.app.client.client import Client
from driftline.app.drafts import draft_resources, endpoint_name
from driftline.errors import InputError
from driftline.loopback import DEFAULT_SERVER
from driftline.roles import RoleArguments, Roles
from driftline.storage import is_remote


def deploy(
    model: object,
    *,
    reference: object = None,
    name: str | None = None,
    server: str = DEFAULT_SERVER,
    token: str | None = None,
    **roles: Unpack[RoleArguments],
) -> dict[str, Any]:
    """Make endpoint, capture, signature, baseline and monitors of a model in one go.

    Parameters
    ----------
    model
        A model file, or a fitted scikit-learn estimator.
    reference
        The data taken as good: a file, or a pandas data frame. The server must be able to read the
        files; it keeps its own copy of the model.
    name
        Name of the endpoint; by default the model file's name.
    server, token
        The server that is to answer, and the token to show it, as `Client` takes them.
    **roles
        Of the reference's columns, as `Baseline.fit` takes them. With ``label=`` and
        ``prediction=`` (or ``probability=``) the quality of the model is monitored, too; with
        ``facet=``, such as ``"sex=Female"``, bias.

    Returns
    -------
    dict
        The plan that was carried out, with one change for each resource, and ``endpoint``.

    Raises
    ------
    InputError
        When a file or column is not what was said.
    UnavailableError
        When no server answers.
    """
    with Client(server, token=token) as client:
        found = Roles.of(**roles)
        return deploy_by(model, found, reference=reference, name=name, client=client)


def deploy_by(
    model: object,
    roles: Roles,
    *,
    reference: object = None,
    name: str | None = None,
    client: Client,
) -> dict[str, Any]:
    """Do what `deploy` does, the roles in one value."""
    with tempfile.TemporaryDirectory(prefix="driftline-deploy-") as folder:
        model_file = _model_file(model, Path(folder), name)
        endpoint = endpoint_name(model_file, name)
        data = _reference_file(reference, Path(folder))
        resources = draft_resources(endpoint, roles, model=str(model_file), reference=data)
        return {**client.apply(resources), "endpoint": endpoint}


def _model_file(model: object, folder: Path, name: str | None) -> Path:
    if isinstance(model, (str, Path)):
        return Path(model).resolve()
    if not hasattr(model, "predict"):
        raise InputError(
            f"model of type {type(model).__name__}: expected a file or an estimator with predict"
        )
    if name is None:
        raise InputError("an estimator has no name; expected name=, the name of the endpoint")
    # Imported here: `deploy` of a file needs no scikit-learn in the caller's process.
    import skops.io

    path = folder / f"{name}.skops"
    skops.io.dump(model, path)
    return path


def _reference_file(reference: object, folder: Path) -> str | None:
    if reference is None:
        return None
    if isinstance(reference, str) and is_remote(reference):
        return reference
    if isinstance(reference, (str, Path)):
        return str(Path(reference).resolve())
    # Imported here: only a data frame needs Arrow in the caller's process.
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "reference.parquet"
    table = reference if isinstance(reference, pa.Table) else pa.table(reference)
    parquet.write_table(table, path)
    return str(path)
