"""The result of a check as data: violations, metrics and verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields

from driftline.baseline.statistics import Statistics
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import ExpectedViolation
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.ranking import Finding, cause_sentence, findings, violated_features
from driftline.monitors.results.feature import DESCRIBED, FeatureResult, SegmentResult
from driftline.monitors.results.measured import (
    UNCOVERED,
    WITHHELD,
    Measured,
    MetricPoint,
)
from driftline.monitors.results.unjudged import (
    Unjudged,
    main_help,
    unjudged,
    unjudged_count_line,
    unjudged_sentence,
)
from driftline.monitors.results.violation import JsonValue, Violation, plural
from driftline.monitors.rows import BatchMaker, WindowFacts
from driftline.monitors.state import State

RESULT_FORMAT = 1
# The key of the details under which a command says what it comes to.
EXIT_MESSAGE = "exit_message"
# Why metrics of a window have no value that has no prediction, or no label, at all.
LACKING = {"no_predictions", "no_labels"}
# As report.json spells them, where that is not the field's name.
SPELLED = {"fault_count": "decoder_fault_count"}

Comparer = Callable[[str], Comparison | None]


@dataclass(frozen=True)
class CheckResult:
    """The result of a check; `Report` adds display and storage."""

    kind: str  # Of the monitor, by its name.
    violations: tuple[Violation, ...]  # Most blamed feature first.
    row_count: int  # Rows that were judged.
    # One line for each column of the signature, of data quality.
    results: tuple[FeatureResult, ...] = ()
    metrics: tuple[Measured, ...] = ()  # One line for each measured number, of the other kinds.
    statistics: Statistics | None = None  # The window's summaries, of data quality.
    # SageMaker's documents of the window by name, besides constraint_violations.json.
    files: Mapping[str, str] = field(default_factory=dict)
    # Numbers for the metric store under SageMaker's names, of the other kinds.
    points: tuple[MetricPoint, ...] = ()
    facts: WindowFacts | None = None  # What capture says, when the data were a window.
    baseline_version: str = ""  # Digest of the baseline's documents.
    alpha: float = 0.0  # The p-value below which one column, or one number, is a violation.
    unmetered: frozenset[str] = frozenset()  # Columns for which the constraints ask for no metrics.
    segments: tuple[SegmentResult, ...] = ()  # One line for each segment that was judged apart.
    # What else a kind has to tell people, for report.json, such as a confusion matrix.
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    labelled_count: int = 0  # Judged rows with a label, of kinds that count them.
    # What the next windows are judged together with, and the cells it was counted on by column;
    # None when the kind needs none.
    counts: WindowCounts | None = field(default=None, repr=False, compare=False)
    cell_ids: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    # The same of kinds that the engine judges.
    sums: WindowSums | None = field(default=None, repr=False, compare=False)
    # Over how many windows, above one, numbers were judged together with this window's.
    spans: tuple[int, ...] = ()
    # Violations that somebody has marked as expected: no alarm, and in no count.
    expected: tuple[ExpectedViolation, ...] = ()
    # Gives the judged rows again; None when they are gone.
    batches: BatchMaker | None = field(default=None, repr=False, compare=False)
    # Compares one feature's values with the reference's; None when there are none.
    comparer: Comparer | None = field(default=None, repr=False, compare=False)

    @property
    def window(self) -> Window | None:
        """The span of time, when the data were a window."""
        return None if self.facts is None else self.facts.window

    @property
    def passed(self) -> bool:
        """Whether nothing is violated, and anything was `decided`."""
        return self.decided and not self.violations

    @property
    def decided(self) -> bool:
        """Whether anything could be judged: there are rows, and enough for some of it.

        What was judged over a span of windows is decided. A violation is decided, however few the
        rows. A baseline without a distribution, of constraints alone, decides, too.
        """
        if not self.row_count:
            return self._found_any  # A rule may demand rows.
        if EXIT_MESSAGE in self.details:
            return True
        if WITHHELD in self.details or UNCOVERED in self.details:
            # Groups do not answer for others.
            return self._found_any
        if self.metrics:
            # What is only shown, such as a class's share, decides nothing.
            is_judged = any(metric.judged for metric in self.metrics)
            return self._found_any or is_judged or bool(self.spans)
        known = bool(self.judged_columns) or len(self.declared_rules) > self.idle_rule_count
        states = {one.state for one in self.unjudged}
        lacks = states & {State.INSUFFICIENT, State.TOO_VARIABLE, State.LACKING}
        is_watched = not self.results or any(one.role not in DESCRIBED for one in self.results)
        return self._found_any or known or (is_watched and not lacks)

    @property
    def undecided_line(self) -> str:
        """Why nothing could be judged, in a sentence; "" where something was."""
        return "" if self.decided else self.summary

    @property
    def declared_rules(self) -> tuple[Mapping[str, JsonValue], ...]:
        """The declared rules with their counts; ``passed`` is None for one that judged no row."""
        found = self.details.get("rules")
        rules = found if isinstance(found, list) else ()
        return tuple(one for one in rules if isinstance(one, dict))

    @property
    def idle_rule_count(self) -> int:
        """Number of declared rules that judged no row."""
        return sum(one["passed"] is None for one in self.declared_rules)

    @property
    def _found_any(self) -> bool:
        return bool(self.violations or self.expected)

    @property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """Columns or metrics that could not be judged, and why (docs/check.md)."""
        return unjudged(self.metrics, self.results)

    @property
    def judged_columns(self) -> tuple[str, ...]:
        """Columns that matter whose values were compared with the reference's."""
        return tuple(
            one.feature for one in self.results if one.judged and one.role not in DESCRIBED
        )

    @property
    def violation_count(self) -> int:
        """Number of findings: checks that noticed the same rows count once."""
        return len(findings(self.violations))

    @property
    def page_count(self) -> int:
        """Findings that no season can bring."""
        return sum(finding.first.severity == "page" for finding in findings(self.violations))

    @property
    def new_count(self) -> int:
        """Findings whose cause no earlier window reported."""
        return len(self._news)

    @property
    def new_ticket_count(self) -> int:
        """New findings that are tickets."""
        return sum(finding.first.severity == "ticket" for finding in self._news)

    @property
    def _news(self) -> list[Finding]:
        return [one for one in findings(self.violations) if one.first.first_window is None]

    @property
    def max_drift_ratio(self) -> float | None:
        """Largest distance over its bound, violated or not; None when no drift was judged.

        Columns whose violations are all expected do not count.
        """
        loud = {violation.feature_name for violation in self.violations}
        quiet = {expected.violation.feature_name for expected in self.expected} - loud
        ratios = [result.ratio for result in self.results if result.feature not in quiet]
        return max((one for one in ratios if one is not None), default=None)

    @property
    def cause(self) -> str:
        """One sentence for a notification; empty when nothing is violated."""
        return cause_sentence(self.violations)

    @property
    def plain_cause(self) -> str:
        """The cause without values of rows, for channels that may not have them."""
        return cause_sentence(self.violations, has_values=False)

    @property
    def ranked_results(self) -> tuple[FeatureResult, ...]:
        """The features: violated ones in the violations' order, then those nearest to the bound."""
        places = {one.feature: at for at, one in enumerate(violated_features(self.violations))}
        last = len(places)

        def place(one: FeatureResult) -> tuple[int, bool, float]:
            return places.get(one.feature, last), one.ratio is None, -(one.ratio or 0.0)

        return tuple(sorted(self.results, key=place))

    @property
    def summary(self) -> str:
        """One sentence for the command line: the result, or why nothing could be judged."""
        if self.decided:
            return self.headline if self.passed else f"{self.headline}: {self.cause}"
        if not self.row_count:
            return "no rows; nothing could be judged"
        return f"{plural(self.row_count, 'row')}; nothing could be judged: {self._why_undecided}"

    @property
    def _why_undecided(self) -> str:
        """The note that says why, else the numbers without a verdict, each with its reason."""
        details = self.details
        if details.get("rows_without_label") == self.row_count:
            why = str(details.get("estimate_note", ""))
            return "none of the rows has a label yet" + f"; {why}" * bool(why)
        has_none = details.get("labelled_rows") == 0
        causes = {
            UNCOVERED: True,
            "weight_note": has_none,
            "answers_note": has_none or any(one.why in LACKING for one in self.metrics),
            "reference_note": True,
        }
        for key, is_cause in causes.items():
            if is_cause and key in details:
                return str(details[key])
        if self.unjudged:
            return unjudged_sentence(self.unjudged, self._noun)
        reasons = dict.fromkeys(one.reason for one in self.metrics if one.reason)
        return "; ".join(reasons) or "nothing to compare"

    @property
    def worse_count(self) -> int:
        """How many metrics are worse than the reference beyond chance, within their bounds."""
        return sum(bool(one.worse_within_bound) for one in self.metrics)

    @property
    def headline(self) -> str:
        """Numbers of rows and violations, and what was left out, without the cause."""
        found = plural(self.violation_count, "violation") if self.violations else "no violations"
        if self.spans and not self.violations and not self._judged_count:
            found += f" over the last {' and '.join(map(str, self.spans))} windows"
        left = self._unjudged_words
        if worse := self.worse_count:
            words = "worse than the reference (intervals apart), within the bound"
            left += f"; {plural(worse, 'metric')} {words}"
        if "estimates" in self.details and not self.labelled_count:
            lack = "usable label" if self.details.get("unfit_labels") else "label yet"
            left += f"; no row has a {lack}, quality is estimated"
        if self.idle_rule_count:
            left += f"; {plural(self.idle_rule_count, 'rule')} judged no row"
        if self.expected:
            left += f"; {plural(len(self.expected), 'violation')} expected"
        if self.facts is not None and self.facts.fault_count:
            left += f"; {plural(self.facts.fault_count, 'request')} not decoded (decoder fault)"
        return f"{plural(self.row_count, 'row')}, {found}{left}"

    @property
    def _noun(self) -> str:
        return "metric" if self.metrics else "column"

    @property
    def _judged_count(self) -> int:
        """Number of metrics, or columns that matter, that were judged in full."""
        if self.metrics:
            return sum(one.judged for one in self.metrics)
        return len({*self.judged_columns} - {one.name for one in self.unjudged})

    @property
    def _unjudged_words(self) -> str:
        """Numbers of columns or metrics without violation, and of unjudged ones."""
        judged, left = self._judged_count, self.unjudged
        if not left:
            return ""
        if self.violations or not judged:
            alone = "of this window alone, " * bool(self.spans and not self.violations)
            return f"; {alone}{self.unjudged_line}"
        whole = plural(judged + len(left), self._noun)
        return f" in {judged:,} of {whole}; {len(left):,} could not be judged ({main_help(left)})"

    @property
    def unjudged_line(self) -> str:
        """Number of unjudged columns, or metrics, with the best remedy; "" for none."""
        return unjudged_count_line(self.unjudged, self._judged_count, self._noun)

    @property
    def unjudged_text(self) -> str:
        """Unjudged columns, or metrics, with reasons and remedies; "" for none."""
        return unjudged_sentence(self.unjudged, self._noun)

    def comparison(self, feature: str) -> Comparison | None:
        """Compare the shares of a feature's values with the reference's, with intervals."""
        return None if self.comparer is None else self.comparer(feature)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return report.json as plain values, the same for the same rows and baseline."""
        window: JsonValue = None
        if self.window is not None:
            window = {
                "start": self.window.start.isoformat().replace("+00:00", "Z"),
                "end": self.window.end.isoformat().replace("+00:00", "Z"),
            }
        return {
            "format": RESULT_FORMAT,
            "kind": self.kind,
            "window": window,
            "baseline_version": self.baseline_version,
            "passed": self.passed,
            "decided": self.decided,
            "headline": self.headline if self.decided else self.summary,
            "cause": self.cause,
            "row_count": self.row_count,
            **_counts(self.facts, self.labelled_count),
            "violation_count": self.violation_count,
            "page_count": self.page_count,
            "max_drift_ratio": self.max_drift_ratio,
            "judged_spans": list(self.spans),
            "alpha": self.alpha,
            "unjudged_count": len(self.unjudged),
            "unjudged": [one.to_dict() for one in self.unjudged],
            "violations": [violation.to_dict() for violation in self.violations],
            "expected_violations": [expected.to_dict() for expected in self.expected],
            "features": [{**asdict(result), "ratio": result.ratio} for result in self.results],
            "metrics": [metric.to_dict() for metric in self.metrics],
            "segments": [segment.to_dict() for segment in self.segments],
            "details": dict(self.details),
        }


def _counts(facts: WindowFacts | None, labelled_count: int) -> dict[str, JsonValue]:
    """Return capture's counts of a window; for other data the labelled rows, and zeros."""
    found: dict[str, JsonValue] = {
        SPELLED.get(one.name, one.name): getattr(facts, one.name, 0)
        for one in fields(WindowFacts)
        if one.name not in ("window", "stray_label_ids")
    }
    found["labelled_count"] = found["labelled_count"] or labelled_count
    return {**found, "stray_label_ids": list(facts.stray_label_ids) if facts else []}
