"""driftline: open, self-hosted model monitoring and drift detection.

The face hands its names on lazily (PEP 562): importing it costs milliseconds and pulls in neither
pandas nor Arrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from driftline.app.client.client import Client as Client
    from driftline.app.deployment import deploy as deploy
    from driftline.baseline.profiling import profile as profile
    from driftline.baseline.store import Baseline as Baseline
    from driftline.capture.tap.logger import Logger as Logger
    from driftline.capture.tap.tap import Capture as Capture
    from driftline.errors import DriftlineError as DriftlineError
    from driftline.errors import InputError as InputError
    from driftline.formats.source import Files as Files
    from driftline.monitors.backtest.backtest import BacktestOptions as BacktestOptions
    from driftline.monitors.backtest.backtest import backtest as backtest
    from driftline.monitors.backtest.outcome import Backtest as Backtest
    from driftline.monitors.check import check as check
    from driftline.monitors.check import check_all as check_all
    from driftline.monitors.distance import distance as distance
    from driftline.monitors.distance import distances as distances
    from driftline.monitors.drift_test.budget import Budget as Budget
    from driftline.monitors.kinds.outliers.table import outlier_scores as outlier_scores
    from driftline.monitors.monitor import Monitor as Monitor
    from driftline.monitors.report.report import Report as Report
    from driftline.monitors.report.reports import Reports as Reports
    from driftline.monitors.results.violation import Violation as Violation
    from driftline.monitors.variants.comparison import (
        VariantComparison as VariantComparison,
    )
    from driftline.monitors.variants.comparison import (
        compare as compare,
    )
    from driftline.stats.distances.distance import Distance as Distance

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
    "driftline.monitors.backtest.backtest": "backtest BacktestOptions",
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


__all__ = sorted(" ".join(_HOMES.values()).split())


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'driftline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
