"""What a run's row says of its report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.run.described import describe

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DEFINITION = MonitorDefinition("m", endpoint="e", baseline="b", kind="bias")


def test_a_run_counts_the_metrics_that_are_worse_within_their_bounds() -> None:
    far = MetricResult(
        "DPPL", 0.25, 0.24, 0.26, 0.1, 0.09, 0.11, bound=0.3, operator="GreaterThanThreshold"
    )
    near = replace(far, name="DI", value=0.1, low=0.09, high=0.11)
    alarming = replace(far, name="RD", severity="ticket")
    report = Report("bias", (), 240, metrics=(far, near, alarming))
    window = Window(NOW - timedelta(days=1), NOW)

    judged = describe(DEFINITION, window, "1", "", report, finished=NOW)
    failed = describe(DEFINITION, window, "1", "", "the store is away", finished=NOW)

    assert (judged.status, judged.worse_count) == ("Completed", 1)
    assert failed.worse_count is None
