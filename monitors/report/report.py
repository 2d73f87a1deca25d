"""The result of one check: what is violated, by which rows, and the documents that say so.

Documents are SageMaker's (statistics.json, constraint_violations.json) and report.json with all
that they have no place for. Equal rows against an equal baseline give equal bytes: no times, no
random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import pyarrow as pa

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline.folder import refuse_baseline
from driftline.baseline.statistics import Statistics
from driftline.capture.windows.window import Window
from driftline.errors import InputError, UndecidedError
from driftline.formats.json.jackson import to_jackson
from driftline.formats.location import locate
from driftline.monitors.annotations.expected import ExpectedViolation
from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kind import kind_named
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.datapoints import report_datapoints
from driftline.monitors.report.notebook import report_cell
from driftline.monitors.report.page import report_page
from driftline.monitors.report.ranking import tellings
from driftline.monitors.report.summary_line import cause_sentence, headline_of, summary_of
from driftline.monitors.results.metric import INSUFFICIENT, MetricPoint, MetricResult
from driftline.monitors.results.segment_result import SegmentResult
from driftline.monitors.results.violation import (
    REPR_WIDTH,
    FeatureResult,
    JsonValue,
    Violation,
    plural,
)
from driftline.monitors.root_cause.export import blamed_batches, form_of, write_rows
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.root_cause.shares import Blamed, blamed_by
from driftline.monitors.rows import BatchMaker, WindowFacts
from driftline.monitors.warm_up.warm_up import Finding

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
STATISTICS = "statistics.json"
VIOLATIONS = "constraint_violations.json"
REPORT = "report.json"
# What the rows' positions travel in; a name that no data set gives to a column of its own.
POSITION = "\0position"

Comparer = Callable[[str], Comparison | None]


@dataclass(frozen=True)
class Report:
    """What a check found.

    Parameters
    ----------
    kind
        Of the monitor, by its name.
    violations
        Most blamed feature first.
    expected
        Violations that somebody has marked as expected: no alarm, and in no count.
    row_count
        Rows that were judged.
    results
        One line for each column of the signature, of data quality.
    metrics
        One line for each measured number, of the other kinds.
    statistics
        The window's summaries, of data quality.
    files
        SageMaker's documents of the window by name, besides constraint_violations.json.
    points
        Numbers for the metric store under SageMaker's names, of the other kinds.
    facts
        What capture says, when the data were a window.
    baseline_version
        Digest of the baseline's documents.
    alpha
        The p-value below which one column, or one number, is a violation.
    unmetered
        Columns for which the constraints ask for no metrics.
    segments
        One line for each segment that was judged apart.
    details
        What else a kind has to tell people, for report.json, such as a confusion matrix.
    counts, cell_ids
        What the next windows are judged together with, and the cells it was counted on by column;
        None when the kind needs none.
    commissioning
        Which drift is held back, since the monitor is new to a baseline that does not fit.
    batches
        Gives the judged rows again; None when they are gone.
    references
        By column: the reference's cells and counts, by which rows share the blame.
    comparer
        Lays one feature's values beside the reference's; None when there are none to lay.
    """

    kind: str
    violations: tuple[Violation, ...]
    row_count: int
    results: tuple[FeatureResult, ...] = ()
    metrics: tuple[MetricResult, ...] = ()
    statistics: Statistics | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()
    facts: WindowFacts | None = None
    baseline_version: str = ""
    alpha: float = 0.0
    unmetered: frozenset[str] = frozenset()
    segments: tuple[SegmentResult, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    counts: WindowCounts | None = field(default=None, repr=False, compare=False)
    cell_ids: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    commissioning: Finding | None = None
    expected: tuple[ExpectedViolation, ...] = ()
    batches: BatchMaker | None = field(default=None, repr=False, compare=False)
    references: Mapping[str, ReferenceColumn] = field(
        default_factory=dict, repr=False, compare=False
    )
    comparer: Comparer | None = field(default=None, repr=False, compare=False)

    @property
    def window(self) -> Window | None:
        """The span of time, when the data were a window."""
        return None if self.facts is None else self.facts.window

    @property
    def labelled_count(self) -> int:
        """Rows of a captured window that ground truth has come for."""
        return 0 if self.facts is None else self.facts.labelled_count

    @property
    def passed(self) -> bool:
        """Whether nothing is violated, and anything was `decided`: no data have not passed."""
        return self.decided and not self.violations

    @property
    def decided(self) -> bool:
        """Whether anything at all could be judged: there are rows, and not too few for all of it.

        What is violated is decided, however few the rows; so is a baseline without a distribution
        to compare with, as one of constraints alone.
        """
        if not self.row_count:
            return self._found_any  # A rule may demand rows.
        if self.metrics:
            # What is only shown, such as a class's share, decides nothing.
            return self._found_any or any(one.bound is not None for one in self.metrics)
        known = self.max_drift_ratio is not None or bool(self.details.get("rules"))
        return self._found_any or known or not (self.insufficient_data or self.undecidable)

    @property
    def _found_any(self) -> bool:
        return bool(self.violations or self.expected)

    @property
    def insufficient_data(self) -> tuple[str, ...]:
        """Columns, or numbers, that could not be judged because there are too few rows."""
        small = [one.feature for one in self.results if one.note == INSUFFICIENT]
        return (*small, *(one.shown for one in self.metrics if one.note == INSUFFICIENT))

    @property
    def undecidable(self) -> tuple[str, ...]:
        """Columns that vary too much in the reference for so many rows to show any drift."""
        return tuple(one.feature for one in self.results if one.note == UNDECIDABLE)

    @property
    def violation_count(self) -> int:
        """What happened, each thing once, however many checks have noticed it in the same rows."""
        return len(tellings(self.violations))

    @property
    def page_count(self) -> int:
        """Of these, what no season can bring."""
        return sum(one.first.severity == "page" for one in tellings(self.violations))

    @property
    def max_drift_ratio(self) -> float | None:
        """Largest distance over its bound, violated or not; None when no drift was judged.

        Columns whose violations are all expected do not count.
        """
        loud = {one.feature_name for one in self.violations}
        quiet = {one.violation.feature_name for one in self.expected} - loud
        ratios = [one.ratio for one in self.results if one.feature not in quiet]
        return max((one for one in ratios if one is not None), default=None)

    @property
    def cause(self) -> str:
        """One sentence that a pager can print; empty when nothing is violated."""
        return cause_sentence(self.violations)

    @property
    def plain_cause(self) -> str:
        """The same without values of rows, for channels that may not be told them."""
        return cause_sentence(self.violations, has_values=False)

    @property
    def summary(self) -> str:
        """One sentence for the command line, in SageMaker's words where it has them."""
        return summary_of(self)

    @property
    def headline(self) -> str:
        """How many rows and violations, without the cause."""
        return headline_of(self)

    @property
    def features(self) -> pd.DataFrame:
        """One row a feature: counts, distance, bound, p-value, share of the blame, as a table.

        Of other kinds than data quality: one row a metric, with interval and reference.
        """
        import pandas as pd  # Heavy, and only for people: a monitor's run never asks.

        if self.metrics:
            return pd.DataFrame([asdict(one) for one in self.metrics])
        names = list(FeatureResult.__dataclass_fields__)
        table = pd.DataFrame([asdict(one) for one in self.results], columns=names)
        table.insert(names.index("bound") + 1, "ratio", [one.ratio for one in self.results])
        return table

    def comparison(self, feature: str) -> Comparison | None:
        """Lay the shares of a feature's values beside the reference's, with intervals."""
        return None if self.comparer is None else self.comparer(feature)

    def rows(self, violation: Violation | int | str, limit: int | None = 50) -> pd.DataFrame:
        """Give the first rows behind a violation, the offending column in front; None: all.

        A violation is named by itself, by its number, or by its feature: the feature's first one.
        Without any where no single rows are behind it, as behind a missing column.
        The index holds the rows' positions in the data, from 0, as ``first_rows`` does: ``.iloc``
        finds them there. Captured rows have ids in front instead.

        Raises
        ------
        UndecidedError
            When the rows are gone.
        InputError
            When the report has no violation of that number or feature.
        """
        chosen = self._chosen(violation).predicate
        if chosen is None:
            table = next((pa.Table.from_batches([one]) for one in self._rows()()), pa.table({}))
            return table.slice(0, 0).to_pandas()  # type: ignore[no-any-return] # A frame.
        most = self.row_count if limit is None else limit
        table = matching_rows(self._rows()(), chosen, limit=most, position=POSITION)
        found: pd.DataFrame = table.to_pandas()
        return found.set_index(POSITION).rename_axis(None) if POSITION in found else found

    def export(self, violation: Violation | int | str | None, path: str | PathLike[str]) -> int:
        """Write all rows behind a violation, and no others, to a CSV or Parquet file.

        Each has its ``share_of_blame``, which sum to 1; None: the rows behind any violation, each
        of which counts by its own share. Rows have ids in front, or their number as ``row``.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        UndecidedError, InputError
            As `rows` does; and InputError where no rows are behind it, and for another ending than
            .csv or .parquet.
        """
        form = form_of(fspath(path))
        found = blamed_batches(self._rows(), self._blamed(violation), self.references)
        return write_rows(found, form, Path(path))

    def _blamed(self, violation: Violation | int | str | None) -> list[Blamed]:
        return blamed_by(self.violations if violation is None else (self._chosen(violation),))

    def _chosen(self, violation: Violation | int | str) -> Violation:
        if isinstance(violation, Violation):
            return violation
        count = len(self.violations)
        if isinstance(violation, str):
            names = list(dict.fromkeys(one.feature_name for one in self.violations))
            if violation not in names:
                raise InputError(
                    f'violation "{violation}": the report has {plural(count, "violation")}'
                    + f", of {', '.join(names[:8])}" * bool(count)
                )
            violation = next(
                at for at, one in enumerate(self.violations) if one.feature_name == violation
            )
        if not -count <= violation < count:
            raise InputError(
                f"violation {violation}: the report has {plural(count, 'violation')}"
                + f"; expected 0 to {count - 1}" * bool(count)
            )
        return self.violations[violation]

    def _rows(self) -> BatchMaker:
        if self.batches is None:
            raise UndecidedError("the rows of this report are gone; check the data again")
        return self.batches

    def to_dict(self) -> dict[str, JsonValue]:
        """Give report.json as plain values, the same for the same rows and baseline."""
        window: JsonValue = None
        if self.window is not None:
            window = {
                "start": self.window.start.isoformat().replace("+00:00", "Z"),
                "end": self.window.end.isoformat().replace("+00:00", "Z"),
            }
        facts = self.facts
        return {
            "format": FORMAT_VERSION,
            "kind": self.kind,
            "window": window,
            "baseline_version": self.baseline_version,
            "passed": self.passed,
            "decided": self.decided,
            "cause": self.cause,
            "row_count": self.row_count,
            "request_count": facts.request_count if facts else 0,
            "late_count": facts.late_count if facts else 0,
            "unparsed_count": facts.unparsed_count if facts else 0,
            "decoder_fault_count": facts.fault_count if facts else 0,
            "failed_count": facts.failed_count if facts else 0,
            "labelled_count": self.labelled_count,
            "unfit_label_count": facts.unfit_label_count if facts else 0,
            "stray_label_count": facts.stray_label_count if facts else 0,
            "stray_label_ids": list(facts.stray_label_ids) if facts else [],
            "violation_count": self.violation_count,
            "page_count": self.page_count,
            "max_drift_ratio": self.max_drift_ratio,
            "alpha": self.alpha,
            "insufficient_data": list(self.insufficient_data),
            "undecidable": list(self.undecidable),
            "violations": [one.to_dict() for one in self.violations],
            "expected_violations": [one.to_dict() for one in self.expected],
            "features": [{**asdict(one), "ratio": one.ratio} for one in self.results],
            "metrics": [one.to_dict() for one in self.metrics],
            "segments": [one.to_dict() for one in self.segments],
            "details": dict(self.details),
        }

    def documents(self) -> Mapping[str, str]:
        """Give the text of each document by its file name."""
        found = [one.document for one in self.violations]
        version = kind_named(self.kind).violations_version
        # Clarify's document of violations has a version, the analyzer's has none.
        head = {} if version is None else {"version": version}
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return {
            **self.files,
            VIOLATIONS: to_jackson({**head, "violations": found}),
            REPORT: text + "\n",
        }

    def datapoints(self, *, monitor: str, endpoint: str, execution_id: str) -> list[Datapoint]:
        """Give the metrics that this report yields; its window says when."""
        return report_datapoints(
            self, monitor=monitor, endpoint=endpoint, execution_id=execution_id
        )

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the documents into a folder or below a URI; it is made when it is not there.

        Raises
        ------
        InputError
            When a baseline is there: its documents have the same names.
        """
        place = locate(folder)
        refuse_baseline(place)
        for name, text in self.documents().items():
            (place / name).write(text.encode())

    def html(self) -> str:
        """Give the report as one page that needs no other file."""
        return report_page(self)

    def to_html(self, file: str | PathLike[str]) -> None:
        """Write the report as one page that needs no other file, to a path or a URI.

        Raises
        ------
        UnavailableError
            When the file cannot be written.
        """
        locate(file).write(self.html().encode())

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        return report_cell(self)

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        """Give one line; `to_dict` has everything."""
        return f"<Report {self.kind}: {shorten(self.summary, REPR_WIDTH, placeholder=' …')}>"
