"""What a baseline is of, and the documents that each kind suggests for one."""

from __future__ import annotations

import json
from dataclasses import replace

from driftline.baseline.constraints import Constraints
from driftline.baseline.outcomes import outcome_classes
from driftline.baseline.positive import require_positive
from driftline.baseline.store import ANALYSIS, NONE, QUALITY_CONSTRAINTS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.formats.source import Source
from driftline.monitors.check_context import Predictor
from driftline.monitors.kind import DEFAULT_KIND, Kind, all_kinds, kind_named
from driftline.roles import Roles

NO_CONSTRAINTS = Constraints.from_json(NONE)


def kind_of(baseline: Baseline) -> str:
    """Return the kind that a baseline is of; data quality, if it can be."""
    if baseline.constraints.features or not baseline.documents:
        return DEFAULT_KIND
    if QUALITY_CONSTRAINTS in baseline.documents:
        return "model-quality"
    found = json.loads(baseline.documents.get(ANALYSIS, "{}"))
    return "attribution" if "explanations" in found and len(found) <= 2 else "bias"


def asked_kind(name: str | None, baseline: Baseline, predict: Predictor | None) -> Kind:
    """Return the kind that is named, else the one that the baseline is of.

    A model beside a baseline with attributions asks for these.

    Raises
    ------
    InputError
        When there is a model, which the kind would not ask.
    """
    is_explained = predict is not None and baseline.attributions is not None
    if name is None:
        name = "attribution" if is_explained else kind_of(baseline)
    kind = kind_named(name)
    if predict is not None and not kind.needs_model:
        raise InputError(
            f'kind "{kind.name}" asks no model; leave predict= (--model) out, or name the kind '
            '"attribution", with a baseline that was made with a model'
        )
    return kind


def settle_roles(roles: Roles, baseline: Baseline) -> Roles:
    """Return the roles that the caller named, over those that the baseline knows.

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
    for kind in all_kinds():
        for name, text in kind.suggest(baseline).items():
            if name == ANALYSIS:
                analysis.update(json.loads(text))  # Bias and attribution share one file.
            else:
                found[name] = text
    if analysis:
        found[ANALYSIS] = json.dumps(analysis, indent=2, ensure_ascii=False) + "\n"
    return replace(baseline, documents={**found, **baseline.documents})


def with_analysis(baseline: Baseline, rows: Source | None, predict: Predictor | None) -> Baseline:
    """Return a fitted baseline with Clarify's document, and with attributions if a model is given.

    Raises
    ------
    InputError
        When the rows hold nothing that the model can be asked about.
    """
    if rows is not None and predict is not None:
        from driftline.monitors.kinds.attribution.explaining import explain_reference

        baseline = explain_reference(rows, baseline, predict)
    found = complete(baseline).documents.get(ANALYSIS)
    documents = {} if found is None else {ANALYSIS: found}
    return replace(baseline, documents={**documents, **baseline.documents})


def save_kind(baseline: Baseline, kind: Kind, folder: str) -> None:
    """Write a folder with the SageMaker documents of one kind, under SageMaker's names.

    Beside them lie the signature and what the reference's numbers rest on.
    """
    if not kind.needs:  # What SageMaker has no document for reads the summaries alone.
        baseline.save(folder)
        return
    suggested = kind.suggest(baseline)
    if not suggested:
        require_answerable(baseline, kind)
        raise InputError(f"{kind.name}: {kind.needs}")
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


def require_answerable(baseline: Baseline, kind: Kind) -> None:
    """Ask which class is positive, where the kind has to know it and the reference does not tell.

    Raises
    ------
    InputError
        With the question that every window of a monitor would fail with.
    """
    outcomes = baseline.outcomes
    asks = kind.uses_labels and kind.needs
    if asks and outcomes is not None and outcomes.roles.problem == "binary":
        require_positive(outcome_classes(outcomes), outcomes.roles, outcomes.table)
