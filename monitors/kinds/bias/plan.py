"""The plan of a bias check: its groups, the positive value, and the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.clarify import BIAS_METRICS
from driftline.baseline.outcomes import (
    Outcomes,
    compared_features,
    outcome_classes,
    resolve_facet,
)
from driftline.baseline.positive import positive_question
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.engine.sums import GROUPS, groups_of, time_blocks
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.bias.counts import (
    Codes,
    FacetCounts,
    count_rows,
    impossible_predictions,
    labelled_count,
)
from driftline.monitors.kinds.bias.documents import Requirements, read_requirements
from driftline.monitors.kinds.bias.groups import Group, compared_groups
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.monitors.results.unusable import Unusable
from driftline.roles import Facet, Problem, Roles
from driftline.stats.blocks import NO_TIME

NO_ANSWERS = (
    "bias: the reference needs groups to compare and answers; name a facet, and a label "
    "or a prediction"
)


@dataclass(frozen=True)
class Plan:
    """What is measured, in the window as in the reference."""

    roles: Roles
    groups: tuple[Group, ...]
    # Rows by counted facet; empty when only Clarify's document is known.
    reference: Mapping[Facet, FacetCounts] = field(default_factory=dict)
    outcomes: Outcomes | None = None
    # Features that the flip test compares rows by, and those that it cannot: texts, truth values.
    features: tuple[str, ...] = ()
    not_numeric: tuple[str, ...] = ()
    requirements: Requirements | None = None  # From analysis.json, when it is about the same label.

    @property
    def label(self) -> str:
        """The label's name in Clarify's documents; without one, the prediction's column."""
        return self.roles.label or self.roles.prediction or self.roles.probability[0]

    @property
    def positive_text(self) -> str:
        """The positive value in documents: ``1``, or ``(40.0, 99.0]`` of numbers."""
        roles = self.roles
        if self.outcomes is None and self.requirements is not None:
            return self.requirements.positive_text
        assert roles.positive is not None
        if roles.problem != "regression" or self.outcomes is None:
            return roles.positive
        own = self.outcomes.roles
        names = [name for name in (own.label, own.prediction) if name is not None]
        largest = [pc.max(self.outcomes.table[name]).as_py() for name in names]
        return f"({float(roles.positive)}, {float(max(largest))}]"

    @property
    def positive_reason(self) -> str:
        """Why that is the positive value; "" where a user named it."""
        return "" if self.outcomes is None else self.outcomes.positive_reason

    @property
    def tries_flips(self) -> bool:
        """Whether the flip test applies: the baseline has some rows, with their features."""
        return self.outcomes is not None and self.outcomes.neighbours is not None

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns that hold numbers where there are answers."""
        roles = self.roles
        if roles.problem == "regression":
            return tuple(one for one in (roles.prediction, roles.label) if one is not None)
        return () if roles.prediction is not None else roles.probability[-1:]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The requested metrics: all, or those of Clarify's configuration."""
        return _asked(self.roles)

    @property
    def is_stratified(self) -> bool:
        """Whether there is a column to stratify by."""
        return self.roles.group is not None

    @property
    def counted(self) -> tuple[Facet, ...]:
        """Facets by which rows are counted, each once."""
        return tuple(dict.fromkeys(group.counted for group in self.groups))

    def reference_pair(self, group: Group) -> Codes | None:
        """Return the reference's other rows and the group's; None when not known."""
        counts = self.reference.get(group.counted)
        return None if counts is None else counts.pair(group.values)

    def is_mirror(self, group: Group) -> bool:
        """Whether an earlier group is all others, as "F" is of "M": both have equal differences."""
        counts = self.reference.get(group.counted)
        others = set() if counts is None else {*counts.values} - {*group.values}
        earlier = self.groups[: self.groups.index(group)]
        return bool(others) and any(
            one.counted == group.counted
            and {*one.values} == others
            and {*(self.required(one) or ())} == {*(self.required(group) or ())}
            for one in earlier
        )

    def required(self, group: Group) -> Mapping[str, float | None] | None:
        """Return the document's limits of a group; None when it does not name it.

        Metrics that the baseline's configuration did not request have no value, and count as not
        removed from the document.
        """
        found = self.requirements.values.get(group.key) if self.requirements else None
        if found is None or self.outcomes is None:
            return found
        asked = _asked(self.outcomes.roles)
        names = (name for metrics in BIAS_METRICS.values() for name in metrics)
        return {name: None for name in names if name not in asked} | dict(found)


def _asked(roles: Roles) -> tuple[str, ...]:
    named = {*roles.bias_metrics}
    return tuple(
        name
        for stage, metrics in BIAS_METRICS.items()
        for name in metrics
        if not named or name in named or stage in named
    )


def plan_of(baseline: Baseline, roles: Roles) -> Plan:
    """Make the plan of a check."""
    document = baseline.documents.get(ANALYSIS)
    requirements = read_requirements(document) if document is not None else None
    outcomes = baseline.outcomes
    if outcomes is None or not outcomes.roles.facets:
        if requirements is None or not requirements.groups:
            raise InapplicableKindError(NO_ANSWERS)
        return _by_document(requirements, roles)
    facets = _facets(roles, outcomes)
    if roles.group is not None and roles.group not in outcomes.table.column_names:
        raise InputError(
            f'group "{roles.group}": the baseline was made without it; make it again with '
            f'group "{roles.group}"'
        )
    settled = replace(roles, facets=facets)
    own = outcomes.roles
    _check_answers(settled, outcome_classes(outcomes))
    # The reference's columns under its own names; what is positive is the same on both sides.
    own = replace(
        outcomes.roles, facets=facets, positive=roles.positive, also_positive=roles.also_positive,
        problem=roles.problem, threshold=roles.threshold, group=roles.group,
    )  # fmt: skip
    counted = [facet.counted for facet in facets]
    table = outcomes.table
    counts = count_rows(table, own, counted, groups_of(len(table)), GROUPS)
    if roles.positive != outcomes.roles.positive and not any(
        one.answered[:, 1].any() or one.answered[:, :, 1].any() for one in counts.values()
    ):
        raise InputError(
            f'positive "{roles.positive}": no answer or label of the reference is; it was made '
            f'with "{outcomes.roles.positive}"'
        )
    named = [
        group
        for facet, key in zip(facets, counted, strict=True)
        for group in compared_groups(facet, counts[key], table)
    ]
    if not named:
        raise InputError(
            f"facet {', '.join(facet.column for facet in facets)}: no row of the reference has a "
            "value; make the baseline again with rows that have one"
        )
    # The same group of two facets is one.
    groups = tuple({group.key: group for group in named}.values())
    known = requirements if _is_about(requirements, own) else None
    reason = outcomes.reason_of(own)
    near = compared_features(baseline.signature, own) if own.has_predictions else ()
    return Plan(
        settled,
        groups,
        counts,
        replace(outcomes, roles=own, positive_reason=reason),
        tuple(one.name for one in near),
        tuple(one.name for one in near if one.type not in ("int64", "double")),
        known,
    )


def unusable_of(counts: Mapping[Facet, FacetCounts], table: pa.Table, roles: Roles) -> Unusable:
    """Count the predictions that no metric can use; none of missing columns."""
    if {roles.prediction, *roles.probability[-1:]}.isdisjoint(table.column_names):
        return Unusable()
    answered = next(iter(counts.values())).answered
    impossible = impossible_predictions(table, roles)
    return Unusable(
        rows=len(table),
        missing=int(answered[:, :, MISSING].sum()) - impossible,
        impossible=impossible,
        words="of infinite size" if roles.problem == "regression" else "outside 0 to 1",
        labels=labelled_count(counts),
    )


def reference_blocks(plan: Plan, length: timedelta) -> dict[Facet, FacetCounts] | None:
    """Count the reference by blocks of time of a length; None when it has no times."""
    outcomes = plan.outcomes
    if outcomes is None or outcomes.roles.timestamp is None:
        return None
    times = coerce(outcomes.table[outcomes.roles.timestamp], "timestamp")[0].cast(pa.int64())
    blocks = time_blocks(times.fill_null(NO_TIME).to_numpy(), length)
    if blocks is None:
        return None
    rows, block, count = blocks
    table = outcomes.table.take(pa.array(rows))
    return count_rows(table, outcomes.roles, plan.counted, block, count, known=plan.reference)


def _facets(roles: Roles, outcomes: Outcomes) -> tuple[Facet, ...]:
    """Fix the meaning of the caller's facets from the reference."""
    if roles.facets == outcomes.roles.facets:
        return roles.facets
    for column in roles.facet_columns:
        if column not in outcomes.table.column_names:
            raise InputError(
                f'facet "{column}": the baseline was made without it; make it again with '
                f'facet "{column}"'
            )
    return tuple(resolve_facet(facet, outcomes.table) for facet in roles.facets)


def _check_answers(roles: Roles, classes: Sequence[str] = ()) -> None:
    if roles.label is None and roles.prediction is None and not roles.probability:
        raise InapplicableKindError(NO_ANSWERS)
    if roles.positive is None:
        raise InputError(positive_question(roles, classes))
    if roles.problem == "multiclass" and roles.prediction is None and roles.probability:
        raise InputError(
            "bias: probabilities of several classes without the predicted one; name a prediction"
        )
    if roles.problem == "regression":
        try:
            float(roles.positive)
        except ValueError as error:
            raise InputError(
                f'positive "{roles.positive}": the answers are numbers, and those above it are '
                "positive; expected a number"
            ) from error


def _is_about(requirements: Requirements | None, roles: Roles) -> bool:
    """Whether a document is about the same label; other documents set no limits."""
    if requirements is None or requirements.positive is None:
        return False
    same = requirements.label == (roles.label or roles.prediction or roles.probability[0])
    if requirements.is_threshold:
        return same and roles.problem == "regression"
    assert roles.positive is not None  # It was checked before.
    return same and known_classes([requirements.positive], [roles.positive])[0] == roles.positive


def _by_document(requirements: Requirements, roles: Roles) -> Plan:
    """Plan a comparison with Clarify's values alone, on the columns that it and the caller name."""
    kind: Problem = "regression" if requirements.is_threshold else "binary"
    settled = replace(
        roles,
        label=roles.label or requirements.label,
        positive=roles.positive or requirements.positive,
        problem=roles.problem or kind,
    )
    _check_answers(settled)
    wanted = {facet.name for facet in roles.facets}
    groups = tuple(
        group for group in requirements.groups if not wanted or group.facet.name in wanted
    )
    return Plan(settled, groups, requirements=requirements)
