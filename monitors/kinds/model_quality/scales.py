"""The scale on which a metric is tested: one where its values lie nearly symmetric.

The logit for shares and scores, the logarithm for errors and for what is left of a skill.
"""

from __future__ import annotations

import math

from scipy import special

from driftline.monitors.kinds.model_quality.influence import Measure, Scale

# Keeps logits and logarithms finite.
TINY = 1e-9
# Beyond this on the logarithm no double holds the number.
FARTHEST = 700.0


def forward(value: float, support: float, scale: Scale) -> float:
    """Bring a metric to the scale of the test; half a row keeps shares of 0 and 1 finite.

    Parameters
    ----------
    value
        Of the metric.
    support
        Rows that it rests on; infinite for a value that is no count's share.
    scale
        Of the metric.
    """
    if scale in ("share", "score"):
        smoothed = value if math.isinf(support) else (value * support + 0.5) / (support + 1.0)
        return float(special.logit(min(max(smoothed, TINY), 1.0 - TINY)))
    if scale == "skill":
        return -math.log(max(1.0 - value, TINY))
    return math.log(max(value, TINY))


def backward(value: float, scale: Scale) -> float:
    """Bring a value on the scale of the test back to the metric's own."""
    if scale in ("share", "score"):
        return float(special.expit(value))
    value = min(max(value, -FARTHEST), FARTHEST)
    return 1.0 - math.exp(-value) if scale == "skill" else math.exp(value)


def variance_of(measure: Measure) -> float:
    """Give the variance on the scale of the test, by the delta method."""
    value, scale = measure.value, measure.scale
    if scale in ("share", "score"):
        rows = max(measure.support, 1.0)
        smoothed = (value * rows + 0.5) / (rows + 1.0)
        slope = smoothed * (1.0 - smoothed)
        # A share of 0 or 1 has no variance of its own, and yet is not certain.
        least = slope / (rows + 1.0) if value in (0.0, 1.0) else 0.0
        return max(measure.variance, least) / slope**2
    left = 1.0 - value if scale == "skill" else value
    return measure.variance / max(left, TINY) ** 2
