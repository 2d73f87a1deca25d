"""Reports of several kinds on the same rows: one verdict, one page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from textwrap import shorten
from typing import TYPE_CHECKING

from driftline.baseline.folder import refuse_baseline
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.monitors.kind import kind_names
from driftline.monitors.report.check_result import RESULT_FORMAT
from driftline.monitors.report.ranking import chosen
from driftline.monitors.report.report import REPORT, VIOLATIONS, Report
from driftline.monitors.report.report_html import html_document, reports_html, reports_title
from driftline.monitors.results.unjudged import Unjudged
from driftline.monitors.results.violation import REPR_WIDTH, JsonValue, Violation, plural

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False, eq=False)
class Reports(Mapping[str, Report]):
    """The reports of several kinds on the same rows, by the name of the kind."""

    reports: Mapping[str, Report]
    # Kinds that the baseline holds nothing for, and kinds by which these rows cannot be judged;
    # each with the reason, in a sentence.
    left_out: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    baseline_version: str = ""  # Digest of the baseline's documents.

    def __getitem__(self, kind: str) -> Report:
        if kind in self.reports:
            return self.reports[kind]
        why = self.refused.get(kind) or self.left_out.get(kind)
        raise KeyError(f"{kind}: {why}" if why else kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    @property
    def passed(self) -> bool:
        """Whether every kind has passed; kinds that the baseline lacks do not count."""
        return not self.refused and all(report.passed for report in self.values())

    @property
    def decided(self) -> bool:
        """Whether every kind could decide something."""
        return not self.undecided

    @property
    def decided_count(self) -> int:
        """Number of kinds that decided something."""
        return sum(report.decided for report in self.values())

    @property
    def undecided(self) -> Mapping[str, str]:
        """The kinds that decided nothing, each with the reason."""
        found = {name: report.summary for name, report in self.items() if not report.decided}
        return {**found, **self.refused}

    @property
    def undecided_line(self) -> str:
        """The same in one sentence; "" for none."""
        return "; ".join(f"{name}: {why}" for name, why in self.undecided.items())

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The violations of all kinds, each with the name of its own."""
        return tuple(
            replace(one, kind=name) for name, report in self.items() for one in report.violations
        )

    @property
    def cause(self) -> str:
        """The causes of each kind in turn; empty when nothing is violated."""
        causes = {name: report.cause for name, report in self.items() if report.cause}
        return "; ".join(f"{name}: {cause}" for name, cause in causes.items())

    def rows(self, violation: Violation | int | str, limit: int | None = 50) -> pd.DataFrame:
        """Return the first rows behind one of `violations`, as `Report.rows` of its kind does.

        Raises
        ------
        UndecidedError
            When the rows are gone.
        InputError
            When there is no such violation, or one that is none of `violations`.
        """
        found = chosen(self.violations, violation)
        if found.kind not in self.reports:
            raise InputError(f'violation of "{found.feature_name}": give one of .violations')
        return self.reports[found.kind].rows(found, limit)

    @property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """Columns or metrics of all kinds that could not be judged."""
        return tuple(one for report in self.values() for one in report.unjudged)

    @property
    def unjudged_line(self) -> str:
        """How many columns, or metrics, could not be judged, by kind; "" for none."""
        lines = {name: report.unjudged_line for name, report in self.items()}
        return "; ".join(f"{name}: {line}" for name, line in lines.items() if line)

    @property
    def idle_rule_count(self) -> int:
        """Number of declared rules that judged no row."""
        return sum(report.idle_rule_count for report in self.values())

    @property
    def row_count(self) -> int:
        """Rows that were judged."""
        return max((report.row_count for report in self.values()), default=0)

    @property
    def violation_count(self) -> int:
        """Number of findings, counted once in each kind."""
        return sum(report.violation_count for report in self.values())

    @property
    def page_count(self) -> int:
        """Findings that no season can bring."""
        return sum(report.page_count for report in self.values())

    @property
    def headline(self) -> str:
        """One sentence: rows, violations by kind, and which kinds were not judged."""
        broken = {
            name: report.violation_count for name, report in self.items() if report.violations
        }
        judged = plural(self.decided_count, "kind")
        found = f", no violations in {judged}" if self.decided_count else ""
        if broken:
            by_kind = ", ".join(f"{name} {count:,}" for name, count in broken.items())
            found = f", {plural(self.violation_count, 'violation')} in {len(broken)} of {judged}"
            found += f" ({by_kind})"
        left = f"; {', '.join(self.undecided)} could not be judged" if self.undecided else ""
        left += f"; {', '.join(self.left_out)} left out" if self.left_out else ""
        return f"{plural(self.row_count, 'row')}{found}{left}"

    @property
    def summary(self) -> str:
        """A line for each kind: the result, or why it was not judged."""
        lines = [f"{name}: {report.summary}" for name, report in self.items()]
        lines += [f"{name}: not judged: {why}" for name, why in self.refused.items()]
        lines += [f"{name}: left out: {why}" for name, why in self.left_out.items()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain values: the verdict, and under ``reports`` each kind's report.json."""
        return {
            "format": RESULT_FORMAT,
            "baseline_version": self.baseline_version,
            "passed": self.passed,
            "decided": self.decided,
            "headline": self.headline,
            "row_count": self.row_count,
            "violation_count": self.violation_count,
            "page_count": self.page_count,
            "unjudged_count": len(self.unjudged),
            "reports": {name: report.to_dict() for name, report in self.items()},
            "refused": dict(self.refused),
            "left_out": dict(self.left_out),
        }

    def save(self, folder: str | PathLike[str]) -> None:
        """Write `to_dict` as report.json, and each kind's documents into a folder of its name.

        What an earlier run left is removed: the report of a kind that is not judged now, and
        constraint_violations.json of a single kind.

        Raises
        ------
        InputError
            When a baseline is there: its documents have the same names.
        """
        place = locate(folder)
        for part in (place, *(place / name for name in self)):
            refuse_baseline(part)
        for name, report in self.items():
            report.save((place / name).shown)
        for name in set(kind_names()) - set(self):
            for document in (REPORT, VIOLATIONS):
                (place / name / document).remove_file()
        (place / VIOLATIONS).remove_file()
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (place / REPORT).write(f"{text}\n".encode())

    def html(self) -> str:
        """Return one page that needs no other file: the verdict, then a part for each kind."""
        return html_document(reports_title(self), reports_html(self))

    def to_html(self, file: str | PathLike[str]) -> None:
        """Write this page to a path or a URI.

        Raises
        ------
        UnavailableError
            When the file cannot be written.
        """
        locate(file).write(self.html().encode())

    def _repr_html_(self) -> str:
        """Show the reports in a notebook."""
        return reports_html(self)

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        """Return one line; `to_dict` has everything."""
        return f"<Reports {shorten(self.headline, REPR_WIDTH, placeholder=' …')}>"
