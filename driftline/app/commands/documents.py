"""Commands on data and documents alone, without a server: baseline and check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Dialect, files_of, with_dialect
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.baseline.clarify import answers_of_config, headers_of_config, roles_of_config
from driftline.errors import InputError, UndecidedError
from driftline.lazy_imports import start_lean
from driftline.monitors.kind import ALL, DEFAULT_KIND, KINDS, Kind, kind_named
from driftline.roles import Roles

if TYPE_CHECKING:
    from driftline.baseline.store import Baseline
    from driftline.monitors.check import CheckOptions
    from driftline.monitors.check_context import Predictor
    from driftline.monitors.report.report import Report
    from driftline.monitors.report.reports import Reports

T = TypeVar("T")
KIND_LIST = ", ".join(KINDS)

KindOption = Annotated[
    Kind,
    typer.Option(
        "--kind", parser=kind_named, metavar="KIND", help=f"What is compared: {KIND_LIST}."
    ),
]
CheckedKindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=f"What is compared: {KIND_LIST}; repeatable, and all: every one that the baseline has "
        "something for. Default: what the baseline is of.",
    ),
]


ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Model file, for attribution; else ready ones."),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT[,…]",
        help="text, json, html, junit; with -o also several, as files there.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Clarify's analysis_config.json, in place of the roles."),
]


EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="ENGINE", help="Where data is read: local, dask or dask:ADDRESS."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", help="Processes of the local engine; 0: one for each core."),
]


CompatOption = Annotated[
    bool, typer.Option("--compat", help="Types, checks and texts as SageMaker has them.")
]


class FailOn(StrEnum):
    """What a check ends with an exit code other than 0 for."""

    VIOLATIONS = "violations"
    UNJUDGED = "unjudged"


FailOnOption = Annotated[
    FailOn,
    typer.Option(
        "--fail-on",
        help="unjudged: without violations, exit code 3 if a column or rule could not be judged.",
    ),
]


RulesOption = Annotated[
    str | None,
    typer.Option("--rules", metavar="FILE", help="YAML or JSON: what rows must keep to besides."),
]


MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="METRIC[=higher|lower]",
        help="Metric of one's own for model-quality: FILE.py:FUNCTION, or an installed one; which "
        "side is better where its name does not tell.",
    ),
]


CostsOption = Annotated[
    str | None,
    typer.Option(
        "--costs",
        metavar="JSON",
        help="What answers cost, for model-quality, or a file of it: "
        '{"fp": 1, "fn": 10}, or {ACTUAL: {PREDICTED: number}}.',
    ),
]


SegmentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--segment", metavar="COL", help="Column whose values are also judged one by one."
    ),
]
PreprocessOption = Annotated[
    Path | None,
    typer.Option(
        "--preprocess", metavar="SCRIPT", help="Script whose preprocess_handler makes the rows."
    ),
]
PostprocessOption = Annotated[
    Path | None,
    typer.Option(
        "--postprocess", metavar="SCRIPT", help="Script whose postprocess_handler is called."
    ),
]


@with_dialect
@options.with_roles
@options.answers
def baseline(
    data: options.Data,
    output: Annotated[str, typer.Option("-o", "--output", help="Folder for the documents.")],
    kind: KindOption = DEFAULT_KIND,  # type: ignore[assignment] # Read by the option.
    model: ModelOption = None,
    config: ConfigOption = None,
    engine: EngineOption = "local",
    jobs: JobsOption = None,
    compat: CompatOption = False,
    rules: RulesOption = None,
    segment: SegmentOption = None,
    metric: MetricOption = None,
    costs: CostsOption = None,
    preprocess: PreprocessOption = None,
    *,
    roles: Roles,
    dialect: Dialect,
) -> Answer:
    """Turn reference data into a baseline.

    That is SageMaker's documents of the kind, and finer summaries that only driftline reads.

    Example: driftline baseline train.parquet --label late -o baseline/
    """
    start_lean()
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.baseline.store import Baseline
    from driftline.monitors.kinds.catalog import QUALITY, save_kind, with_quality
    from driftline.monitors.rules.reading import read_rules, with_rules

    options.open_places(*data, output)
    declared = read_rules(rules)
    is_priced = bool(metric) or costs is not None
    # A baseline for all kinds keeps what the model makes of its rows beside all else.
    is_explained = kind.needs_model or (model is not None and not kind.needs)
    for flag, is_given, own in (
        ("--rules", bool(declared), "data-quality"),
        ("--metric" if metric else "--costs", is_priced, QUALITY),
    ):
        if is_given and kind.name != own:
            raise InputError(f'{flag} with --kind {kind.name}; expected "{own}"')
    rows = files_of(data, dialect, _headers(config))
    if preprocess is not None:
        # A heavy import that only a script needs.
        from driftline.baseline.scripting import preprocessed

        with progress("preprocess", unit="records") as advance:
            rows = preprocessed(rows, preprocess, compat=compat, progress=advance)
    with progress("baseline", unit="rows in two readings") as advance:
        fitted = Baseline.of(
            rows,
            _with_config(roles, config, rows),
            segments=segment or (),
            engine=engine,
            jobs=jobs,
            progress=advance,
            compat=compat,
        )
    notes: list[str] = []
    if is_explained:
        fitted, notes = _explained(fitted, rows, model, roles)
    if is_priced:
        fitted = with_quality(fitted, metric, costs, compat=compat)
    if declared:
        fitted = replace(fitted, constraints=with_rules(fitted.constraints, declared))
    save_kind(fitted, kind, output, compat=compat)
    # What windows of some sizes find holds for our tests, not for SageMaker's limits.
    return _saved(fitted, kind, output, notes, [] if compat else kind.detectable(fitted))


def _saved(
    fitted: Baseline, kind: Kind, output: str, notes: list[str], findable: list[str]
) -> Answer:
    """Return what is said of a baseline that was written."""
    from driftline.app.commands.fitted import told  # A check needs none of these.
    from driftline.baseline.store import Baseline
    from driftline.monitors.results.violation import plural

    version = Baseline.load(output).version  # As a check of it will name it.
    count = fitted.profile.row_count if fitted.profile else 0
    columns = len(fitted.signature.columns)
    found = {"version": version, "rows": count, "columns": columns}
    line = f"{output}: baseline {version} of {plural(count, 'row')}, {plural(columns, 'column')}"
    value = {"folder": output, "kind": kind.name, **found, "detectable": findable, "notes": notes}
    return Answer(value, chain([line, *notes], told(fitted), findable))


def _explained(
    fitted: Baseline,
    rows: object,
    model: str | None,
    roles: Roles,
) -> tuple[Baseline, list[str]]:
    """Return a baseline with the attributions of its reference, and notes on them."""
    from driftline.formats.source import open_source
    from driftline.monitors.kinds.attribution.explaining import explain_reference

    notes: list[str] = []
    with _asking(model, roles) as predict, progress("explain") as advance:
        found = explain_reference(
            open_source(rows),
            fitted,
            predict,
            moved=advance,
            told=notes.append,
        )
    return found, notes


@with_dialect
@options.with_roles
def check(
    data: options.Data,
    reference: Annotated[str, typer.Option("--baseline", help="Folder with the baseline.")],
    kind: CheckedKindOption = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder for the documents.")
    ] = None,
    formatted: FormatOption = "text",
    model: ModelOption = None,
    config: ConfigOption = None,
    engine: EngineOption = "local",
    jobs: JobsOption = None,
    compat: CompatOption = False,
    rules: RulesOption = None,
    segment: SegmentOption = None,
    metric: MetricOption = None,
    costs: CostsOption = None,
    preprocess: PreprocessOption = None,
    postprocess: PostprocessOption = None,
    fail_on: FailOnOption = FailOn.VIOLATIONS,
    as_json: options.AsJson = False,
    *,
    roles: Roles,
    dialect: Dialect,
) -> None:
    """Judge data against a baseline.

    Exit code 0: all is right; 1: something is violated; 2: wrong input; 3: cannot be decided, or,
    with --fail-on unjudged, not wholly; 4: a server, database or disk is not available.

    Example: driftline check today.parquet --baseline baseline/ -o result/
    """
    start_lean()
    from driftline.app.commands.formats import formats_of, show
    from driftline.monitors.check import CheckOptions, opened_baseline

    formats = formats_of(formatted, as_json=as_json, output=output)
    kinds = _kinds_named(kind or ())
    options.open_places(*data, reference, output or "")
    _refuse_place(output)
    rows = files_of(data, dialect, _headers(config))
    named = _named_at_check(roles, config, rows)
    known = cache(lambda: opened_baseline(reference))
    with _asking(model, named, known) as predict, progress("check") as advance:
        judging = CheckOptions(
            predict=predict,
            engine=engine,
            jobs=jobs,
            progress=advance,
            compat=compat,
            rules=rules,
            segments=segment or None,
            metrics=metric or None,
            costs=costs,
            preprocess=preprocess,
        )
        report = _judged(rows, known(), named, kinds, judging)
    if output is not None:
        report.save(output)
    if postprocess is not None:
        from driftline.monitors.run.record_scripts import postprocess_report

        postprocess_report(report, postprocess, output)
    show(report, formats, output)
    _end(report, fail_on)


def _kinds_named(names: Sequence[str]) -> list[str]:
    """Read ``--kind``, which may be given several times."""
    found = (ALL if name.casefold() == ALL else kind_named(name).name for name in names)
    kinds = list(dict.fromkeys(found))
    if ALL in kinds and len(kinds) > 1:
        raise InputError(
            f'--kind "{ALL}" beside {", ".join(one for one in kinds if one != ALL)}; expected one '
            "of both: all leaves out what cannot be judged, a kind that is named has to be"
        )
    return kinds


def _judged(
    rows: object, baseline: Baseline, roles: Roles, kinds: Sequence[str], judging: CheckOptions
) -> Report | Reports:
    """Judge rows by the kind that is named, or by several."""
    from driftline.monitors.check import check_kinds, check_roles

    if len(kinds) > 1 or ALL in kinds:
        return check_kinds(rows, baseline, roles, None if ALL in kinds else kinds, judging)
    return check_roles(rows, baseline, roles, kind=next(iter(kinds), None), options=judging)


def _end(report: Report | Reports, fail_on: FailOn) -> None:
    """End with the exit code of what was found; of several kinds, of the worst."""
    if report.violations:
        raise typer.Exit(1)
    if not report.decided:
        raise UndecidedError(report.undecided_line)
    if fail_on is FailOn.UNJUDGED and (report.unjudged or report.idle_rule_count):
        raise UndecidedError(report.unjudged_line or report.headline)


def _with_config(roles: Roles, config: Path | None, rows: object) -> Roles:
    """Take from Clarify's file what the flags leave open; of its predictor what the data holds."""
    if config is None:
        return roles
    found = roles.over(_of_config(config, roles_of_config))
    if found.has_predictions:
        return found

    def columns() -> tuple[str, ...]:
        from driftline.formats.source import open_source

        return tuple(open_source(rows).schema.names)

    return found.over(_of_config(config, partial(answers_of_config, columns=columns)))


def _headers(config: Path | None) -> tuple[str, ...]:
    """Take from it the names of columns of data without any."""
    return () if config is None else _of_config(config, headers_of_config)


def _of_config(config: Path, read: Callable[[bytes], T]) -> T:
    try:
        return read(config.read_bytes())
    except OSError as error:
        raise InputError(f"--config {config}: cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"--config {config}: {error}") from error


def _named_at_check(roles: Roles, config: Path | None, rows: object) -> Roles:
    """Take the same for a check; of the file, what a baseline settles is left alone."""
    found = _with_config(roles, config, rows)
    own = {
        name: getattr(roles, name)
        for name in ("id_column", "timestamp", "exclude", "context", "categorical")
    }
    return replace(found, **own)


def _refuse_place(output: str | None) -> None:
    """Refuse a baseline's folder for results before hours of reading, not after."""
    from driftline.baseline.folder import refuse_baseline
    from driftline.formats.location import locate

    if output is not None:
        refuse_baseline(locate(output))


def _answering_as(roles: Roles, baseline: Baseline) -> Roles:
    """Have a model answer for the class that its reference was explained for, unless named."""
    from driftline.monitors.kinds.attribution.importance import Attributions

    if roles.positives or baseline.attributions is None:
        return roles
    return replace(roles, positive=Attributions.from_arrow(baseline.attributions).positive or None)


@contextmanager
def _asking(
    model: str | None, roles: Roles, reference: Callable[[], Baseline] | None = None
) -> Iterator[Predictor | None]:
    """Open the model that was named, if one was."""
    if model is None:
        yield None
        return
    # What serves models is slow to import, and a check without one needs none of it.
    from driftline.serving.hosting.asked_models import open_model

    with open_model(
        Path(model),
        trust_pickle=options.load_settings(None).serving.trust_pickle,
        positive=(_answering_as(roles, reference()) if reference else roles).positives or None,
    ) as predict:
        yield predict
