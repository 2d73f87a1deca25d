"""The work of a recommendation job: the command's trials, on a model that a server has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from driftline.app.recommend.findings import Prices, recommend
from driftline.app.recommend.load import LADDER, Phase
from driftline.app.recommend.sample import fit_sample, read_sample
from driftline.app.recommend.trial import Plan, Result, require_idle, search
from driftline.errors import UnavailableError, UndecidedError
from driftline.serving.jobs.pinned_model import PinnedModel
from driftline.serving.jobs.run import HeldJob, interruptible
from driftline.serving.recommendation.definition import RecommendationJobSpec

_NICE = 10  # Those who ask the server's models go first.
_RESULTS = TypeAdapter(list[Result])


def measure(held: HeldJob) -> str:
    """Measure all configurations, keeping each result; return what is recommended, and why."""
    spec, context = RecommendationJobSpec.model_validate(held.job.spec), held.context
    settings, model = context.settings, PinnedModel.model_validate(held.job.model)
    context.reach.check_data(spec.sample)
    prices = Prices() if settings.prices_file is None else Prices.read(settings.prices_file)
    known = _RESULTS.validate_python(held.job.results or [])
    os.nice(_NICE)

    def keep(results: Sequence[Result], _count: int) -> None:
        if len(results) > len(known):
            held.keep(results=_stored(results, model.name), attempts=1)

    plan = Plan(
        [Phase(**one.model_dump()) for one in spec.phases] or LADDER,
        repetitions=1 if spec.phases else 3,  # Those of a client may be long, and run as it says.
        cores=os.cpu_count() or 1, max_p95_ms=spec.max_p95_ms, max_tests=spec.max_tests,
        environment=dict(model.environment),
    )  # fmt: skip
    with interruptible(spec.max_runtime_in_seconds):
        sample = read_sample(spec.sample, content_type=spec.content_type)
        if not settings.serving.measure_busy:
            require_idle("[serving] measure_busy")
        worker = model.worker(spec.name, context)
        try:
            measured, left_out = search(
                Path(worker.path), partial(fit_sample, sample), plan,
                trust_pickle=worker.trust_pickle, advance=keep, known=known,
            )  # fmt: skip
        except (UnavailableError, OSError) as error:
            # Of the server that is measured: it would fail again, and the job never end.
            raise UndecidedError(f"the server that was measured failed: {error}") from error
    found = recommend(measured, prices, left_out)
    ranking = [*found.ranking, *(one for one in found.results if one not in found.ranking)]
    held.keep(results=_stored(ranking, model.name))
    # Why another runtime was left out may quote a record, and all who may look see this.
    words = [one.partition(":")[0] for one in left_out]
    return "; ".join([f"{found.best.candidate.name}: {found.reason}", *words])


def _stored(results: Sequence[Result], model: str) -> list[dict[str, Any]]:
    """Return results as JSON, without what quotes a record or is a path of this machine."""
    return [
        replace(
            one,
            candidate=replace(one.candidate, model=model),
            ended=one.ended if one.peak else "not served",
        ).document
        for one in results
    ]
