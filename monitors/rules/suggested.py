"""The sign that a baseline saw: a rule that nobody declared, judged by how surprising a break is.

A baseline writes ``is_non_negative`` for every column whose reference has no negative value. Often
that is a law (a price, a count), but at times an accident: temperatures of one summer. So, where it
was observed, a few negative values are no violation as long as chance brings so many.
"""

from __future__ import annotations

import math
from dataclasses import replace

from driftline.baseline.constraints import Constraints
from driftline.baseline.profile import Profile
from driftline.monitors.rules.declaration import Declaration
from driftline.monitors.rules.ruleset import Outcome, Rule, RuleSet
from driftline.signature import Signature

JUDGED = frozenset({"feature", "label", "prediction", "probability"})


def sign_rules(signature: Signature, constraints: Constraints) -> RuleSet:
    """Make the rules that ``num_constraints.is_non_negative`` asks for."""
    return RuleSet(
        tuple(
            Rule(Declaration({"check": "non_negative", "column": column.name}), is_observed=True)
            for column in signature.columns
            if column.role in JUDGED
            and column.type in ("int64", "double")
            and (found := constraints.feature(column.name)) is not None
            and found.is_non_negative is True
            and found.inferred_type != "String"  # Text by decree has no sign.
            and constraints.config(column.name).evaluate_constraints
        )
    )


def surprising(
    outcome: Outcome, reference: Profile | None, *, alpha: float, effect: float = 1.0
) -> Outcome:
    """Let pass what chance may bring.

    Parameters
    ----------
    outcome
        Of one rule.
    reference
        The baseline's profile; None when it has only constraints: then the sign was set by hand.
    alpha
        The p-value below which a column is a violation.
    effect
        How many rows count as one, since rows of a window resemble each other.

    Returns
    -------
    Outcome
        The same, or one that is not broken. The chance that the k negative values among all n
        values of the reference and m of the window lie in the window, if none differs from the
        others, is at most (m / (n + m)) ^ k.
    """
    tally = outcome.tally
    if not outcome.rule.is_observed:
        return outcome
    if outcome.absent:  # A column that is gone is a violation of its own already.
        return replace(outcome, absent=())
    column = outcome.rule.declaration.text("column")
    known = reference.columns.get(column) if reference is not None else None
    if not tally.is_broken or known is None or not known.moments.count:
        return outcome
    if known.moments.minimum < 0:  # The reference does not keep it: it was set by hand.
        return outcome
    count, judged = known.moments.count, tally.judged_count
    evidence = tally.broken_count / max(effect, 1.0) * math.log((count + judged) / judged)
    if evidence > -math.log(alpha):
        return outcome
    return replace(outcome, tally=replace(tally, is_broken=False))
