"""The kind of a baseline, and the documents that each kind suggests for it."""

from __future__ import annotations

import json
from dataclasses import replace
from os import PathLike

from driftline.baseline.constraints import Constraints
from driftline.baseline.outcomes import outcome_classes
from driftline.baseline.positive import require_positive
from driftline.baseline.store import ANALYSIS, NONE, QUALITY_CONSTRAINTS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.formats.frames import is_explanation
from driftline.formats.source import open_source
from driftline.monitors.check_context import Predictor
from driftline.monitors.kind import DEFAULT_KIND, Kind, all_kinds, kind_named
from driftline.monitors.rules.reach import scripts_named
from driftline.roles import Roles

QUALITY = "model-quality"
NO_CONSTRAINTS = Constraints.from_json(NONE)


def kind_of(baseline: Baseline) -> str:
    """Return the kind of a baseline; data quality, if possible."""
    if baseline.constraints.features or not baseline.documents:
        return DEFAULT_KIND
    return next(iter(_documented(baseline)), "bias")


def _documented(baseline: Baseline) -> list[str]:
    """Return the kinds of a baseline's documents besides data quality."""
    analysis = {*json.loads(baseline.documents.get(ANALYSIS, "{}"))}
    found = {
        QUALITY: QUALITY_CONSTRAINTS in baseline.documents,
        "bias": bool(analysis - {"version", "explanations"}),
        "attribution": "explanations" in analysis,
    }
    return [name for name, is_there in found.items() if is_there]


def lacking(kind: Kind, baseline: Baseline) -> str:
    """Return, in words, what a baseline lacks for a kind; "" for nothing."""
    roles = Roles() if baseline.outcomes is None else baseline.outcomes.roles
    if kind.is_deployable is None or kind.is_deployable(roles, False):
        return ""
    return "" if kind.name in _documented(baseline) else kind.needs


def asked_kind(name: str | None, baseline: Baseline, predict: Predictor | None) -> Kind:
    """Return the named kind, else the one of the baseline; InputError if it cannot use `predict`.

    A model, with a baseline that has attributions, selects "attribution".
    """
    is_explained = predict is not None and baseline.attributions is not None
    if name is None:
        name = "attribution" if is_explained else kind_of(baseline)
    kind = kind_named(name)
    if predict is not None and not kind.needs_model:
        raise InputError(
            f'kind "{kind.name}" asks no model; leave the model out, or name the kind '
            '"attribution", with a baseline that was made with a model'
        )
    return kind


def settle_roles(roles: Roles, baseline: Baseline) -> Roles:
    """Return the roles that the caller named, over those that the baseline knows.

    The positive class is named as in the baseline: "1.0" is the class "1", and any of the
    baseline's positive values means all of them.
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


def complete(baseline: Baseline, *, compat: bool = False) -> Baseline:
    """Add the documents of every kind that the reference supports, to be read and edited.

    Documents that came with the baseline stay.
    """
    found: dict[str, str] = {}
    analysis: dict[str, object] = {}
    for kind in all_kinds():
        for name, text in kind.suggest(baseline, compat=compat).items():
            if name == ANALYSIS:
                analysis.update(json.loads(text))  # Bias and attribution share one file.
            else:
                found[name] = text
    if analysis:
        found[ANALYSIS] = json.dumps(analysis, indent=2, ensure_ascii=False) + "\n"
    return replace(baseline, documents={**found, **baseline.documents})


def with_documents(
    baseline: Baseline,
    data: object,
    predict: Predictor | None,
    preprocess: str | PathLike[str] | None = None,
    metrics: object = None,
    costs: object = None,
    compat: bool = False,
) -> Baseline:
    """Return a fitted baseline with the documents of all kinds and the model's attributions.

    Without a model, rows that are attributions already are taken as such. InputError where metrics
    or costs are invalid, or the rows cannot be explained (made by a script, no usable features).
    """
    if metrics is not None or costs is not None:
        baseline = with_quality(baseline, metrics, costs, compat=compat)
    if predict is not None and preprocess is not None:
        raise InputError("predict with preprocess; expected rows as the model takes them")
    if predict is not None or is_explanation(data):
        from driftline.monitors.kinds.attribution.explaining import explain_reference

        explained = explain_reference(open_source(data), baseline, predict)
        return complete(explained, compat=compat)
    return baseline if baseline.outcomes is None else complete(baseline, compat=compat)


def with_quality(
    baseline: Baseline, metrics: object, costs: object = None, *, compat: bool = False
) -> Baseline:
    """Return a baseline whose documents of model quality hold the user's metrics and prices."""
    # Heavy imports that most baselines do without.
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.documents import require_own_names
    from driftline.monitors.kinds.model_quality.evaluation import suggest
    from driftline.monitors.kinds.model_quality.own_metrics import read_metrics

    functions = read_metrics(metrics)
    require_own_names(one.name for one in functions)
    found = suggest(baseline, functions, Costs.given(costs), compat=compat)
    if not found:
        kind = kind_named(QUALITY)
        require_answerable(baseline, kind)
        raise InputError(f"{'costs' if metrics is None else 'metrics'}: {kind.needs}")
    documents = {**baseline.documents, **found}
    return replace(baseline, documents=documents, functions=functions)


def scripts_listed(baseline: Baseline) -> tuple[str, ...]:
    """Return the script files of a baseline's own metrics."""
    text = baseline.documents.get(QUALITY_CONSTRAINTS)
    if text is None or ".py:" not in text:
        return ()
    # A heavy import that windows without such metrics do without.
    from driftline.monitors.kinds.model_quality.documents import read_listed

    try:
        return scripts_named([{"check": one.partition("=")[0]} for one in read_listed(text)])
    except InputError:  # Judging reads the document again, and says what is wrong with it.
        return ()


def save_kind(baseline: Baseline, kind: Kind, folder: str, *, compat: bool = False) -> None:
    """Write the SageMaker documents of one kind, under SageMaker's names, with the signature."""
    if not kind.needs:  # What SageMaker has no document for reads the summaries alone.
        baseline.save(folder)
        return
    suggested = kind.suggest(baseline, compat=compat)
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
        segments=None,
        documents={
            name.rpartition("/")[2]: baseline.documents.get(name, text)
            for name, text in suggested.items()
        },
    )
    only.save(folder)


def require_answerable(baseline: Baseline, kind: Kind) -> None:
    """Refuse a reference without a positive class, where the kind needs one.

    The question is asked now instead of by every window of a monitor.
    """
    outcomes = baseline.outcomes
    if outcomes is None or not (kind.uses_labels and kind.needs):
        return
    is_asked = kind.needs_positive and bool(outcomes.roles.facets)
    if is_asked or outcomes.roles.problem == "binary":
        require_positive(outcome_classes(outcomes), outcomes.roles)
