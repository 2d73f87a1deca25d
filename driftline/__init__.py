"""driftline: open, self-hosted model monitoring and drift detection.

The face hands its names on lazily (PEP 562): importing it costs milliseconds and pulls in neither
pandas nor Arrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from driftline.app.client.client import Client
    from driftline.app.deployment import deploy
    from driftline.baseline.profiling import profile
    from driftline.baseline.store import Baseline
    from driftline.capture.tap.logger import Logger
    from driftline.capture.tap.tap import Capture
    from driftline.errors import DriftlineError, InputError
    from driftline.formats.source import Files
    from driftline.monitors.backtest.backtest import backtest
    from driftline.monitors.backtest.options import BacktestOptions
    from driftline.monitors.backtest.outcome import Backtest
    from driftline.monitors.check import check, check_all
    from driftline.monitors.distance import distance, distances
    from driftline.monitors.drift_test.budget import Budget
    from driftline.monitors.kinds.outliers.table import outlier_scores
    from driftline.monitors.monitor import Monitor
    from driftline.monitors.report.report import Report
    from driftline.monitors.report.reports import Reports
    from driftline.monitors.results.violation import Violation
    from driftline.monitors.variants.comparison import VariantComparison, compare
    from driftline.stats.distances.distance import Distance

__all__ = [
    "Backtest",
    "BacktestOptions",
    "Baseline",
    "Budget",
    "Capture",
    "Client",
    "Distance",
    "DriftlineError",
    "Files",
    "InputError",
    "Logger",
    "Monitor",
    "Report",
    "Reports",
    "VariantComparison",
    "Violation",
    "backtest",
    "check",
    "check_all",
    "compare",
    "deploy",
    "distance",
    "distances",
    "outlier_scores",
    "profile",
]

__version__ = "0.1.0"

_HOMES = {
    "Backtest": "driftline.monitors.backtest.outcome",
    "BacktestOptions": "driftline.monitors.backtest.options",
    "Baseline": "driftline.baseline.store",
    "Budget": "driftline.monitors.drift_test.budget",
    "Capture": "driftline.capture.tap.tap",
    "Client": "driftline.app.client.client",
    "Distance": "driftline.stats.distances.distance",
    "DriftlineError": "driftline.errors",
    "InputError": "driftline.errors",
    "Files": "driftline.formats.source",
    "Logger": "driftline.capture.tap.logger",
    "Monitor": "driftline.monitors.monitor",
    "Report": "driftline.monitors.report.report",
    "Reports": "driftline.monitors.report.reports",
    "VariantComparison": "driftline.monitors.variants.comparison",
    "Violation": "driftline.monitors.report.report",
    "backtest": "driftline.monitors.backtest.backtest",
    "check": "driftline.monitors.check",
    "check_all": "driftline.monitors.check",
    "compare": "driftline.monitors.variants.comparison",
    "deploy": "driftline.app.deployment",
    "distance": "driftline.monitors.distance",
    "distances": "driftline.monitors.distance",
    "outlier_scores": "driftline.monitors.kinds.outliers.table",
    "profile": "driftline.baseline.profiling",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'driftline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
