"""The public report of a check: its documents, its pages, and the rows behind its violations.

Documents are SageMaker's (statistics.json, constraint_violations.json) and report.json with all
that they have no place for. Equal rows against an equal baseline give equal bytes: no times, no
random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import pyarrow as pa

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline.folder import refuse_baseline
from driftline.errors import InputError, UndecidedError
from driftline.formats.json.jackson import to_jackson
from driftline.formats.location import locate
from driftline.monitors.kind import kind_named
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.datapoints import report_datapoints
from driftline.monitors.report.ranking import chosen
from driftline.monitors.report.report_html import html_document, report_html, title_of
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.results.violation import REPR_WIDTH, Violation
from driftline.monitors.root_cause.export import contributing_batches, form_of, write_rows
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.rows import BatchMaker

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = "statistics.json"
VIOLATIONS = "constraint_violations.json"
REPORT = "report.json"
# What the rows' positions travel in; a name that no data set gives to a column of its own.
POSITION = "\0position"


@dataclass(frozen=True, repr=False)
class Report(CheckResult):
    """What a check found, with its documents, its pages and its rows."""

    @property
    def features(self) -> pd.DataFrame:
        """One row a feature: counts, distance, bound, p-value, share of the blame, as a table.

        Of other kinds than data quality: one row a metric, with interval and reference. A metric of
        a step ahead or a class, beside the same of all, is named with it: ``step 1: mae``.
        """
        import pandas as pd  # Heavy, and only for people: a monitor's run never asks.

        if self.metrics:
            whole = {one.name for one in self.metrics if not one.label}
            parts = {one for one in self.metrics if one.label and one.name in whole}
            return pd.DataFrame(
                [
                    asdict(one) | ({"name": one.shown} if one in parts else {})
                    for one in self.metrics
                ]
            )
        names = list(FeatureResult.__dataclass_fields__)
        table = pd.DataFrame([asdict(result) for result in self.results], columns=names)
        table.insert(names.index("bound") + 1, "ratio", [result.ratio for result in self.results])
        return table

    def rows(self, violation: Violation | int | str, limit: int | None = 50) -> pd.DataFrame:
        """Return the first rows behind a violation, the offending column in front; None: all.

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
        predicate = chosen(self.violations, violation).predicate
        if predicate is None:
            table = next((pa.Table.from_batches([one]) for one in self._rows()()), pa.table({}))
            return table.slice(0, 0).to_pandas()  # type: ignore[no-any-return] # A frame.
        most = self.row_count if limit is None else limit
        table = matching_rows(self._rows()(), predicate, limit=most, position=POSITION)
        found: pd.DataFrame = table.to_pandas()
        return found.set_index(POSITION).rename_axis(None) if POSITION in found else found

    def export(self, violation: Violation | int | str | None, path: str | PathLike[str]) -> int:
        """Write all rows behind a violation, and no others, to a CSV or Parquet file.

        None: the rows behind any violation. Rows have ids in front, or their number as ``row``.

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
        one = None if violation is None else chosen(self.violations, violation)
        asked = self.violations if one is None else (one,)
        conditions = [found.predicate for found in asked if found.predicate is not None]
        if not conditions:
            which = "no violation" if one is None else str(one.feature_name)
            check = "" if one is None else f": {one.constraint_check_type}"
            raise InputError(f"{which}{check} has no rows behind it")
        return write_rows(contributing_batches(self._rows()(), conditions), form, Path(path))

    def _rows(self) -> BatchMaker:
        if self.batches is None:
            raise UndecidedError("the rows of this report are gone; check the data again")
        return self.batches

    def documents(self) -> Mapping[str, str]:
        """Return the documents that `save` writes.

        Returns
        -------
        mapping
            The text of each by its file name: ``report.json``, and those of SageMaker of the kind,
            such as ``constraint_violations.json``.
        """
        found = [violation.document for violation in self.violations]
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
        """Return the metrics that this report yields, at the end of its window.

        Parameters
        ----------
        monitor, endpoint
            Their dimensions.
        execution_id
            Of the run that made it.

        Raises
        ------
        InputError
            When it was made of rows at hand, not of a window.
        """
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
        """Return the report as one page that needs no other file."""
        return html_document(title_of(self), report_html(self))

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
        return report_html(self)

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        """Return one line; `to_dict` has everything."""
        return f"<Report {self.kind}: {shorten(self.summary, REPR_WIDTH, placeholder=' …')}>"
