"""The bounds of a baseline's columns and metrics, in words."""

from __future__ import annotations

from collections.abc import Iterator

from driftline.baseline import store
from driftline.baseline.constraints import FeatureConstraints, MonitoringConfig
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.model_quality.documents import read_constraints, read_listed
from driftline.monitors.report.metric_words import title_of
from driftline.monitors.results.violation import percent, plural

LEVELS_SHOWN = 5


def suggested_bounds(baseline: Baseline, *, shows_values: bool) -> list[tuple[str, str]]:
    """Return a baseline's bounds by column or metric, suggested or edited.

    ``shows_values``: with the first values of a domain, which are values of rows.
    """
    features, config = baseline.constraints.features, baseline.constraints.config
    said = [(one.name, _demands(one, config(one.name), shows_values)) for one in features]
    found = [(name, words) for name, of in said if (words := "; ".join(of))]
    text = baseline.documents.get(store.QUALITY_CONSTRAINTS)
    metrics = read_constraints(text, read_listed(text))[1] if text is not None else {}
    for name, one in metrics.items():
        side = "at least" if one.operator == "LessThanThreshold" else "at most"
        side = "about" if one.is_two_sided else side
        found.append((title_of(name), f"{side} {one.threshold:.3g}"))
    return found


def _demands(
    one: FeatureConstraints, config: MonitoringConfig, shows_values: bool
) -> Iterator[str]:
    if one.completeness is not None:
        rows = f"at least {percent(one.completeness)} of rows"
        yield "a value in " + ("every row" if one.completeness >= 1 else rows)
    if one.is_non_negative:
        yield "never below 0"
    if one.domains is not None:
        more = ", …" * (len(one.domains) > LEVELS_SHOWN)
        listed = f": {', '.join(one.domains[:LEVELS_SHOWN])}{more}"
        yield f"one of {plural(len(one.domains), 'value')}{listed * shows_values}"
    if config.written_threshold is not None or config.distance is not None:
        method = config.distance or config.comparison_method
        yield f"drift at most {config.comparison_threshold:.3g} ({method})"
