"""One call from a fitted model to a monitored endpoint; ``dl.deploy`` and ``driftline deploy``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline.app.client.client import Client
from driftline.errors import ConflictError, InputError
from driftline.loopback import DEFAULT_SERVER
from driftline.roles import Problem, Roles
from driftline.serving.provisioning.deploy import deploy_resources, name_of_file
from driftline.storage import is_remote

if TYPE_CHECKING:
    from driftline.serving.resources.specs import Kind as ResourceKind


def deploy(
    model: object,
    *,
    reference: object = None,
    label: str | None = None,
    name: str | None = None,
    prediction: str | None = None,
    probability: str | Sequence[str] | None = None,
    id: str | None = None,  # noqa: A002 - As the command line and resource files spell it.
    timestamp: str | None = None,
    exclude: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    context: Sequence[str] | None = None,
    problem: Problem | None = None,
    positive: object = None,
    threshold: float | None = None,
    facet: str | Sequence[str] | None = None,
    group: str | None = None,
    weight: str | None = None,
    quantiles: Mapping[float, str] | None = None,
    server: str = DEFAULT_SERVER,
    token: str | None = None,
    id_column: str | None = None,
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
    label, prediction, probability, id, timestamp, exclude, categorical, context, problem,
    positive
        Roles of the reference's columns, as `Baseline.fit` takes them. With label and prediction
        (or probability) the quality of the model is monitored, too.
    threshold
        Above which probability an answer without prediction is positive.
    facet, group
        Groups to compare, such as ``"sex=Female"``: then bias is monitored, too.
    weight, quantiles
        Refused: a model that is served is sent its features alone, and answers one prediction
        (docs/monitors.md).
    server, token
        The server that is to answer, and the token to show it, as `Client` takes them.

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
    roles = Roles.of(
        label=label, prediction=prediction, probability=probability, id=id, id_column=id_column,
        timestamp=timestamp, exclude=exclude, categorical=categorical, context=context,
        problem=problem, positive=positive, threshold=threshold, facet=facet, group=group,
        weight=weight, quantiles=quantiles,
    )  # fmt: skip
    with Client(server, token=token) as client:
        return deploy_by(model, roles, reference=reference, name=name, client=client)


def deploy_by(
    model: object,
    roles: Roles,
    *,
    reference: object = None,
    name: str | None = None,
    client: Client,
) -> dict[str, Any]:
    """Do what `deploy` does, the roles in one value."""
    if roles.weight is not None:
        raise InputError(
            f'weight "{roles.weight}": a model that is served here is sent its features alone, so '
            "that its rows would have no weights; leave it out, or capture an app of your own, "
            "whose requests carry it (docs/your-own-app.md)"
        )
    if roles.quantiles:
        raise InputError(
            f"quantiles {', '.join(roles.quantile_columns)}: a model that is served here answers "
            "one prediction; leave them out, or capture an app of your own, which answers them by "
            "name (docs/your-own-app.md)"
        )
    with tempfile.TemporaryDirectory(prefix="driftline-deploy-") as folder:
        model_file = _model_file(model, Path(folder), name)
        endpoint = name or name_of_file(model_file)
        if not endpoint:
            raise InputError(
                f"model {model_file}: its name gives no endpoint name; expected --name"
            )
        resources = deploy_resources(
            model=str(model_file),
            reference=_reference_file(reference, Path(folder)),
            name=endpoint,
            roles=roles,
        )
        return {**client.apply(resources), "endpoint": endpoint}


def _model_file(model: object, folder: Path, name: str | None) -> Path:
    if isinstance(model, (str, Path)):
        path = Path(model)
        if not path.exists():
            raise InputError(
                f"model {path}: no such file; expected a model file, such as a .skops file"
            )
        return path.resolve()
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
        path = Path(reference)
        if not path.exists():
            raise InputError(f"reference {path}: no such file or folder")
        return str(path.resolve())
    # Imported here: only a data frame needs Arrow in the caller's process.
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "reference.parquet"
    table = reference if isinstance(reference, pa.Table) else pa.table(reference)
    parquet.write_table(table, path)
    return str(path)


# By what an endpoint is made of: the kinds of what may need it, too.
_USERS: Mapping[ResourceKind, tuple[ResourceKind, ...]] = {
    "EndpointConfig": ("Endpoint",),
    "Baseline": ("Endpoint", "Monitor"),
    "Model": ("EndpointConfig", "Endpoint", "Baseline"),
}


def belongings(client: Client, name: str) -> list[tuple[ResourceKind, str]]:
    """Return an endpoint and what exists for it alone, in the order in which it can be deleted.

    Composite alarms on its alarms alone, alarms on it and on its monitors, the monitors, the
    endpoint; then its config, its baseline and its model, unless something else needs them. A
    composite alarm that needs other alarms, too, prevents the deletion.
    """
    endpoint = client.get("Endpoint", name)
    if config := endpoint["spec"].get("config"):
        endpoint["spec"] |= client.get("EndpointConfig", config)["spec"]
    kinds: tuple[ResourceKind, ...] = (
        "Alarm", "Monitor", "Endpoint", "EndpointConfig", "Baseline",
    )  # fmt: skip
    listed = {kind: client.list(kind) for kind in kinds}
    monitors = [one["name"] for one in listed["Monitor"] if _names(one, "endpoint", endpoint)]
    found: list[tuple[ResourceKind, str]] = [
        ("Alarm", alarm["name"])
        for alarm in listed["Alarm"]
        if (on := alarm["spec"]["dimensions"]).get("Endpoint") == endpoint["name"]
        or on.get("MonitoringSchedule") in monitors
    ]
    found = _composites(client, {name for _, name in found}) + found
    needs = {one["name"]: one["spec"].get("depends_on", ()) for one in listed["Monitor"]}
    waiting = {name: [one for one in monitors if name in needs[one]] for name in monitors}
    found += [("Monitor", one) for one in TopologicalSorter(waiting).static_order()]
    found.append(("Endpoint", endpoint["name"]))
    for kind, users in _USERS.items():
        others = [one for user in users for one in listed[user] if (user, one["name"]) not in found]
        needed_elsewhere = {name.casefold() for one in others for name in _needed(one, kind)}
        found += [
            (kind, name)
            for name in dict.fromkeys(_needed(endpoint, kind))
            if name.casefold() not in needed_elsewhere
        ]
    return found


def _needed(resource: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of a kind that a resource cannot be without."""
    named = [resource["spec"].get("config" if kind == "EndpointConfig" else kind.lower())]
    if kind == "Model":
        for key in ("production_variants", "shadow_production_variants"):
            named += [one["model_name"] for one in resource["spec"].get(key, ())]
    return [name for name in named if name is not None]


def _composites(client: Client, alarms: set[str]) -> list[tuple[ResourceKind, str]]:
    """Return the composite alarms on these alarms alone, each before those that it looks at."""
    # Imported here: only this command reads a rule of alarms.
    from driftline.alerts.alarms.rule import Rule, alarm_name

    needed = {}
    for one in client.list("CompositeAlarm"):
        suppressor = one["spec"].get("actions_suppressor")
        names = {*Rule.parse(one["spec"]["alarm_rule"]).names}
        needed[one["name"]] = names | ({alarm_name(suppressor)} if suppressor else set())
    found: list[tuple[ResourceKind, str]] = []
    going = set(alarms)
    while ready := [
        name for name, on in needed.items() if name not in going and on and on <= going
    ]:
        going.update(ready)
        found = [("CompositeAlarm", name) for name in ready] + found
    for name, on in needed.items():
        if name not in going and on & going:
            raise ConflictError(
                f'CompositeAlarm "{name}" needs "{min(on & going)}" and "{min(on - going)}"; leave '
                "the first out of its rule, or delete it, and try again"
            )
    return found


def _names(resource: Mapping[str, Any], key: str, other: Mapping[str, Any]) -> bool:
    """Whether a resource names another one; names differ by more than case."""
    named = resource["spec"].get(key)
    return named is not None and named.lower() == other["name"].lower()
