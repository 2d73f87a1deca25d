"""The kind "data-quality": types, completeness, domains, columns by name, drift. Pure.

It decides *that* something is wrong, in SageMaker's terms; findings.py adds the rows behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from driftline.baseline.blocks import BlockCounts, seasoned
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import (
    UNJUDGED_ROLES,
    Constraints,
    FeatureConstraints,
    MonitoringConfig,
    is_text_by_decree,
)
from driftline.baseline.origin import OF_FOLDERS, OF_TIME, has_moved_on
from driftline.baseline.predicate import Predicate
from driftline.baseline.profile import Profile
from driftline.errors import InputError, UndecidedError
from driftline.monitors.day_test.day_test import DayTestResult
from driftline.monitors.distance import UnmeasuredError, distance
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import COMPLETENESS_REMEDY, too_few
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest, DriftTestResult
from driftline.monitors.drift_test.significance import MIN_ROWS, blame
from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts, runs_before
from driftline.monitors.kinds.data_quality.checks import (
    CheckedColumn,
    completeness_draft,
    constant_draft,
    day_draft,
    domain_draft,
    drift_draft,
    implausible_draft,
    origin_draft,
    type_draft,
)
from driftline.monitors.kinds.data_quality.flatline_check import (
    Standstill,
    constant_value,
    is_gone,
    standstill,
)
from driftline.monitors.kinds.data_quality.range_checks import Implausible
from driftline.monitors.kinds.data_quality.text_checks import with_uncounted
from driftline.monitors.results.violation import MISSING_COLUMNS, Draft
from driftline.monitors.state import State
from driftline.signature import JUDGED_ROLES, Column, Signature

EXTRA_COLUMNS = "Extra columns"

# Gives a rule by what it rests on besides references and blocks, made when it is not there.
Keeper = Callable[[tuple[Hashable, ...], Callable[[], DriftTest]], DriftTest]

TEXTS = ("string", "bool")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The findings that follow from the profile alone."""

    drafts: tuple[Draft, ...]  # Violations, the largest contribution first.
    drifts: Mapping[str, ColumnDrift]  # By column, violated or not.
    # By column: why its drift was not judged, such as "insufficient_data".
    notes: Mapping[str, str]
    blame: Mapping[str, float]  # By violated feature: its share of the evidence; sums to 1.
    alpha: float  # The p-value below which a column is a violation.
    # By column that could not be judged, what would help.
    remedies: Mapping[str, str] = field(default_factory=dict)

    def moved(self, name: str) -> Predicate | None:
        """Return the rows of a column that its verdict names."""
        found = self.drifts.get(name)
        return None if found is None else found.predicate


@dataclass(kw_only=True)
class ProfileChecks:
    """The checks of a window's profile against a baseline."""

    signature: Signature
    constraints: Constraints
    references: Mapping[str, ReferenceColumn]
    window: Profile
    reference: Profile | None
    blocks: BlockCounts | None  # The reference by the hour.
    budget: Budget
    length: timedelta | None = None  # Of the window; None: rows of no known window.
    implausible: Mapping[str, Implausible] = field(default_factory=dict)  # By column.
    days: DayTestResult = field(default_factory=DayTestResult)
    counts: WindowCounts | None = None  # None: those of the profile.
    # The windows before, in order of time; None: nothing is remembered.
    past: Sequence[WindowCounts] | None = None
    keep: Keeper | None = None
    drifts: dict[str, ColumnDrift] = field(default_factory=dict, init=False)
    notes: dict[str, str] = field(default_factory=dict, init=False)
    remedies: dict[str, str] = field(default_factory=dict, init=False)
    alpha: float = field(default=1.0, init=False)

    def judge(self) -> Judgement:
        """Judge the columns by their names, values and distributions."""
        columns = self._judged_columns()
        measured = [one for one in columns if self._is_measured(one)]
        tested = [one for one in columns if one not in measured]
        self._take(self._test(tested, (1,) if self.past is None else SCALES))
        self._take_uncounted()
        if measured:
            # The test of the window alone names the rows that moved most; the distance decides.
            self._measure(self._test(measured, (1,)), measured)
        judged = frozenset(one.name for one in columns)
        drafts = [*_column_drafts(self)]
        for column in self.signature.columns:
            is_evaluated = self.constraints.config(column.name).evaluate_constraints
            if column.name in self.window.seen and is_evaluated:
                drafts.extend(_feature_drafts(self, column, is_judged=column.name in judged))
        if not self.constraints.monitoring_config.evaluate_constraints:
            drafts = []
        shares = blame({one.feature: self._excess(one.feature) for one in drafts})
        # A column that did not come at all is told before what those that came hold.
        drafts.sort(key=lambda draft: (draft.feature != MISSING_COLUMNS, -shares[draft.feature]))
        return Judgement(tuple(drafts), self.drifts, self.notes, shares, self.alpha, self.remedies)

    def _is_measured(self, column: Column) -> bool:
        config = self.constraints.config(column.name)
        return self.reference is not None and config.distance is not None

    @cached_property
    def seasoned(self) -> frozenset[str]:
        """Columns whose reference has seen all seasons."""
        return seasoned(self.blocks)

    @cached_property
    def runs_before(self) -> Mapping[str, LastRun]:
        """The runs of equal values at the end of the window before."""
        return {} if self.counts is None else runs_before(self.past, self.counts.start)

    def _test(self, columns: Sequence[Column], scales: tuple[int, ...]) -> DriftTestResult:
        names, usual = tuple(column.name for column in columns), self.budget.tolerance
        tolerances = {one.name: tolerance_of(self.constraints, one, usual) for one in columns}

        def drift_test() -> DriftTest:
            own = {name: self.references[name] for name in names}
            return DriftTest(own, self.blocks, self.length, self.budget, tolerances, scales)

        facts = (names, self.length, self.budget, tuple(tolerances.items()), scales)
        rule = drift_test() if self.keep is None else self.keep(facts, drift_test)
        return rule.judge(self.counts or WindowCounts.of(self.window), self.past or ())

    def _judged_columns(self) -> list[Column]:
        """Return the columns whose distribution is compared; note why others are not."""
        found = []
        for column in self.signature.columns:
            if column.role in UNJUDGED_ROLES:
                self.notes[column.name] = column.role
            elif column.name not in self.window.seen:
                # Rows bring the columns: without one nobody knows what a file's header holds.
                is_empty = not self.window.row_count
                state = State.LACKING if self._asks_verdict(column) else State.ABSENT
                self.notes[column.name] = State.INSUFFICIENT if is_empty else state
                self.remedies.update({column.name: too_few(MIN_ROWS)} if is_empty else {})
            elif column.unjudged is not None:
                self.notes[column.name] = column.unjudged
            elif column.name not in self.references or is_text_by_decree(self.constraints, column):
                self.notes[column.name] = State.NO_REFERENCE
            elif not self.constraints.config(column.name).perform_comparison:
                self.notes[column.name] = "comparison_disabled"
            else:
                found.append(column)
        return found

    def _asks_verdict(self, column: Column) -> bool:
        """Return whether the values of a column are to be compared."""
        is_compared = self.constraints.config(column.name).perform_comparison
        return is_compared and column.role in JUDGED_ROLES and column.unjudged is None

    def _take(self, decision: DriftTestResult) -> None:
        """Add the drift test's verdicts."""
        self.drifts.update(decision.drifts)
        self.notes.update(decision.notes)
        self.remedies.update(decision.remedies)
        for name, note in decision.notes.items():
            # What no single share can tell, the days tell.
            if note == State.TOO_VARIABLE and name in self.days.judged | self.days.findings.keys():
                self.notes[name] = State.BY_DAYS
        self.alpha = decision.alpha
        for name in decision.gaps:
            own, known = self.constraints.feature(name), self.reference
            wanted = None if own is None else own.completeness
            if known is None or wanted != known.columns[name].completeness:
                continue  # What somebody has written is asked of every window.
            if self.notes.get(name, State.BY_DAYS) == State.BY_DAYS:
                self.notes[name], self.remedies[name] = State.TOO_VARIABLE_GAPS, COMPLETENESS_REMEDY

    def _take_uncounted(self) -> None:
        """Add the verdicts of texts beyond the counted levels."""
        if self.reference is None:
            return
        cells = {name: one.cells for name, one in self.references.items()}
        self.drifts, untested = with_uncounted(
            self.drifts, self.window.columns, self.reference.columns, cells
        )
        for name in untested.keys() - self.notes.keys():
            self.notes[name], self.remedies[name] = State.UNCOUNTED, untested[name]

    def _measure(self, decision: DriftTestResult, columns: Sequence[Column]) -> None:
        """Add the verdicts of distances named by the constraints."""
        for column in columns:
            name, config = column.name, self.constraints.config(column.name)
            drift, reference = decision.drifts.get(name), self.reference
            if drift is None or reference is None or config.distance is None:
                self.notes[name] = decision.notes.get(name, State.INSUFFICIENT)
                self.remedies[name] = decision.remedies.get(name, "")
                continue
            try:
                found = distance(
                    config.distance, reference.columns[name], self.window.columns[name]
                )
            except (UndecidedError, InputError) as error:
                is_default = config.distance == self.constraints.monitoring_config.distance
                is_left = isinstance(error, UnmeasuredError) and is_default
                if isinstance(error, InputError) and not is_left:
                    raise InputError(f'constraints: feature "{name}": {error}') from None
                if not self.window.columns[name].present_count:
                    self.notes[name] = str(error)
                    continue
                # Segments keep counts by cell only, and the default of a document is also for
                # columns that its distance does not measure: there the drift test decides.
                self.drifts[name] = drift
                continue
            assert found.value is not None  # `distance` raises where there is none.
            self.drifts[name] = replace(
                drift, distance=found.value, bound=limit_of(config, column), measured=found
            )

    def _excess(self, name: str) -> float:
        """Evidence of one column beyond the critical value, in nats."""
        drift, odd = self.drifts.get(name), self.implausible.get(name)
        excess = drift.evidence if drift else 0.0
        days = self.days.findings.get(name)
        excess = max(excess, days.evidence) if days else excess
        return max(excess, odd.evidence) if odd else excess


def without_later_times(
    signature: Signature, reference: Profile | None, window: Profile
) -> Signature:
    """Return the signature without columns whose times may have advanced."""
    if reference is None:
        return signature
    moved = {
        one.name
        for one in signature.features
        if one.type == "timestamp" and one.role == "feature"
        and one.unjudged is None and one.name in window.seen
        and has_moved_on(window.columns[one.name], reference.columns[one.name])
    }  # fmt: skip
    features = (
        replace(one, unjudged=OF_TIME) if one.name in moved else one for one in signature.features
    )
    return replace(signature, features=tuple(features)) if moved else signature


def tolerance_of(constraints: Constraints, column: Column, usual: float) -> float:
    """Return the tolerance of a column's shares, in share at the median.

    It is the threshold that somebody set in its constraints, else the monitor's own. The 0.1 of a
    generated document does not count: it is ten times the tolerance.
    """
    config = constraints.config(column.name)
    if config.distance is not None:
        return usual  # The limit is the distance's, in its own unit.
    if column.type in TEXTS and config.categorical_comparison_threshold is not None:
        return config.categorical_comparison_threshold
    return usual if config.written_threshold is None else config.written_threshold


def limit_of(config: MonitoringConfig, column: Column) -> float:
    """Return the limit of the distance that a column's constraints name, in its own unit."""
    limit = config.categorical_comparison_threshold
    return config.comparison_threshold if limit is None or column.type not in TEXTS else limit


def _column_drafts(checks: ProfileChecks) -> list[Draft]:
    """Compare the columns by name; SageMaker compares their number."""
    window = checks.window
    wanted = [
        column.name
        for column in checks.signature.columns
        if column.role == "feature" and column.unjudged != OF_FOLDERS
    ]
    missing = [name for name in wanted if name in window.missing]
    expected = len(checks.constraints.features) or len(wanted)
    present = len(window.seen) + len(window.extra)
    found, is_captured = [], checks.length is not None
    counts = (
        f"Number of columns in current dataset: {present}, "
        f"Number of columns in baseline constraints: {expected}"
    )
    for names, feature, check, verb in (
        (missing, MISSING_COLUMNS, "missing_column_check", "missing"),
        (list(window.extra), EXTRA_COLUMNS, "extra_column_check", "extra"),
    ):
        if names:
            found.append(
                Draft(
                    feature=feature,
                    check=check,
                    description=f"There are {verb} columns in current dataset. {counts}",
                    what=", ".join(names),
                    # What a request has besides, the model was not asked with.
                    severity="ticket" if is_captured and feature == EXTRA_COLUMNS else None,
                )
            )
    return found


def _feature_drafts(checks: ProfileChecks, column: Column, *, is_judged: bool) -> list[Draft]:
    """Judge one column of the window."""
    name, profile = column.name, checks.window.columns[column.name]
    odd, drift = checks.implausible.get(name), checks.drifts.get(name)
    one = CheckedColumn(
        column,
        checks.constraints.feature(name) or FeatureConstraints(name),
        checks.constraints.config(name),
        profile,
        checks.reference.columns.get(name) if checks.reference else None,
        drift,
        checks.alpha,
    )
    drafts = [type_draft(one)]
    if column.role != "label":  # One that has not come yet is no gap.
        drafts.append(completeness_draft(one, is_gone=is_gone(checks.blocks, profile)))
    drafts += [domain_draft(one, is_seasoned=name in checks.seasoned), origin_draft(one)]
    if drafts[0] is not None:
        # As SageMaker: the distribution of what is not of its type tells nothing.
        checks.notes[name] = "data_type_check"
    else:
        drafts.extend(_value_drafts(checks, drift, profile, is_judged=is_judged))
        drafts.append(None if odd is None else implausible_draft(odd))
    return [draft for draft in drafts if draft is not None]


def _value_drafts(
    checks: ProfileChecks, drift: ColumnDrift | None, profile: ColumnProfile, *, is_judged: bool
) -> list[Draft]:
    """Report that a column is constant, or has drifted."""
    still = _standstill(checks, profile) if is_judged else None
    found = [] if still is None else [constant_draft(profile.name, still)]
    if drift is not None and drift.drifted:
        cells = checks.references[profile.name].cells
        varied = still is None and cells.minimum != cells.maximum
        found.append(drift_draft(drift, constant_value(profile) if varied else None))
    days = checks.days.findings.get(profile.name)
    if days is not None and is_judged and not found:
        found.append(day_draft(days))
    return found


def _standstill(checks: ProfileChecks, profile: ColumnProfile) -> Standstill | None:
    """Find a run of one value that is too long, whatever the drift test says."""
    name = profile.name
    if checks.reference is None:
        return None
    known, reference = checks.reference.columns[name].runs, checks.references[name]
    return standstill(profile.runs, known, reference, checks.runs_before.get(name))
