"""Data against a baseline, in two passes: profile and judge, then look up the rows behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath

import numpy as np
import pyarrow as pa

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.baseline.source import Source, open_source
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.capture.window import Window
from driftline.errors import InputError
from driftline.monitors.data_quality import Budget, Judgement, judge
from driftline.monitors.definitions import KINDS
from driftline.monitors.drift import ReferenceColumn
from driftline.monitors.findings import find_violations
from driftline.monitors.plausibility import Sampler, find_implausible
from driftline.monitors.report import Report
from driftline.monitors.violation import FeatureResult
from driftline.signature import Column

__all__ = ["WindowFacts", "check", "examine"]

BatchMaker = Callable[[], Iterator[pa.RecordBatch]]
UnfitCounter = Callable[[pa.RecordBatch], Mapping[str, int]]

# Columns that say which captured row it is.
IDS = frozenset({"event_id", "row_index", "event_time", "inference_id", "unfit"})


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What is known of a captured window besides its rows.

    Parameters
    ----------
    window
        The span of time.
    request_count, late_count, unparsed_count, failed_count
        As capture counted them.
    """

    window: Window
    request_count: int = 0
    late_count: int = 0
    unparsed_count: int = 0
    failed_count: int = 0


def check(
    data: object,
    reference: Baseline | str | PathLike[str],
    *,
    kind: str = "data-quality",
    budget: Budget | None = None,
) -> Report:
    """Judge data against a baseline.

    Parameters
    ----------
    data
        Data frame (pandas, polars, Arrow), path, glob, folder, or an opened source.
    reference
        A baseline, or the folder of one, also one that SageMaker wrote.
    kind
        What is compared.
    budget
        Accepted false alarms; one a year at one check a day when missing.

    Returns
    -------
    Report
        ``passed`` when nothing is violated; ``decided`` is False when there were no rows, or
        too few to judge anything.

    Raises
    ------
    InputError
        When the data or the baseline cannot be read.
    """
    if kind not in KINDS:
        raise InputError(f'kind "{kind}"; expected one of {", ".join(KINDS)}')
    baseline = reference if isinstance(reference, Baseline) else Baseline.load(fspath(reference))
    source = data if isinstance(data, Source) else open_source(data, signature=baseline.signature)
    return examine(baseline, source.batches, budget=budget)


def examine(
    baseline: Baseline,
    batches: BatchMaker,
    *,
    budget: Budget | None = None,
    facts: WindowFacts | None = None,
    unfit: UnfitCounter | None = None,
) -> Report:
    """Judge rows that can be read twice.

    Parameters
    ----------
    baseline
        What is expected.
    batches
        Gives the rows from the beginning at each call, columns by the user's names.
    budget
        Accepted false alarms.
    facts
        The window, when the rows are captured ones.
    unfit
        Counts, per batch, the values that capture found unfit.
    """
    references = reference_columns(baseline)
    profile, sample = _profile(baseline, batches, unfit)
    known = baseline.profile.columns if baseline.profile else {}
    judgement = judge(
        baseline.signature,
        baseline.constraints,
        references,
        profile,
        reference_profile=baseline.profile,
        blocks=baseline.blocks,
        length=facts.window.length if facts else None,
        budget=budget,
        implausible=find_implausible(sample, references, known, profile.columns),
    )
    violations = find_violations(judgement, batches, baseline.signature, references)
    return Report(
        kind="data-quality",
        violations=violations,
        results=tuple(_result(one, profile, judgement) for one in baseline.signature.columns),
        statistics=Statistics.from_profile(profile),
        row_count=profile.row_count,
        window=facts.window if facts else None,
        request_count=facts.request_count if facts else 0,
        late_count=facts.late_count if facts else 0,
        unparsed_count=facts.unparsed_count if facts else 0,
        failed_count=facts.failed_count if facts else 0,
        baseline_version=baseline.version,
        alpha=judgement.alpha,
        emit_metrics=baseline.constraints.monitoring_config.emit_metrics,
        batches=batches,
    )


def reference_columns(baseline: Baseline) -> dict[str, ReferenceColumn]:
    """Give, by column, the cells and what the reference holds in them."""
    found = {}
    for name, cells in baseline.cells.items():
        column = baseline.profile.columns.get(name) if baseline.profile else None
        if column is None or column.cell_counts is None:
            continue
        found[name] = ReferenceColumn(
            cells, column.cell_counts.astype(np.float64), _seen_once(column)
        )
    return found


def _seen_once(column: ColumnProfile) -> int:
    """Count the texts that occur once: so many new ones are to be expected."""
    if column.is_number or not column.levels.is_exact:
        return 0
    return int(np.sum(column.levels.counts == 1))


def _profile(
    baseline: Baseline, batches: BatchMaker, unfit: UnfitCounter | None
) -> tuple[Profile, pa.Table]:
    """Summarise the rows, and keep some of them for what needs values beside each other."""
    profile = Profile.empty(baseline.signature, baseline.cells)
    sampler = Sampler([one.name for one in baseline.signature.columns if one.role == "feature"])
    known = {column.name for column in baseline.signature.columns}
    for batch in batches():
        counts = unfit(batch) if unfit else None
        own = [name for name in batch.schema.names if name in known or name not in IDS]
        profile.update(batch.select(own), counts)
        sampler.add(batch)
    return profile, sampler.table()


def _result(column: Column, profile: Profile, judgement: Judgement) -> FeatureResult:
    """Put one line of the table of features together."""
    name, found = column.name, profile.columns[column.name]
    note = judgement.notes.get(name, "")
    drift = None if note else judgement.drifts.get(name)
    return FeatureResult(
        feature=name,
        type=column.type,
        role=column.role,
        row_count=found.row_count,
        missing_count=found.missing_count,
        unfit_count=found.unfit_count,
        distance=drift.distance if drift else None,
        bound=drift.bound if drift else None,
        p_value=drift.p_value if drift else None,
        set=drift.predicate.phrase if drift else None,
        share_reference=drift.share_reference if drift else None,
        share_window=drift.share_window if drift else None,
        share_low=drift.share_interval[0] if drift else None,
        share_high=drift.share_interval[1] if drift else None,
        design_effect=drift.design_effect if drift else None,
        stability=drift.stability if drift else None,
        jensen_shannon=drift.jensen_shannon if drift else None,
        share_of_blame=judgement.blame.get(name, 0.0),
        note=note,
    )
