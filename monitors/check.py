"""``driftline.check``: judges data against a baseline; ``check_all``: by several kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Unpack

from driftline.baseline.analyzer import open_texts
from driftline.baseline.engine import Engine, InProcess, open_engine
from driftline.baseline.outcomes import Outcomes, held_classes, outcome_classes
from driftline.baseline.pairing import require_positives
from driftline.baseline.schema import find_column
from driftline.baseline.store import Baseline
from driftline.classes import known_classes, merged_classes
from driftline.errors import InputError
from driftline.formats.source import PART_NAME, Files, Source, open_source
from driftline.monitors.check_context import CheckContext, Predictor
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kind import (
    COMMAND,
    InapplicableKindError,
    Kind,
    all_kinds,
    kind_named,
    kind_names,
)
from driftline.monitors.kinds.catalog import QUALITY, asked_kind, kind_of, settle_roles
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.rows import Rows
from driftline.monitors.rules.reach import EVERYTHING
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.ruleset import RuleSet
from driftline.roles import RoleArguments, Roles
from driftline.signature import Signature

if TYPE_CHECKING:
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric


# Of these a kind takes its own, of which the others have no use; the rest is every kind's.
OF_COLUMNS = ("rules", "checks", "segments")
OF_QUALITY = ("metrics", "costs")
OF_MODELS = ("predict",)
# Data that are read from files anew whenever they are opened.
FILES = (str, PathLike, Files, list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Options of a check, as `check` describes them."""

    budget: Budget | None = None
    predict: Predictor | None = None
    engine: str | Engine = "local"
    progress: Callable[[int, int | None], None] | None = None
    compat: bool = False
    rules: object = None
    checks: Sequence[Callable[..., object] | str] | None = None
    segments: Sequence[str] | None = None
    metrics: object = None
    costs: object = None
    preprocess: str | PathLike[str] | None = None
    postprocess: str | PathLike[str] | None = None

    def demand(self, kind: Kind) -> bool:
        """Whether any option that only this kind takes is given."""
        return any(getattr(self, name) is not None for name in _own(kind) if name != "engine")

    def of_kind(self, kind: Kind, kinds: Sequence[Kind]) -> CheckOptions:
        """Return the options for one of several kinds, without those that only another kind takes.

        Options that no kind takes stay, so that the check refuses them.
        """
        own = _own(kind)
        others = {name for one in kinds for name in _own(one) if name not in own}
        dropped: dict[str, Any] = {
            one.name: one.default for one in fields(self) if one.name in others
        }
        return replace(self, **dropped)


def _own(kind: Kind) -> tuple[str, ...]:
    """Return the options that only a kind takes."""
    if kind.judges_columns:
        return (*OF_COLUMNS, "engine")
    return OF_QUALITY if kind.name == QUALITY else OF_MODELS if kind.needs_model else ()


def check(
    data: object,
    reference: Baseline | str | PathLike[str],
    *,
    kind: str | None = None,
    budget: Budget | None = None,
    predict: Predictor | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int | None], None] | None = None,
    compat: bool = False,
    rules: object = None,
    checks: Sequence[Callable[..., object] | str] | None = None,
    segments: Sequence[str] | None = None,
    metrics: object = None,
    costs: object = None,
    preprocess: str | PathLike[str] | None = None,
    postprocess: str | PathLike[str] | None = None,
    **roles: Unpack[RoleArguments],
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
    predict
        Asks the model, for "attribution" (which it implies), such as ``model.predict``.
    engine
        Where data quality reads: "local" or "dask[:ADDRESS]".
    progress
        Called with rows done and rows in total (None when not known), from 0 for each reading.
    compat
        Whether to judge as SageMaker does (docs/compat.md).
    rules, checks
        What the data must keep to besides (docs/rules.md): a list of objects and expressions such
        as ``"arrival >= departure"``, or a file; functions over a table, or ``"FILE.py:FUNCTION"``.
    metrics, costs
        What model quality (which they imply) judges besides (docs/model-quality.md): functions
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
    options = CheckOptions(
        budget=budget, predict=predict, engine=engine,
        progress=progress, compat=compat, rules=rules, checks=checks, segments=segments,
        metrics=metrics, costs=costs, preprocess=preprocess, postprocess=postprocess,
    )  # fmt: skip
    return check_roles(data, reference, _named(roles), kind=kind, options=options)


def _named(roles: RoleArguments) -> Roles:
    try:
        return Roles.of(**roles)
    except TypeError as error:
        raise InputError(f"check: {error}") from error


def check_all(
    data: object,
    reference: Baseline | str | PathLike[str],
    *,
    kinds: Sequence[str] | None = None,
    budget: Budget | None = None,
    predict: Predictor | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int | None], None] | None = None,
    compat: bool = False,
    rules: object = None,
    checks: Sequence[Callable[..., object] | str] | None = None,
    segments: Sequence[str] | None = None,
    metrics: object = None,
    costs: object = None,
    preprocess: str | PathLike[str] | None = None,
    **roles: Unpack[RoleArguments],
) -> Reports:
    """Judge the same data against a baseline by several kinds of monitor.

    Parameters
    ----------
    data, reference
        As `check` takes them; data that come only once are kept, since each kind reads them.
    kinds
        Names of kinds; when missing, every kind that the baseline has something for.
    budget
        Of each kind, as of a monitor of its own.
    predict, rules, checks, segments, metrics, costs, engine
        As `check` takes them, for the kind that does. Any of the first six asks for that kind.
    progress, compat, preprocess, **roles
        As `check` takes them, for every kind.

    Returns
    -------
    Reports
        A report for each kind by its name, and the kinds that are not judged, with why.

    Raises
    ------
    InputError
        As `check` does, of the kinds that are asked for; and when no kind can be judged.
    """
    options = CheckOptions(
        budget=budget, predict=predict, engine=engine,
        progress=progress, compat=compat, rules=rules, checks=checks, segments=segments,
        metrics=metrics, costs=costs, preprocess=preprocess,
    )  # fmt: skip
    return check_kinds(data, reference, _named(roles), kinds, options)


def check_kinds(
    data: object,
    reference: Baseline | str | PathLike[str],
    roles: Roles,
    names: Sequence[str] | None,
    options: CheckOptions,
) -> Reports:
    """Judge data as `check_all` does, with roles and options as one value each."""
    baseline = opened_baseline(reference)
    kinds = _kinds(names)
    if options.preprocess is None and (not options.compat or not isinstance(data, FILES)):
        data = _opened(data, baseline)
    reports: dict[str, Report] = {}
    left_out: dict[str, str] = {}
    refused: dict[str, str] = {}
    errors: dict[str, InputError] = {}
    for kind in kinds:
        own = options.of_kind(kind, kinds)
        try:
            reports[kind.name] = check_roles(data, baseline, roles, kind=kind.name, options=own)
        except InputError as error:
            is_left_out = isinstance(error, InapplicableKindError)
            # What columns are refused for holds for all: files, names of roles.
            if names is not None or own.demand(kind) or (kind.judges_columns and not is_left_out):
                raise
            errors[kind.name] = error
            (left_out if is_left_out else refused)[kind.name] = str(error)
    if not reports:
        raise errors.get(kind_of(baseline)) or next(iter(errors.values()))
    return Reports(reports, left_out, refused, baseline.version)


def _kinds(names: Sequence[str] | None) -> list[Kind]:
    """Return the named kinds, each once; without names all kinds that judge any rows."""
    if names is None:
        return [kind for kind in all_kinds() if kind.name != COMMAND]
    if isinstance(names, str) or not isinstance(names, Iterable):
        names = [str(names)]
    found = [kind_named(name) for name in names]
    if not found:
        raise InputError(f"kinds: none is named; expected some of {', '.join(kind_names())}")
    return list({kind.name: kind for kind in found}.values())


def check_roles(
    data: object,
    reference: Baseline | str | PathLike[str],
    roles: Roles,
    *,
    kind: str | None = None,
    options: CheckOptions = CheckOptions(),
) -> Report:
    """Judge data as `check` does, with roles and options as one value each."""
    baseline = opened_baseline(reference)
    known = baseline.signature if baseline.signature.columns else None
    predict = options.predict
    own_rules = read_rules(options.rules).plus(RuleSet.of_functions(options.checks))
    declared = own_rules.within(EVERYTHING)
    functions, prices = _quality_extras(options.metrics, options.costs)
    is_quality = bool(functions) or prices is not None
    asked = asked_kind(QUALITY if is_quality and kind is None else kind, baseline, predict)
    _refuse_new_columns(roles, baseline, asked)
    _refuse_extras(asked, declared, functions, prices, compat=options.compat)
    # Types of values are judged by their texts.
    as_texts = options.compat and asked.judges_columns
    if options.preprocess is not None:
        # A heavy import that only a script needs.
        from driftline.baseline.scripting import preprocessed

        data = preprocessed(data, options.preprocess, signature=known, compat=as_texts)
    source = open_texts(data, known) if as_texts else _opened(data, baseline)
    place = open_engine(options.engine)
    if not asked.judges_columns and not isinstance(place, InProcess):
        raise InputError(
            f'kind "{asked.name}" is read in one process; leave engine out, or ask for '
            '"data-quality"'
        )
    roles = _with_parts(roles, source.schema.names)
    if asked.judges_columns:  # Which reads none of these: the others miss them by themselves.
        _refuse_unknown(roles, baseline, source.schema.names)
    if (outcomes := baseline.outcomes) is not None and roles.positives:
        source = _with_positives(source, roles, baseline.signature, outcomes)
    context = CheckContext(
        baseline=baseline,
        rows=Rows(source.batches, source.parts, place, options.progress, source.row_count),
        roles=settle_roles(roles, baseline),
        budget=options.budget or Budget(),
        predict=predict,
        compat=options.compat,
        rules=declared,
        reach=EVERYTHING,
        segments=None if options.segments is None else tuple(options.segments),
        metrics=functions,
        costs=prices,
    )
    report = asked.evaluate(context)
    if options.postprocess is not None:
        from driftline.monitors.run.record_scripts import postprocess_report

        postprocess_report(report, options.postprocess)
    return report


def _opened(data: object, baseline: Baseline) -> Source:
    """Open data with the baseline's types."""
    known = baseline.signature
    return open_source(data, signature=known.as_sent() if known.columns else None)


def _with_parts(roles: Roles, names: Sequence[str]) -> Roles:
    """Replace a list of probabilities in the roles by its columns."""
    name = "".join(roles.probability)
    found = map(PART_NAME.fullmatch, names)
    parts = tuple(part[0] for part in found if part is not None and part[1] == name)
    return replace(roles, probability=parts) if parts and name not in names else roles


def _refuse_extras(
    asked: Kind,
    rules: RuleSet,
    functions: Sequence[OwnMetric],
    prices: Costs | None,
    *,
    compat: bool,
) -> None:
    """Refuse options that the kind ignores, and those that SageMaker lacks."""
    if rules and (not asked.judges_columns or compat):
        what = "compat" if asked.judges_columns else f'kind "{asked.name}"'
        raise InputError(
            f'rules with {what}; expected kind "data-quality" without compat, since SageMaker has '
            "no rules"
        )
    if (functions or prices is not None) and (asked.name != QUALITY or compat):
        what = "compat" if asked.name == QUALITY else f'kind "{asked.name}"'
        named = "metrics" if functions else "costs"
        raise InputError(f'{named} with {what}; expected kind "{QUALITY}" without compat')


def _quality_extras(metrics: object, costs: object) -> tuple[tuple[OwnMetric, ...], Costs | None]:
    """Read the user's metrics and costs of model quality."""
    if metrics is None and costs is None:
        return (), None
    # Heavy imports that only these need.
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.own_metrics import read_metrics

    return read_metrics(metrics), Costs.given(costs)


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
    """Refuse roles that only the making of a baseline can set."""
    known: dict[str, str] = {column.name: column.role for column in baseline.signature.columns}
    named = [("id", "id", roles.id_column), ("weight", "weight", roles.weight)]
    named += [("excluded", "exclude", name) for name in roles.exclude]
    codes = {column.name for column in baseline.signature.columns if column.type == "string"}
    known |= dict.fromkeys(codes & set(roles.categorical), "categorical")
    named += [("categorical", "categorical", name) for name in roles.categorical]
    if not kind.reads_timestamp:  # That orders the answers by it.
        named += [("timestamp", "timestamp", roles.timestamp)]
    for role, spelled, name in named:
        if name is not None and known.get(name) != role:
            raise InputError(
                f'{spelled} "{name}": a check judges the columns that its baseline judges; name it '
                f"when the baseline is made (driftline baseline --{spelled}, "
                f"Baseline.fit({spelled}=))"
            )


def _refuse_unknown(roles: Roles, baseline: Baseline, names: Sequence[str]) -> None:
    """Refuse a column that neither the data nor the baseline has."""
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
    """Refuse a positive value that neither side has; else return the data."""
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
