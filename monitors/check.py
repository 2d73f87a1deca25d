"""``driftline.check``: data against a baseline, whatever the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING

from driftline.baseline.analyzer import open_texts
from driftline.baseline.engine import Engine, InProcess, open_engine
from driftline.baseline.outcomes import Outcomes, held_classes, outcome_classes
from driftline.baseline.pairing import require_positives
from driftline.baseline.schema import find_column
from driftline.baseline.store import Baseline
from driftline.classes import known_classes, merged_classes
from driftline.errors import InputError
from driftline.formats.source import Source, open_source
from driftline.monitors.check_context import CheckContext, Compat, Predictor
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kind import Kind
from driftline.monitors.kinds.catalog import QUALITY, asked_kind, settle_roles
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows
from driftline.monitors.rules.reach import EVERYTHING
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.ruleset import RuleSet
from driftline.roles import Roles
from driftline.signature import Signature

if TYPE_CHECKING:
    from driftline.monitors.kinds.attribution.time_limit import TimeLimit
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric


def check(
    data: object,
    reference: Baseline | str | PathLike[str],
    *,
    kind: str | None = None,
    budget: Budget | None = None,
    predict: Predictor | None = None,
    time_limit: object = None,
    engine: str | Engine = "local",
    jobs: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    compat: Compat | bool | None = None,
    rules: object = None,
    checks: Sequence[Callable[..., object] | str] | None = None,
    segments: Sequence[str] | None = None,
    metrics: object = None,
    costs: object = None,
    preprocess: str | PathLike[str] | None = None,
    postprocess: str | PathLike[str] | None = None,
    **roles: object,
) -> Report:
    """Judge data against a baseline.

    Parameters
    ----------
    data
        Data frame (pandas, polars, Arrow), path, glob, folder, or an opened source.
    reference
        A baseline, or the folder of one, also one that SageMaker wrote.
    kind
        One of the kinds of monitor (docs/monitors.md); when missing, what the baseline is of.
    budget
        Accepted false alarms, a `driftline.Budget`; one a year at one check a day when missing.
    predict, time_limit
        Asks the model, for "attribution" (which it implies): such as ``model.predict``; for how
        long, such as ``"5m"``, by which as many rows are explained as it has time for.
    engine, jobs
        Where data quality reads: "local" in so many processes (0: one a core), "dask[:ADDRESS]".
    progress
        Called with rows done and rows in total (None when not known), from 0 for each reading.
    compat
        True to judge as SageMaker does (docs/compat.md); or ``dl.Compat(deequ_ties=True)``.
    rules, checks
        What the data must keep to besides (docs/rules.md): a list of objects and expressions such
        as ``"arrival >= departure"``, or a file; functions over a table, or ``"FILE.py:FUNCTION"``.
    metrics, costs
        What model quality (which they imply) judges besides (docs/monitors.md): functions
        ``f(labels, predictions)``; ``cost`` by prices of answers, ``{"fp": 1, "fn": 10}``.
    segments, preprocess, postprocess
        Columns judged value by value, SageMaker's scripts (docs/scripts-and-segments.md).
    **roles
        As `Baseline.fit` takes them, over what the baseline knows; but ``id=``, ``timestamp=``,
        ``exclude=``, ``categorical=``, ``context=`` and ``weight=`` are settled with it.

    Returns
    -------
    Report
        ``passed`` when nothing is violated; ``decided`` is False when there was too little.

    Raises
    ------
    InputError
        When data or baseline cannot be read, lack what the kind needs, or differ in columns.
    """
    return check_roles(
        data, reference, _named(roles), kind=kind, budget=budget, predict=predict,
        time_limit=time_limit, engine=engine, jobs=jobs, progress=progress, compat=compat,
        rules=rules, checks=checks, segments=segments, metrics=metrics, costs=costs,
        preprocess=preprocess, postprocess=postprocess,
    )  # fmt: skip


def _named(roles: Mapping[str, object]) -> Roles:
    try:
        return Roles.of(**roles)  # type: ignore[arg-type] # Names and kinds are checked there.
    except TypeError as error:
        raise InputError(f"check: {error}") from error


def check_roles(
    data: object,
    reference: Baseline | str | PathLike[str],
    roles: Roles,
    *,
    kind: str | None = None,
    budget: Budget | None = None,
    predict: Predictor | None = None,
    time_limit: object = None,
    engine: str | Engine = "local",
    jobs: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    compat: Compat | bool | None = None,
    rules: object = None,
    checks: Sequence[Callable[..., object] | str] | None = None,
    segments: Sequence[str] | None = None,
    metrics: object = None,
    costs: object = None,
    preprocess: str | PathLike[str] | None = None,
    postprocess: str | PathLike[str] | None = None,
) -> Report:
    """Judge data as `check` does, the roles in one value."""
    baseline = opened_baseline(reference)
    known = baseline.signature if baseline.signature.columns else None
    like = Compat.of(compat)
    declared = read_rules(rules).plus(RuleSet.of_functions(checks)).within(EVERYTHING)
    functions, prices = _quality_extras(metrics, costs)
    is_quality = bool(functions) or prices is not None
    asked = asked_kind(QUALITY if is_quality and kind is None else kind, baseline, predict)
    _refuse_new_columns(roles, baseline, asked)
    _refuse_extras(asked, like, declared, functions, prices)
    # Types of values are judged by their texts.
    as_texts = like is not None and asked.judges_columns
    if preprocess is not None:
        # A heavy import that only a script needs.
        from driftline.baseline.scripting import preprocessed

        data = preprocessed(data, preprocess, signature=known, compat=as_texts)
    read_as = None if known is None else known.as_sent()
    source = open_texts(data, known) if as_texts else open_source(data, signature=read_as)
    place = open_engine(engine, jobs)
    if not asked.judges_columns and not isinstance(place, InProcess):
        raise InputError(
            f'kind "{asked.name}" is read in one process; leave engine and jobs out, or ask for '
            '"data-quality"'
        )
    if asked.judges_columns:  # Which reads none of these: the others miss them by themselves.
        _refuse_unknown(roles, baseline, source.schema.names)
    if (outcomes := baseline.outcomes) is not None and roles.positives:
        source = _with_positives(source, roles, baseline.signature, outcomes)
    context = CheckContext(
        baseline=baseline,
        rows=Rows(source.batches, source.parts, place, progress, source.row_count),
        roles=settle_roles(roles, baseline),
        budget=budget or Budget(),
        predict=predict,
        compat=like,
        rules=declared,
        reach=EVERYTHING,
        segments=None if segments is None else tuple(segments),
        metrics=functions,
        costs=prices,
        time_limit=_time_limit(time_limit, predict),
    )
    report = asked.evaluate(context)
    if postprocess is not None:
        from driftline.monitors.run.record_scripts import postprocess_report

        postprocess_report(report, postprocess)
    return report


def _refuse_extras(
    asked: Kind,
    like: Compat | None,
    rules: RuleSet,
    functions: Sequence[OwnMetric],
    prices: Costs | None,
) -> None:
    """Refuse what the kind would not look at, and what SageMaker does not have."""
    if rules and (not asked.judges_columns or like is not None):
        what = "compat" if asked.judges_columns else f'kind "{asked.name}"'
        raise InputError(
            f'rules with {what}; expected kind "data-quality" without compat, since SageMaker has '
            "no rules"
        )
    if (functions or prices is not None) and (asked.name != QUALITY or like is not None):
        what = "compat" if asked.name == QUALITY else f'kind "{asked.name}"'
        named = "metrics" if functions else "costs"
        raise InputError(f'{named} with {what}; expected kind "{QUALITY}" without compat')


def _quality_extras(metrics: object, costs: object) -> tuple[tuple[OwnMetric, ...], Costs | None]:
    """Read what model quality is asked to measure besides."""
    if metrics is None and costs is None:
        return (), None
    # Heavy imports that only these need.
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.own_metrics import read_metrics

    return read_metrics(metrics), Costs.given(costs)


def _time_limit(given: object, predict: Predictor | None) -> TimeLimit | None:
    if given is None:
        return None
    # A kind's, as those of model quality.
    from driftline.monitors.kinds.attribution.time_limit import TimeLimit

    return TimeLimit.of(given, has_model=predict is not None)


def opened_baseline(reference: object) -> Baseline:
    """Return a baseline, or the one in a folder."""
    if isinstance(reference, Baseline):
        return reference
    if not isinstance(reference, str | PathLike):
        raise InputError(
            f"reference is a {type(reference).__name__}; expected a baseline or the folder of one; "
            "make one with dl.Baseline.fit(…)"
        )
    return Baseline.load(fspath(reference))


def _refuse_new_columns(roles: Roles, baseline: Baseline, kind: Kind) -> None:
    """Refuse what only the making of a baseline can follow, unless the baseline does already."""
    known: dict[str, str] = {column.name: column.role for column in baseline.signature.columns}
    named = [("id", "id", roles.id_column), ("weight", "weight", roles.weight)]
    named += [("excluded", "exclude", name) for name in roles.exclude]
    codes = {column.name for column in baseline.signature.columns if column.type == "string"}
    known |= dict.fromkeys(codes & set(roles.categorical), "categorical")
    named += [("categorical", "categorical", name) for name in roles.categorical]
    if not kind.reads_timestamp:  # That orders the answers by it.
        named += [("timestamp", "timestamp", roles.timestamp)]
    named += [("context", "context", name) for name in roles.context]
    given = dict.fromkeys(baseline.signature.context, "context")
    for role, spelled, name in named:
        if name is not None and (given if role == "context" else known).get(name) != role:
            raise InputError(
                f'{spelled} "{name}": a check judges the columns that its baseline judges; name it '
                f"when the baseline is made (driftline baseline --{spelled}, "
                f"Baseline.fit({spelled}=))"
            )


def _refuse_unknown(roles: Roles, baseline: Baseline, names: Sequence[str]) -> None:
    """Refuse a name that neither the data nor the baseline has."""
    known = [*names, *(column.name for column in baseline.signature.columns)]
    named = [("label", roles.label), ("prediction", roles.prediction), ("group", roles.group)]
    named += [("probability", name) for name in roles.probability]
    named += [("quantile", name) for name in roles.quantile_columns]
    named += [("facet", column) for column in roles.facet_columns]
    for what, name in named:
        if name is not None:
            find_column(name, known, what=what)


def _with_positives(
    source: Source, roles: Roles, signature: Signature, outcomes: Outcomes
) -> Source:
    """Refuse a positive value that neither the data nor the baseline has; else return the data."""
    used = roles.over(outcomes.roles)
    reference = outcome_classes(outcomes)
    answered = [text for column in signature.outputs for text in column.classes or ()]
    others = merged_classes([*answered, *reference, *outcomes.roles.positives])
    is_known = set(known_classes(roles.positives, others)) <= set(others)
    if is_known or not reference or used.problem == "regression":
        return source
    named = {"label": used.label, "prediction": used.prediction}
    columns: dict[str, set[str]] = {
        f'{role} "{name}"': set() for role, name in named.items() if name in source.schema.names
    }
    for batch in source.batches():
        for role, name in named.items():
            columns.get(f'{role} "{name}"', set()).update(held_classes(batch, name))
    # A side with one class, or none, says nothing about how it writes the other.
    may_be_unseen = len(roles.positives) > 1 and any(len(texts) < 2 for texts in columns.values())
    if not may_be_unseen and any(columns.values()):
        require_positives(roles.positives, {**columns, "the reference": reference}, others)
    return source
