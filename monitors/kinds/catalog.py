"""The kinds of monitor by name: how each judges a window, and what it suggests as a baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import cast

from driftline.baseline.constraints import Constraints
from driftline.baseline.store import ANALYSIS, NONE, QUALITY_CONSTRAINTS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.names import KINDS
from driftline.monitors.report.report import Report
from driftline.roles import Roles

# Where each kind stands. One is imported when it is asked for: a check of data quality shall not
# wait for the packages of the other three.
HOMES = {
    "data-quality": "driftline.monitors.kinds.data_quality.kind",
    "model-quality": "driftline.monitors.kinds.model_quality.kind",
    "bias": "driftline.monitors.kinds.bias.kind",
    "attribution": "driftline.monitors.kinds.attribution.kind",
    "outliers": "driftline.monitors.kinds.outliers.kind",
    "joint": "driftline.monitors.kinds.multivariate.kind",
}
# Where each kind is judged as SageMaker does it.
COMPATIBLE = {"data-quality": "driftline.monitors.sagemaker.kind"}
# The kinds that suggest SageMaker's documents of a reference, besides data quality.
SUGGESTING = ("model-quality", "bias", "attribution")
NO_CONSTRAINTS = Constraints.from_json(NONE)


def examine(kind: str, context: CheckContext) -> Report:
    """Judge a window as its kind does; the kind is one of `KINDS`.

    Raises
    ------
    InputError
        When SageMaker's judgement is asked for of another kind than data quality.
    """
    home = HOMES[kind]
    if context.segments and (kind != "data-quality" or context.compat is not None):
        asked = "compat" if context.compat is not None else f'kind "{kind}"'
        raise InputError(
            f"segments with {asked}; only data-quality, judged our own way, is judged by segment"
        )
    if context.compat is not None:
        if kind not in COMPATIBLE:
            raise InputError(
                f'compat with kind "{kind}"; only data-quality is judged as SageMaker does it'
            )
        home = COMPATIBLE[kind]
    return cast("Report", import_module(home).examine(context))


def _suggest(kind: str, baseline: Baseline) -> Mapping[str, str]:
    """Give SageMaker's documents by file name, as they lie in a baseline of all kinds."""
    return cast("Mapping[str, str]", import_module(HOMES[kind]).suggest(baseline))


def known_kind(text: str) -> str:
    """Return the kind of monitor that a text names, in letters of any size.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    kind = text.strip().casefold().replace("_", "-")
    if kind in KINDS:
        return kind
    hint = "; drift of single columns is data-quality, of several together joint"
    raise InputError(
        f'kind "{text}"; expected one of {", ".join(KINDS)}{hint if "drift" in kind else ""}'
    )


def kind_of(baseline: Baseline) -> str:
    """Say what a baseline is of, when nobody says: data quality, if it can be."""
    if baseline.constraints.features or not baseline.documents:
        return "data-quality"
    if QUALITY_CONSTRAINTS in baseline.documents:
        return "model-quality"
    found = json.loads(baseline.documents.get(ANALYSIS, "{}"))
    return "attribution" if "explanations" in found and len(found) <= 2 else "bias"


def settle_roles(roles: Roles, baseline: Baseline) -> Roles:
    """Give the roles that the caller named, over those that the baseline knows.

    A positive class is named as the baseline names it: "1.0" is the class "1", and any of the
    values that the baseline takes as positive means all of them.
    """
    if baseline.outcomes is None:
        return roles
    own = baseline.outcomes.roles
    known = [one for column in baseline.signature.outputs for one in column.classes or ()]
    if roles.positive is not None:
        named = known_classes(roles.positives, [*known, *own.positives])
        if set(named) <= set(own.positives):
            named = own.positives
        roles = replace(roles, positive=named[0], also_positive=named[1:])
    return roles.over(own)


def complete(baseline: Baseline) -> Baseline:
    """Add the documents of every kind that the reference has what it takes for.

    So they lie in the store, to be read and changed; those that came with the baseline stay.
    """
    found: dict[str, str] = {}
    analysis: dict[str, object] = {}
    for kind in SUGGESTING:
        for name, text in _suggest(kind, baseline).items():
            if name == ANALYSIS:
                analysis.update(json.loads(text))  # Bias and attribution share one file.
            else:
                found[name] = text
    if analysis:
        found[ANALYSIS] = json.dumps(analysis, indent=2, ensure_ascii=False) + "\n"
    return replace(baseline, documents={**found, **baseline.documents})


def save_kind(baseline: Baseline, kind: str, folder: str) -> None:
    """Write a folder with the SageMaker documents of one kind, under SageMaker's names.

    Beside them lie the signature and what the reference's numbers rest on.

    Raises
    ------
    InputError
        When the reference lacks what the kind needs.
    """
    if kind not in SUGGESTING:  # What SageMaker has no document for reads the summaries alone.
        baseline.save(folder)
        return
    suggested = _suggest(kind, baseline)
    if not suggested:
        raise InputError(f"{kind}: {NEEDED[kind]}")
    only = replace(
        baseline,
        profile=None,
        statistics=None,
        constraints=NO_CONSTRAINTS,
        cells={},
        blocks=None,
        sample=None,
        documents={name.rpartition("/")[2]: text for name, text in suggested.items()},
    )
    only.save(folder)


NEEDED = {
    "model-quality": "the reference needs the true answer and the model's; give --label and "
    "--prediction or --probability",
    "bias": "the reference needs groups to compare and answers; give --facet, and --label or "
    "--prediction",
    "attribution": "the reference needs a model to ask; give --model",
}
