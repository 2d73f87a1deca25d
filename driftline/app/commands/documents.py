"""Commands on data and documents without a server, and the versions of baselines that one keeps."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import files_of
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.baseline.clarify import answers_of_config, headers_of_config, roles_of_config
from driftline.errors import InputError, UndecidedError
from driftline.monitors.kind import ALL, DEFAULT_KIND, KINDS, kind_named
from driftline.roles import Roles

if TYPE_CHECKING:
    from driftline.baseline.store import Baseline
    from driftline.monitors.check_context import Predictor
    from driftline.monitors.kind import Kind
    from driftline.monitors.report.report import Report
    from driftline.monitors.report.reports import Reports

_SETTLED = ("id_column", "timestamp", "exclude", "categorical")
KIND_LIST = ", ".join(KINDS)
# Of a table with a thousand empty columns the first will do.
_NAMES_SHOWN = 5
_TYPES = {
    "int64": "whole number",
    "double": "number",
    "string": "text",
    "bool": "truth value",
    "timestamp": "time",
}


class DataOrCommand(TyperGroup):
    """Takes what names no command for data: ``driftline baseline train.csv -o baseline/``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - private to typer
        """Read the words; data are for the command `fit`."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["fit", *args]
        return super().parse_args(ctx, args)


baseline = options.Group(
    cls=DataOrCommand,
    help="Make baselines, and promote their versions.",
    epilog=(
        "Short for fit: driftline baseline DATA -o DIR. Its columns are named by --label, "
        "--prediction, --probability, --timestamp, --id, --exclude, --facet and --segment, what "
        "it is for by --kind; driftline baseline fit --help has all options."
    ),
)


@baseline.command("fit")
def fit(
    data: options.Data,
    output: Annotated[str, "-o --output", "Folder for the documents."],
    kind: Annotated[str, "--kind KIND", f"What is compared: {KIND_LIST}."] = DEFAULT_KIND,
    *,
    roles: Roles,
    dialect: options.Dialect,
    judging: options.Judging,
) -> Answer:
    """Turn reference data into a baseline.

    That is SageMaker's documents of the kind, and finer summaries that only driftline reads.

    Example: driftline baseline train.parquet --label late -o baseline/
    """
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.baseline.store import Baseline
    from driftline.monitors.kinds.catalog import save_kind

    options.open_places(*data, output)
    wanted, compat = kind_named(kind), judging.get("compat", False)
    fitted, notes = _fitted(wanted, data, dialect, roles, judging)
    save_kind(fitted, wanted, output, compat=compat)
    # What windows of some sizes find holds for our tests, not for SageMaker's limits.
    findable = [] if compat else wanted.detectable(fitted)
    value = {
        "folder": output,
        "kind": wanted.name,
        "version": Baseline.load(output).version,  # As a check of it will name it.
        "rows": fitted.profile.row_count if fitted.profile else 0,
        "columns": len(fitted.signature.columns),
        "detectable": findable,
        "notes": notes,
    }
    line = "{folder}: baseline {version} of {rows:,} rows, {columns:,} columns".format(**value)
    return Answer(value, [line, *notes, *told(fitted), *findable])


def _fitted(
    wanted: Kind,
    data: Sequence[str],
    dialect: options.Dialect,
    roles: Roles,
    judging: options.Judging,
) -> tuple[Baseline, list[str]]:
    """Return a baseline of a kind, and notes on how its model was explained."""
    from driftline.baseline.store import Baseline
    from driftline.formats.source import open_source
    from driftline.monitors.kinds.catalog import QUALITY, with_quality
    from driftline.monitors.rules.reading import read_rules, with_rules

    declared = read_rules(judging.get("rules"))
    compat, model = judging.get("compat", False), judging.get("model")
    metrics, costs = judging.get("metrics"), judging.get("costs")
    is_priced = bool(metrics or costs)
    for own, is_given, flag in (
        ("data-quality", declared, "--rules"), (QUALITY, is_priced, "--metric or --costs"),
    ):  # fmt: skip
        if is_given and wanted.name != own:
            raise InputError(f'{flag} with --kind {wanted.name}; expected "{own}"')
    rows, roles = _configured(judging.get("config"), data, dialect, roles)
    if preprocess := judging.get("preprocess"):
        # A heavy import that only a script needs.
        from driftline.baseline.scripting import preprocessed

        with progress("preprocess", unit="records") as advance:
            rows = preprocessed(rows, preprocess, compat=compat, progress=advance)
    with progress("baseline", unit="rows in two readings") as advance:
        fitted = Baseline.of(
            rows,
            roles,
            segments=judging.get("segments", ()),
            engine=judging.get("engine", "local"),
            progress=advance,
            compat=compat,
            sample=judging.get("sample", "rows"),
        )
    notes: list[str] = []
    # A baseline for all kinds keeps what the model makes of its rows beside all else.
    if wanted.needs_model or (model is not None and not wanted.needs):
        from driftline.monitors.kinds.attribution.explaining import explain_reference

        with _asking(model, roles.positives) as predict, progress("explain") as advance:
            fitted = explain_reference(
                open_source(rows), fitted, predict, moved=advance, told=notes.append
            )
    if is_priced:
        fitted = with_quality(fitted, metrics, costs, compat=compat)
    if declared:
        # A heavy import that only rules need.
        from driftline.monitors.rules.judging import try_out

        try_out(declared, fitted.signature)
        fitted = replace(fitted, constraints=with_rules(fitted.constraints, declared))
    return fitted, notes


def told(fitted: Baseline) -> Iterator[str]:
    """Return what a new baseline takes its columns for, and which are not judged."""
    from driftline.baseline.store import UNNAMED_TIMES
    from driftline.monitors.results.violation import plural

    columns = fitted.signature.columns
    types = Counter[str](column.type for column in columns)
    parts = [plural(types[kind], word) for kind, word in _TYPES.items() if types[kind]]
    roles = [f"{one.role} {one.name}" for one in columns if one.role != "feature"]
    yield "; ".join(filter(None, (", ".join(parts), ", ".join(roles))))
    reasons: dict[str, list[str]] = {}
    for column in columns:
        if column.unjudged is not None:
            reasons.setdefault(column.unjudged, []).append(column.name)
    for reason, names in reasons.items():
        more = f" and {len(names) - _NAMES_SHOWN} more" * (len(names) > _NAMES_SHOWN)
        yield f"{', '.join(names[:_NAMES_SHOWN])}{more}: only types and gaps are judged ({reason})"
    if (times := fitted.unnamed_times) is not None:
        yield UNNAMED_TIMES.format(times, f"--timestamp {shlex.quote(times)}")


def check(
    data: options.Data,
    reference: Annotated[str, "--baseline", "Folder with the baseline."],
    kind: Annotated[
        list[str] | None,
        "--kind KIND",
        f"What is compared: {KIND_LIST}; repeatable, and all: every one that the baseline has "
        "something for. Default: what the baseline is of.",
    ] = None,
    output: Annotated[str | None, "-o --output", "Folder for the documents."] = None,
    formatted: Annotated[
        str, "--format FORMAT[,…]", "text, json, html, junit; with -o also several, as files there."
    ] = "text",
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
    judging: options.Judging,
) -> None:
    """Judge data against a baseline.

    Exit code 0: all is right; 1: something is violated; 2: wrong input; 3: cannot be decided, or,
    with --fail-on unjudged, not wholly; 4: a server, database or disk is not available.

    Example: driftline check today.parquet --baseline baseline/ -o result/
    """
    from driftline.app.commands.verdict import formats_of, show
    from driftline.baseline.folder import refuse_baseline
    from driftline.formats.location import locate

    formats = formats_of(formatted, as_json=as_json, output=output)
    kinds = _kinds_named(kind or ())
    options.open_places(*data, reference, output)
    if output is not None:
        refuse_baseline(locate(output))  # Before hours of reading, not after.
    report = _judged(kinds, data, dialect, roles, judging, reference)
    if output is not None:
        report.save(output)
    if postprocess is not None:
        from driftline.monitors.run.record_scripts import postprocess_report

        postprocess_report(report, postprocess, output)
    show(report, formats, output)
    if report.violations:
        raise typer.Exit(1)
    if not report.decided:
        raise UndecidedError(report.undecided_line)
    if fail_on == "unjudged" and (report.unjudged or report.idle_rule_count):
        raise UndecidedError(report.unjudged_line or report.headline)


def _judged(
    kinds: Sequence[str],
    data: Sequence[str],
    dialect: options.Dialect,
    roles: Roles,
    judging: options.Judging,
    reference: str,
) -> Report | Reports:
    """Return what the kinds say of data against a baseline."""
    from driftline.monitors.check import CheckOptions, check_kinds, check_roles, opened_baseline

    model, config = judging.get("model"), judging.get("config")
    rows, named = _configured(config, data, dialect, roles)
    # Of the file, what a baseline settles is left alone.
    named = replace(named, **{name: getattr(roles, name) for name in _SETTLED})
    known = opened_baseline(reference)
    positives = named.positives or (() if model is None else _explained_for(known))
    with _asking(model, positives) as predict, progress("check") as advance:
        how = {name: one for name, one in judging.items() if name not in ("model", "config")}
        asked = CheckOptions(predict=predict, progress=advance, **how)
        if len(kinds) > 1 or ALL in kinds:
            chosen = None if ALL in kinds else kinds
            return check_kinds(rows, known, named, chosen, asked)
        return check_roles(rows, known, named, kind=next(iter(kinds), None), options=asked)


def _explained_for(reference: Baseline) -> tuple[str, ...]:
    """Return the class that a reference was explained for: a model answers for the same."""
    if reference.attributions is None:
        return ()
    from driftline.monitors.kinds.attribution.attributions import Attributions

    return tuple(filter(None, [Attributions.from_arrow(reference.attributions).positive]))


def _kinds_named(names: Sequence[str]) -> list[str]:
    """Read ``--kind``, which may be given several times."""
    found = (ALL if name.casefold() == ALL else kind_named(name).name for name in names)
    kinds = list(dict.fromkeys(found))
    if ALL in kinds and len(kinds) > 1:
        raise InputError(f'--kind "{ALL}" beside other kinds; expected one of both')
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
    if model is None:
        yield None
        return
    # What serves models is slow to import, and a check without one needs none of it.
    from driftline.serving.hosting.asked_models import open_model

    trust = options.load_settings(None).serving.trust_pickle
    with open_model(Path(model), trust_pickle=trust, positive=positives or None) as predict:
        yield predict


add_operations(baseline, "baseline")
