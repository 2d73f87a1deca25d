"""What is wrong with attributions, in Clarify's form and in words that name the features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from driftline.monitors.drift_test.significance import blame
from driftline.monitors.kinds.attribution.drift import Comparison, Finding
from driftline.monitors.results.violation import Violation, percent

CHECK = "feature_attribution_drift_check"
# Features that a cause names.
NAMED = 3


def attribution_violations(findings: Mapping[str, Finding], *, plain: bool) -> list[Violation]:
    """Give what is violated, most blamed first."""
    drafts: dict[str, tuple[str, str, str, float | None, float]] = {}
    several = len(findings) > 1
    for label, one in findings.items():
        prefix = f"{label}: " if several else ""
        for name, draft in _drafts(one).items():
            drafts[prefix + name] = (label, *draft)
    shares = blame({name: draft[-1] for name, draft in drafts.items()})
    note = " (the reference's own error is not known)" if plain else ""
    found = [
        Violation(
            feature_name=name,
            constraint_check_type=CHECK,
            description=description,
            severity="ticket",
            ratio=ratio,
            share_of_blame=shares[name],
            cause=cause + note,
            fields={
                "label": label,
                "metric_name": "shap",
                "constraint_check_type": CHECK,
                "description": description,
            },
        )
        for name, (label, description, cause, ratio, _) in drafts.items()
    ]
    return sorted(found, key=lambda violation: -violation.share_of_blame)


def _drafts(finding: Finding) -> dict[str, tuple[str, str, float | None, float]]:
    """Give description, cause, ratio and evidence (nats) of what is violated, by name."""
    one = finding.comparison
    found: dict[str, tuple[str, str, float | None, float]] = {}
    if one.is_all_zero and finding.level:
        text = "the model answers the same whatever it is asked: all attributions are zero"
        return {"level": ("Feature attributions are all zero", text, None, _nats(0.0))}
    if finding.order:
        text = f"the ranking of features changed (NDCG {one.ndcg:.2f}): {_moves(one)}"
        found["ndcg"] = (
            _exceeds("drift", one.ndcg, finding.order_bound),
            text,
            (1 - one.ndcg) / (1 - finding.order_bound),
            _nats(one.order),
        )
    if finding.moved.any():
        at = int(np.argmax(np.where(finding.moved, np.abs(one.deltas) / finding.share_bounds, 0)))
        name, delta = one.reference.features[at], one.deltas[at]
        bound = one.reference.shares[at] + math.copysign(finding.share_bounds[at], delta)
        found["shares"] = (
            _exceeds(f"share of {name}", float(one.window.shares[at]), float(bound)),
            f"the model leans on other features: {_moves(one, finding.moved)}",
            float(abs(delta) / finding.share_bounds[at]),
            _nats(float(one.shares[at])),
        )
    if finding.level:
        ratio = math.exp(abs(one.log_ratio))
        how = "more" if one.log_ratio > 0 else "less"
        bound = one.reference.total * math.exp(math.copysign(finding.level_bound, one.log_ratio))
        found["level"] = (
            _exceeds("level", one.window.total, bound),
            f"the model's answers depend {ratio:.1f} times {how} on its features: attributions "
            f"sum to {one.window.total:.3g} (reference {one.reference.total:.3g})",
            abs(one.log_ratio) / finding.level_bound,
            _nats(one.level),
        )
    return found


def _nats(p_value: float) -> float:
    return -math.log(max(p_value, 1e-300))


def _exceeds(what: str, value: float, bound: float) -> str:
    """Write Clarify's sentence, its grammar included."""
    return f"Feature attribution {what} {value!r} exceeds threshold {round(bound, 6)!r}"


def _moves(one: Comparison, among: np.ndarray | None = None) -> str:
    """Name the features whose shares moved most, with rank and share before and after."""
    size = np.abs(one.deltas) if among is None else np.where(among, np.abs(one.deltas), 0.0)
    before, now = _ranks(one.reference.mean), _ranks(one.window.mean)
    chosen = [at for at in np.argsort(-size, kind="stable")[:NAMED] if size[at] > 0]
    left = int(np.count_nonzero(size)) - len(chosen) if among is not None else 0
    parts = []
    for at in chosen:
        rank = f", rank {before[at]} to {now[at]}" if before[at] != now[at] else ""
        share = f"{percent(one.reference.shares[at])} to {percent(one.window.shares[at])}"
        parts.append(f"{one.reference.features[at]} {share}{rank}")
    if left > 0:
        parts.append(f"and {left} more")
    return "; ".join(parts)


def _ranks(means: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(means), dtype=np.int64)
    ranks[np.argsort(-means, kind="stable")] = np.arange(1, len(means) + 1)
    return ranks
