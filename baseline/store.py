"""Baselines: fitted from reference data, saved and loaded.

A folder holds statistics.json, constraints.json, signature.json and Arrow files with finer
summaries: docs/baselines.md, "Files of a baseline". A folder of SageMaker's has only documents:
those of data quality, of model quality under the same names, or Clarify's analysis.json.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import pyarrow as pa
from pyarrow import fs

from driftline.baseline.analyzer import analyzed
from driftline.baseline.blocks import BlockCounts
from driftline.baseline.captured_ids import holds_captured
from driftline.baseline.cells import Cells
from driftline.baseline.constraints import Constraints
from driftline.baseline.counts import counts_from_table, counts_to_table
from driftline.baseline.derived import derivations
from driftline.baseline.derived_columns import DerivedCounts
from driftline.baseline.display import columns_line, profile_html
from driftline.baseline.documents import profile_from_statistics, signature_from_constraints
from driftline.baseline.engine import Engine, open_engine
from driftline.baseline.estimation import EstimationRows
from driftline.baseline.fit import Fitted, fit_source
from driftline.baseline.folder import (
    from_ipc,
    from_parquet,
    is_of_quality,
    parsed_file,
    plain_document,
    read_file,
    replace_files,
    to_ipc,
    to_parquet,
)
from driftline.baseline.losses import LevelLosses, losses_by_level
from driftline.baseline.outcomes import Outcomes
from driftline.baseline.profile import Profile
from driftline.baseline.sample import RowSample, keeper_of
from driftline.baseline.segments import SegmentCounter
from driftline.baseline.statistics import Statistics
from driftline.errors import InputError, NotFoundError
from driftline.formats.location import Location, locate
from driftline.formats.source import open_source
from driftline.roles import Facet, Problem, Roles
from driftline.signature import Signature

log = logging.getLogger(__name__)

UNNAMED_TIMES = (
    "{} holds times, and no column is named as the time of each row; if it is that, name it, so "
    "that the baseline knows how days differ: {}"
)

CATALOG = "driftline.monitors.kinds.catalog"  # It lies above, and is imported when it is needed.
STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"
SIGNATURE, PROFILE = "signature.json", "profile.parquet"
COUNTS, SAMPLE, LABELLED = "counts.parquet", "sample.parquet", "labelled.parquet"
ATTRIBUTIONS = "attributions.arrow"
# The files that only driftline writes.
OWN_FILES = PROFILE, COUNTS, SAMPLE, LABELLED, ATTRIBUTIONS
# Documents of other kinds of monitor; they are read, kept and written as they are.
ANALYSIS = "analysis.json"
QUALITY_STATISTICS = "model-quality/statistics.json"
QUALITY_CONSTRAINTS = "model-quality/constraints.json"
# Who made which columns anew, and why.
CHANGES = "changes.json"
OTHER_DOCUMENTS = (ANALYSIS, QUALITY_STATISTICS, QUALITY_CONSTRAINTS, CHANGES)
DOCUMENTS = (
    STATISTICS, CONSTRAINTS, SIGNATURE, PROFILE, COUNTS, SAMPLE, LABELLED, ATTRIBUTIONS,
    *OTHER_DOCUMENTS,
)  # fmt: skip
# What columns are, and what they and answers must keep to, without a summary of any.
OUTLINE = (CONSTRAINTS, SIGNATURE, SAMPLE, LABELLED, *OTHER_DOCUMENTS)
# The constraints of a folder that has none of data quality.
NONE = '{"version": 0.0, "features": []}'
T = TypeVar("T")
Sample = Literal["rows", "none"]


@dataclass(frozen=True)
class Baseline:
    """What was computed from a reference data set.

    Parameters
    ----------
    signature
        Columns, types, roles.
    profile
        Summaries by column, with exact cell counts; None when there are only constraints.
    statistics
        The document statistics.json; None when there are only constraints.
    constraints
        The document constraints.json.
    cells
        By column: what windows are counted on. Columns that are not judged have none.
    blocks
        The reference's cell counts by hour, when it has an event time.
    rows
        Some of the reference's rows; None where none are kept.
    attributions
        How much each feature contributed in a sample, when a model was given.
    documents
        Those of other kinds, by file name; they win over what outcomes would suggest.
    segments
        What the rows of each value of some columns hold, when that was asked for.
    labelled
        The rows that outcomes are of, where the distributions were renewed from others.
    derived
        Derived columns with the reference's counts; None without any.
    functions
        Metrics of model quality that `fit` was given; a folder keeps their names, in `documents`.
    """

    signature: Signature
    profile: Profile | None
    statistics: Statistics | None
    constraints: Constraints
    cells: Mapping[str, Cells]
    blocks: BlockCounts | None = None
    rows: Outcomes | None = None
    attributions: pa.Table | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    segments: SegmentCounter | None = None
    labelled: Outcomes | None = None
    derived: DerivedCounts | None = None
    functions: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        data: object,
        *,
        label: str | None = None,
        prediction: str | None = None,
        probability: str | Sequence[str] | None = None,
        id: str | None = None,  # noqa: A002 - As the command line and resource files spell it.
        timestamp: str | None = None,
        exclude: Iterable[str] = (),
        categorical: Iterable[str] = (),
        problem: Problem | None = None,
        positive: object = None,
        threshold: float | None = None,
        facet: str | Facet | Mapping[str, Any] | Iterable[str | Facet] = (),
        group: str | None = None,
        weight: str | None = None,
        quantiles: Mapping[float, str] | None = None,
        segments: Iterable[str] = (),
        preprocess: str | os.PathLike[str] | None = None,
        engine: str | Engine = "local",
        progress: Callable[[int, int | None], None] | None = None,
        compat: bool = False,
        id_column: str | None = None,
        predict: Callable[[pa.Table], np.ndarray] | None = None,
        metrics: object = None,
        costs: object = None,
        sample: Sample = "rows",
    ) -> Baseline:
        """Make a baseline of reference data; the data is read twice.

        Parameters
        ----------
        data
            A path, glob or folder, a data frame, anything Arrow (docs/inputs.md, roles, too).
        label, prediction, probability, id, timestamp, exclude, categorical
            Columns by role; `categorical` are codes.
        problem, positive, threshold
            Kind of prediction, its positive value (``[1, "approve"]`` where both differ), and above
            which probability an answer without prediction is positive (0.5).
        facet, group, weight, quantiles
            Of groups, ``"sex=F"`` or ``{"sex": ["F"]}``; to stratify by; weights; ``{0.1: "p10"}``.
        segments, preprocess, engine
            Columns judged value by value, SageMaker's script (docs/scripts-and-segments.md), and
            where the data is read, as `check` takes them; the baseline is the same, byte by byte.
        progress, compat
            Called with rows done and in total (None when not known), each row twice; types and
            documents as SageMaker's, types by each value's text: the data is read once more.
        predict, metrics, costs
            Asks the model, for "attribution", such as ``model.predict``; what model quality
            measures besides, as `check` takes them (docs/model-quality.md).
        sample
            "none" keeps no row of the data: then nothing can be judged by rows, such as model
            quality, bias, joint drift and outliers.

        Raises
        ------
        InputError
            When the data cannot be read, holds no rows, or lacks a named column.
        """
        roles = Roles.of(
            label=label, prediction=prediction, probability=probability, id=id, id_column=id_column,
            timestamp=timestamp, exclude=exclude, categorical=categorical, problem=problem,
            positive=positive, threshold=threshold, facet=facet, group=group, weight=weight,
            quantiles=quantiles)  # fmt: skip
        fitted = cls.of(data, roles, segments=segments, preprocess=preprocess, engine=engine,
                        progress=progress, compat=compat, sample=sample)  # fmt: skip
        if times := fitted.unnamed_times:
            log.warning("%s", UNNAMED_TIMES.format(times, f'timestamp="{times}"'))
        made: Callable[..., Baseline] = import_module(CATALOG).with_documents
        return made(fitted, data, predict, preprocess, metrics, costs, compat)

    @classmethod
    def of(
        cls,
        data: object,
        roles: Roles,
        *,
        segments: Iterable[str] = (),
        preprocess: str | os.PathLike[str] | None = None,
        engine: str | Engine = "local",
        progress: Callable[[int, int | None], None] | None = None,
        compat: bool = False,
        model_classes: Sequence[str] = (),
        sample: Sample = "rows",
    ) -> Baseline:
        """Make a baseline as `fit` does, with the roles as one value.

        A positive value may be one of `model_classes`, which only the model answers.
        """
        place = open_engine(engine)
        times = () if roles.timestamp is None else (roles.timestamp,)
        if preprocess is not None:
            # A heavy import that only a script needs.
            from driftline.baseline.scripting import preprocessed

            data = preprocessed(data, preprocess, compat=compat)
        source = analyzed(data, times=times) if compat else open_source(data)
        fitted: Fitted = fit_source(
            source, roles, segments=segments, engine=place, progress=progress,
            unjudged={} if compat else None,  # SageMaker's document leaves none out.
            model_classes=model_classes, keep_rows=sample_kept(sample),
        )  # fmt: skip
        statistics = Statistics.from_profile(fitted.profile)
        return cls(statistics=statistics, **vars(fitted))

    @property
    def sampled_count(self) -> int:
        """Number of rows kept; erasure, which leaves the version as it is, makes it less."""
        return sum(len(one.table) for one in (self.rows, self.labelled) if one is not None)

    @property
    def keeps_captured(self) -> bool:
        """Whether rows that an endpoint captured are kept, which an erasure may take away."""
        kept = (one.table for one in (self.rows, self.labelled) if one is not None)
        return holds_captured(self.attributions, *kept)

    @property
    def outcomes(self) -> Outcomes | None:
        """Rows with predictions or groups to compare; None without any."""
        found = self.labelled or self.rows
        return found if found is not None and found.are_outcomes else None

    @cached_property
    def sample(self) -> RowSample | None:
        """Some of the rows by cell, for joint questions; None where none are kept."""
        if self.rows is None or self.profile is None:
            return None
        table = self.rows.table
        cells = {name: one for name, one in self.cells.items() if name in table.column_names}
        if not cells:
            return None
        event_time, traits = self.rows.roles.timestamp, derivations(self.profile, cells)
        kept = keeper_of(cells, event_time)
        for batch in table.combine_chunks().to_batches():
            kept.update(batch)
        sample = RowSample.of(kept, cells, event_time, traits)
        return replace(sample, row_count=self.rows.row_count)

    @cached_property
    def losses(self) -> Mapping[str, LevelLosses] | None:
        """How wrong the answers were by level of the texts; None without labels."""
        rows = self.outcomes
        return None if rows is None else losses_by_level(rows, self.signature, self.cells)

    @cached_property
    def estimation(self) -> EstimationRows | None:
        """What quality is estimated by without labels; None without labels or predictions."""
        rows = self.outcomes
        return None if rows is None else EstimationRows.of(rows, self.signature, self.cells)

    @cached_property
    def cell_ids(self) -> Mapping[str, str]:
        """By counted column, derived ones too: the id of its cells."""
        derived = () if self.derived is None else self.derived.columns
        own = {one.name: one.cells.id for one in derived}
        return {**{name: cells.id for name, cells in self.cells.items()}, **own}

    @property
    def unnamed_times(self) -> str | None:
        """The first column of times, where no role names the event time."""
        if self.signature.event_time is not None:
            return None
        features = (one for one in self.signature.features if one.role == "feature")
        return next((one.name for one in features if one.type == "timestamp"), None)

    def __repr__(self) -> str:
        """Return one line: how many rows, and the first columns."""
        names = [column.name for column in self.signature.columns]
        rows = "constraints alone" if self.profile is None else f"rows: {self.profile.row_count:,}"
        return columns_line("Baseline", rows, names)

    def _repr_html_(self) -> str:
        """Show the reference's columns in a notebook."""
        return profile_html(f"Baseline {self.version}", self.profile, self.signature)

    @cached_property
    def _documents(self) -> dict[str, bytes]:
        """The folder's files by name; the same baseline gives the same bytes."""
        found: dict[str, bytes] = {}
        if self.constraints.features or not self.documents:
            found[CONSTRAINTS] = self.constraints.to_json().encode()
        if self.statistics is not None:
            found[STATISTICS] = self.statistics.to_json().encode()
        if self.profile is not None:
            found[PROFILE] = self.profile.to_bytes()
        counts = counts_to_table(self.cells, self.blocks, self.derived, self.segments)
        if counts is not None:
            found[COUNTS] = to_parquet(counts)
        for name, rows in ((SAMPLE, self.rows), (LABELLED, self.labelled)):
            if rows is not None:
                found[name] = rows.to_bytes()
        if self.attributions is not None:
            found[ATTRIBUTIONS] = to_ipc(self.attributions)
        found |= {name: text.encode() for name, text in self.documents.items()}
        signature = {**json.loads(self.signature.to_json()), "files": sorted(found)}
        text = json.dumps(signature, indent=2, ensure_ascii=False) + "\n"
        return {SIGNATURE: text.encode(), **found}

    @cached_property
    def version(self) -> str:
        """Digest of the documents, 16 hex digits; a stored one keeps what it is stored under."""
        return _digest(self._documents)

    @cached_property
    def size_bytes(self) -> int:
        """Size of its files; of a loaded one, of the files that were read."""
        return sum(map(len, self._documents.values()))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the documents into a folder or URI, in place of those of a baseline there."""
        write_folder(locate(folder), self)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Baseline:
        """Read a folder or URI that `save` or SageMaker wrote.

        Raises
        ------
        InputError
            Naming the file that is missing or broken.
        """
        return read_folder(locate(folder))


def sample_kept(sample: str) -> bool:
    """Whether rows are kept; InputError for a value that there is not."""
    if sample not in get_args(Sample):
        raise InputError(f'sample "{sample}"; expected rows, or none')
    return sample == "rows"


def written_version(folder: str | os.PathLike[str]) -> str:
    """Return the version of the files that lie in a folder now."""
    place = locate(folder)
    found = {name: read_file(place, name) for name in DOCUMENTS}
    return _digest({name: data for name, data in found.items() if data is not None})


def _digest(documents: Mapping[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, data in sorted(documents.items()):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def write_folder(place: Location, baseline: Baseline) -> None:
    """Write a baseline's documents, in place of those of a baseline there."""
    replace_files(place, baseline._documents, among=DOCUMENTS, last=SIGNATURE)


def read_folder(
    place: Location, parts: Sequence[str] = DOCUMENTS, columns: Sequence[str] | None = None
) -> Baseline:
    """Read parts of a baseline, and of its columns some."""
    if place.kind != fs.FileType.Directory:
        raise NotFoundError(f"{place.shown}: no such folder; expected a baseline")
    read = {name: data for name in parts if (data := read_file(place, name)) is not None}
    found = {**read}
    for name, other in ((STATISTICS, QUALITY_STATISTICS), (CONSTRAINTS, QUALITY_CONSTRAINTS)):
        if name in found and is_of_quality(found[name]):
            found[other] = found.pop(name)

    def parsed(name: str, parse: Callable[[bytes], T]) -> T | None:
        return parsed_file(place, name, parse, found[name]) if name in found else None

    signature = parsed(SIGNATURE, Signature.from_json)
    _require_files(place, read, parts)
    constraints = parsed(CONSTRAINTS, Constraints.from_json) or Constraints.from_json(NONE)
    statistics = parsed(STATISTICS, Statistics.from_json)
    if signature is None:
        signature = signature_from_constraints(constraints, statistics)
    profile = parsed(PROFILE, Profile.from_bytes)
    if profile is not None and columns is not None:
        kept = {name: one for name, one in profile.columns.items() if name in columns}
        profile = replace(profile, columns=kept)
    elif profile is None and statistics is not None:
        profile = profile_from_statistics(statistics, signature)
    cells = _cells(profile)
    counts = parsed(COUNTS, lambda data: counts_from_table(from_parquet(data), cells))
    blocks, derived, segments = counts or (None, None, None)
    baseline = Baseline(
        signature,
        profile,
        statistics,
        constraints,
        cells,
        blocks,
        rows=parsed(SAMPLE, Outcomes.from_bytes),
        attributions=parsed(ATTRIBUTIONS, from_ipc),
        segments=segments,
        labelled=parsed(LABELLED, Outcomes.from_bytes),
        derived=derived,
        documents={
            name: parsed_file(place, name, plain_document, found[name])
            for name in OTHER_DOCUMENTS
            if name in found
        },
    )
    vars(baseline)["size_bytes"] = sum(map(len, found.values()))
    return baseline


def _require_files(place: Location, found: Mapping[str, bytes], parts: Sequence[str]) -> None:
    """Refuse a folder that lacks a file of its baseline; SageMaker's folders list none."""
    if SIGNATURE not in found:
        if own := next((name for name in OWN_FILES if name in found), None):
            raise InputError(
                f"{place.shown}: {own} without {SIGNATURE}, which is written last: saving this "
                "baseline was cut off; make it again"
            )
    elif (listed := json.loads(found[SIGNATURE]).get("files")) is None:
        raise InputError(
            f"{place.shown}/{SIGNATURE}: it does not list the baseline's files; make the baseline "
            "again"
        )
    elif lost := [name for name in listed if name in parts and name not in found]:
        raise InputError(
            f"{place.shown}: {', '.join(lost)} of this baseline is missing; take it from a backup, "
            "or make the baseline again"
        )
    if CONSTRAINTS in parts and not found.keys() & {CONSTRAINTS, *OTHER_DOCUMENTS}:
        raise NotFoundError(f"{place.shown}: no {CONSTRAINTS} in it; expected a baseline folder")


def _cells(profile: Profile | None) -> dict[str, Cells]:
    columns = {} if profile is None else profile.columns
    return {name: column.cells for name, column in columns.items() if column.cells is not None}
