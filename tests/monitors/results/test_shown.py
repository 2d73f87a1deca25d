"""Which metric a page draws when nobody asked for one."""

from dataclasses import replace

from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.shown import choose_metric

SURE = MetricResult(
    "rmse", 58.0, 50.0, 66.0, 58.6, 54.0, 63.0, bound=200.0, operator="GreaterThanThreshold"
)
WORSE = replace(SURE, name="mae", value=59.5, low=48.3, high=73.5, reference=36.5,
                reference_low=34.0, reference_high=39.0)  # fmt: skip


def test_a_metric_that_is_worse_comes_before_the_kinds_first_and_after_a_violation():
    broken = replace(SURE, name="r2", severity="ticket")

    assert WORSE.worse_within_bound == "higher"
    assert choose_metric([SURE, replace(SURE, name="mae")], "model-quality", None, None) is SURE
    assert choose_metric([SURE, WORSE], "model-quality", None, None) is WORSE
    assert choose_metric([SURE, WORSE, broken], "model-quality", None, None) is broken
