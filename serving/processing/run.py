"""The work of a processing job: our analyzers, and the documents of SageMaker's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from driftline.baseline.clarify import (
    answers_of_config,
    headers_of_config,
    methods_of_config,
    model_of_config,
    roles_of_config,
)
from driftline.baseline.scripting import script_in
from driftline.baseline.store import ANALYSIS, CONSTRAINTS, STATISTICS, Baseline
from driftline.errors import InputError, UnavailableError, UndecidedError
from driftline.formats.location import locate
from driftline.formats.source import Files, Source, open_source
from driftline.monitors.check import CheckOptions, check_roles
from driftline.monitors.executions import COMPLETED, VIOLATED
from driftline.monitors.kind import DEFAULT_KIND, kind_named
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.catalog import QUALITY, complete, require_answerable
from driftline.monitors.report.report import REPORT
from driftline.serving.context import ServerContext
from driftline.serving.hosting.asked_models import AskedModel, AskedModels
from driftline.serving.jobs.pinned_model import PinnedModel
from driftline.serving.jobs.run import HeldJob, interruptible
from driftline.serving.processing.answers import answered
from driftline.serving.processing.definition import ProcessingJobSpec, prefixed

Documents = Mapping[str, str]
_GIVEN = {"baseline_constraints": CONSTRAINTS, "baseline_statistics": STATISTICS}


def analyze(held: HeldJob) -> str:
    """Write the documents of a job; return how it ends, in SageMaker's words."""
    spec, context = ProcessingJobSpec.model_validate(held.job.spec), held.context
    for place in spec.places:
        context.reach.check_data(place)
    context.reach.check_output(spec.output)
    with interruptible(spec.max_runtime_in_seconds):
        if spec.analyzer == "clarify":
            documents, count = _clarified(spec, held), 0
        else:
            documents, count = _monitored(spec, context)
        held.keep()  # Else another process has the job, and this one writes nothing.
        for name, text in documents.items():
            (locate(spec.output) / name).write(text.encode())
    if count:
        return f"{VIOLATED}: Job completed successfully with {count} violations."
    return f"{COMPLETED}: Job completed successfully with no violations."


def _monitored(spec: ProcessingJobSpec, context: ServerContext) -> tuple[Documents, int]:
    """Return a suggested baseline, or how rows break one and how often."""
    place = prefixed(spec.data)
    data: str | Files = Files(place, header=spec.has_header)
    kind = kind_named(QUALITY if spec.is_of_quality else DEFAULT_KIND)
    script = None
    if path := spec.environment.get("record_preprocessor_script"):
        # The installation's own of that name: no other code of users runs.
        script = script_in(context.settings.scheduler.scripts_dir, PurePosixPath(path).name)
        data = place  # It is given lines, of whatever format.
    if spec.environment.get("baseline_constraints"):
        options = CheckOptions(compat=True, preprocess=script)
        report = check_roles(data, _known(spec), spec.roles, kind=kind.name, options=options)
        found = {name: text for name, text in report.documents().items() if name != REPORT}
        return found, len(report.violations)
    fitted = Baseline.of(data, spec.roles, preprocess=script, compat=True)
    if kind.name == DEFAULT_KIND:
        assert fitted.statistics is not None
        statistics, constraints = fitted.statistics.to_json(), fitted.constraints.to_json()
        return {STATISTICS: statistics, CONSTRAINTS: constraints}, 0
    require_answerable(fitted, kind)
    suggested = kind.suggest(fitted, compat=True)
    if not suggested:
        raise InputError(f"{kind.name}: {kind.needs}")
    return {name.rpartition("/")[2]: text for name, text in suggested.items()}, 0


def _known(spec: ProcessingJobSpec) -> Baseline:
    """Return the baseline of the documents that the environment names, wherever each lies."""
    with TemporaryDirectory(prefix="driftline-baseline-") as folder:
        for variable, name in _GIVEN.items():
            if spec.environment.get(variable):
                (Path(folder) / name).write_bytes(locate(spec.place(variable)).read())
        return Baseline.load(folder)


def _clarified(spec: ProcessingJobSpec, held: HeldJob) -> Documents:
    """Return analysis.json, of the groups and of the model that Clarify's configuration names."""
    config = spec.analysis_config()
    rows: Files | Source = Files(prefixed(spec.data), names=headers_of_config(config))
    roles = roles_of_config(config)
    if not roles.has_predictions:
        roles = roles.over(answers_of_config(config, lambda: open_source(rows).schema.names))
    name, methods = model_of_config(config), methods_of_config(config)
    if name is None:
        if "post_training_bias" in methods and not roles.has_predictions:
            raise InputError(
                "analysis_config: methods post_training_bias without predictions; expected "
                "predicted_label, or predictor.model_name with a model that is asked"
            )
        fitted = Baseline.of(rows, roles, compat=True)
    else:
        with _asked(name, roles.positives, held) as predict:
            if roles.facets and not roles.has_predictions:
                rows, roles = answered(open_source(rows), roles, predict)
            fitted = Baseline.of(rows, roles, compat=True)
            if "shap" in methods:
                fitted = explain_reference(open_source(rows), fitted, predict)
    found = complete(replace(fitted, documents={}), compat=True).documents.get(ANALYSIS)
    if found is None:
        raise InputError(
            "analysis_config: expected a label and a facet, or the method shap with a predictor"
        )
    return {ANALYSIS: found}


@contextmanager
def _asked(name: str, positives: tuple[str, ...], held: HeldJob) -> Iterator[AskedModel]:
    pinned = held.job.model or {}
    if pinned.get("name") != name:
        raise InputError(
            f'analysis_config: its model was not "{name}" when the job was created; create another '
            "job"
        )
    positive = positives[0] if positives else None
    model = PinnedModel.model_validate({**pinned, "positive": positive})
    worker = model.worker(name, held.context)
    with AskedModels() as models:
        try:
            yield AskedModel(models, worker, model.digest)
        except UnavailableError as error:
            # Its process ended or takes too long: it would again.
            raise UndecidedError(f'model "{name}": {error}') from error
