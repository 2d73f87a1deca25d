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
    "driftline.app.client.client": "Client",
    "driftline.app.deployment": "deploy",
    "driftline.baseline.profiling": "profile",
    "driftline.baseline.store": "Baseline",
    "driftline.capture.tap.logger": "Logger",
    "driftline.capture.tap.tap": "Capture",
    "driftline.errors": "DriftlineError InputError",
    "driftline.formats.source": "Files",
    "driftline.monitors.backtest.backtest": "backtest",
    "driftline.monitors.backtest.options": "BacktestOptions",
    "driftline.monitors.backtest.outcome": "Backtest",
    "driftline.monitors.check": "check check_all",
    "driftline.monitors.distance": "distance distances",
    "driftline.monitors.drift_test.budget": "Budget",
    "driftline.monitors.kinds.outliers.table": "outlier_scores",
    "driftline.monitors.monitor": "Monitor",
    "driftline.monitors.report.report": "Report",
    "driftline.monitors.report.reports": "Reports",
    "driftline.monitors.results.violation": "Violation",
    "driftline.monitors.variants.comparison": "VariantComparison compare",
    "driftline.stats.distances.distance": "Distance",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'driftline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
