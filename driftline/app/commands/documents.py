"""Commands on data and documents alone, without a server: baseline and check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.options import files_of
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.baseline.clarify import answers_of_config, headers_of_config, roles_of_config
from driftline.errors import InputError, UndecidedError
from driftline.lazy_imports import start_lean
from driftline.monitors.kind import ALL, DEFAULT_KIND, KINDS, kind_named
from driftline.roles import Roles

if TYPE_CHECKING:
    from driftline.baseline.store import Baseline
    from driftline.formats.source import Source
    from driftline.monitors.check import CheckOptions
    from driftline.monitors.check_context import Predictor
    from driftline.monitors.report.report import Report
    from driftline.monitors.report.reports import Reports

_SETTLED = ("id_column", "timestamp", "exclude", "context", "categorical")
KIND_LIST = ", ".join(KINDS)

KindOption = Annotated[str, "--kind KIND", f"What is compared: {KIND_LIST}."]
CheckedKindOption = Annotated[
    list[str] | None,
    "--kind KIND",
    f"What is compared: {KIND_LIST}; repeatable, and all: every one that the baseline has "
    "something for. Default: what the baseline is of.",
]
ModelOption = Annotated[str | None, "Model file, for attribution; else ready ones."]
ConfigOption = Annotated[Path | None, "Clarify's analysis_config.json, in place of the roles."]
EngineOption = Annotated[str, "Where data is read: local, dask or dask:ADDRESS."]
JobsOption = Annotated[int | None, "Processes of the local engine; 0: one for each core."]
CompatOption = Annotated[bool, "--compat", "Types, checks and texts as SageMaker has them."]
RulesOption = Annotated[str | None, "--rules FILE", "YAML or JSON: what rows must keep to besides."]
MetricOption = Annotated[
    list[str] | None,
    "--metric METRIC[=higher|lower]",
    "Metric of one's own for model-quality: FILE.py:FUNCTION, or an installed one; which side is "
    "better where its name does not tell.",
]
CostsOption = Annotated[
    str | None,
    "--costs JSON",
    "What answers cost, for model-quality, or a file of it: "
    '{"fp": 1, "fn": 10}, or {ACTUAL: {PREDICTED: number}}.',
]
SegmentOption = Annotated[
    list[str] | None, "--segment COL", "Column whose values are also judged one by one."
]
PreprocessOption = Annotated[
    Path | None, "--preprocess SCRIPT", "Script whose preprocess_handler makes the rows."
]


def baseline(
    data: options.Data,
    output: Annotated[str, "-o --output", "Folder for the documents."],
    kind: KindOption = DEFAULT_KIND,
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
    dialect: options.Dialect,
) -> Answer:
    """Turn reference data into a baseline.

    That is SageMaker's documents of the kind, and finer summaries that only driftline reads.

    Example: driftline baseline train.parquet --label late -o baseline/
    """
    start_lean()
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.baseline.store import Baseline
    from driftline.formats.source import open_source
    from driftline.monitors.kinds.catalog import QUALITY, save_kind, with_quality
    from driftline.monitors.rules.reading import read_rules, with_rules

    options.open_places(*data, output)
    wanted, declared = kind_named(kind), read_rules(rules)
    is_priced = bool(metric) or costs is not None
    for own, is_given, flag in (
        ("data-quality", declared, "--rules"), (QUALITY, is_priced, "--metric or --costs"),
    ):  # fmt: skip
        if is_given and wanted.name != own:
            raise InputError(f'{flag} with --kind {wanted.name}; expected "{own}"')
    rows, roles = _configured(config, data, dialect, roles)
    if preprocess is not None:
        rows = _preprocessed(rows, preprocess, compat=compat)
    with progress("baseline", unit="rows in two readings") as advance:
        fitted = Baseline.of(
            rows,
            roles,
            segments=segment or (),
            engine=engine,
            jobs=jobs,
            progress=advance,
            compat=compat,
        )
    notes: list[str] = []
    # A baseline for all kinds keeps what the model makes of its rows beside all else.
    if wanted.needs_model or (model is not None and not wanted.needs):
        fitted = _explained(fitted, open_source(rows), model, roles, notes)
    if is_priced:
        fitted = with_quality(fitted, metric, costs, compat=compat)
    if declared:
        fitted = replace(fitted, constraints=with_rules(fitted.constraints, declared))
    save_kind(fitted, wanted, output, compat=compat)
    # What windows of some sizes find holds for our tests, not for SageMaker's limits.
    findable = [] if compat else wanted.detectable(fitted)
    return _written(output, wanted.name, fitted, findable, notes)


def _written(
    output: str, kind: str, fitted: Baseline, findable: list[str], notes: list[str]
) -> Answer:
    """Return what was written to a folder."""
    from driftline.app.commands.fitted import told
    from driftline.baseline.store import Baseline
    from driftline.monitors.results.violation import plural

    rows = fitted.profile.row_count if fitted.profile else 0
    columns = len(fitted.signature.columns)
    version = Baseline.load(output).version  # As a check of it will name it.
    value = {
        "folder": output, "kind": kind, "version": version, "rows": rows, "columns": columns,
        "detectable": findable, "notes": notes,
    }  # fmt: skip
    size = f"{plural(rows, 'row')}, {plural(columns, 'column')}"
    line = f"{output}: baseline {version} of {size}"
    return Answer(value, chain([line, *notes], told(fitted), findable))


def _preprocessed(rows: object, script: Path, *, compat: bool) -> Source:
    # A heavy import that only a script needs.
    from driftline.baseline.scripting import preprocessed

    with progress("preprocess", unit="records") as advance:
        return preprocessed(rows, script, compat=compat, progress=advance)


def _explained(
    fitted: Baseline, rows: Source, model: str | None, roles: Roles, notes: list[str]
) -> Baseline:
    """Add how much each feature counts for the model; what there is to know goes to the notes."""
    from driftline.monitors.kinds.attribution.explaining import explain_reference

    with _asking(model, roles.positives) as predict, progress("explain") as advance:
        return explain_reference(rows, fitted, predict, moved=advance, told=notes.append)


def check(
    data: options.Data,
    reference: Annotated[str, "--baseline", "Folder with the baseline."],
    kind: CheckedKindOption = None,
    output: Annotated[str | None, "-o --output", "Folder for the documents."] = None,
    formatted: Annotated[
        str, "--format FORMAT[,…]", "text, json, html, junit; with -o also several, as files there."
    ] = "text",
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
    postprocess: Annotated[
        Path | None, "--postprocess SCRIPT", "Script whose postprocess_handler is called."
    ] = None,
    fail_on: Annotated[
        Literal["violations", "unjudged"],
        "unjudged: without violations, exit code 3 if a column or rule could not be judged.",
    ] = "violations",
    as_json: options.AsJson = False,
    *,
    roles: Roles,
    dialect: options.Dialect,
) -> None:
    """Judge data against a baseline.

    Exit code 0: all is right; 1: something is violated; 2: wrong input; 3: cannot be decided, or,
    with --fail-on unjudged, not wholly; 4: a server, database or disk is not available.

    Example: driftline check today.parquet --baseline baseline/ -o result/
    """
    start_lean()
    from driftline.app.commands.verdict import formats_of, show
    from driftline.baseline.folder import refuse_baseline
    from driftline.formats.location import locate
    from driftline.monitors.check import CheckOptions, opened_baseline

    formats = formats_of(formatted, as_json=as_json, output=output)
    kinds = _kinds_named(kind or ())
    options.open_places(*data, reference, output)
    if output is not None:
        refuse_baseline(locate(output))  # Before hours of reading, not after.
    rows, named = _configured(config, data, dialect, roles)
    # Of the file, what a baseline settles is left alone.
    named = replace(named, **{name: getattr(roles, name) for name in _SETTLED})
    known = opened_baseline(reference)
    positives = named.positives or (() if model is None else _explained_for(known))
    with _asking(model, positives) as predict, progress("check") as advance:
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
        report = _judged(rows, known, named, kinds, judging)
    _keep(report, output, postprocess)
    show(report, formats, output)
    _require_passed(report, is_whole=fail_on == "unjudged")


def _judged(
    rows: object, reference: Baseline, roles: Roles, kinds: Sequence[str], judging: CheckOptions
) -> Report | Reports:
    """Judge rows by one kind, that of the baseline where none is named, or by several."""
    from driftline.monitors.check import check_kinds, check_roles

    if len(kinds) > 1 or ALL in kinds:
        return check_kinds(rows, reference, roles, None if ALL in kinds else kinds, judging)
    return check_roles(rows, reference, roles, kind=next(iter(kinds), None), options=judging)


def _keep(report: Report | Reports, output: str | None, postprocess: Path | None) -> None:
    """Write a report where it was asked for, and hand it to a script."""
    if output is not None:
        report.save(output)
    if postprocess is not None:
        from driftline.monitors.run.record_scripts import postprocess_report

        postprocess_report(report, postprocess, output)


def _require_passed(report: Report | Reports, *, is_whole: bool) -> None:
    """End with the exit code of a report that is no pass; ``is_whole``: all has to be judged."""
    if report.violations:
        raise typer.Exit(1)
    if not report.decided:
        raise UndecidedError(report.undecided_line)
    if is_whole and (report.unjudged or report.idle_rule_count):
        raise UndecidedError(report.unjudged_line or report.headline)


def _explained_for(reference: Baseline) -> tuple[str, ...]:
    """Return the class that a reference was explained for: a model answers for the same."""
    if reference.attributions is None:
        return ()
    from driftline.monitors.kinds.attribution.importance import Attributions

    return tuple(filter(None, [Attributions.from_arrow(reference.attributions).positive]))


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


def _configured(
    config: Path | None, data: Sequence[str], dialect: options.Dialect, roles: Roles
) -> tuple[object, Roles]:
    """Return data and roles; Clarify's file names what the flags leave open, and columns."""
    if config is None:
        return files_of(data, dialect), roles
    from driftline.formats.source import open_source

    try:
        document = config.read_bytes()
        rows = files_of(data, dialect, headers_of_config(document))
        found = roles.over(roles_of_config(document))
        if not found.has_predictions:
            names = lambda: tuple(open_source(rows).schema.names)  # noqa: E731 - asked if needed
            found = found.over(answers_of_config(document, names))
    except OSError as error:
        raise InputError(f"--config {config}: cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"--config {config}: {error}") from error
    return rows, found


@contextmanager
def _asking(model: str | None, positives: tuple[str, ...]) -> Iterator[Predictor | None]:
    """Open the model that was named, if one was."""
    if model is None:
        yield None
        return
    # What serves models is slow to import, and a check without one needs none of it.
    from driftline.serving.hosting.asked_models import open_model

    trust = options.load_settings(None).serving.trust_pickle
    with open_model(Path(model), trust_pickle=trust, positive=positives or None) as predict:
        yield predict
