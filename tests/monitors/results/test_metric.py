"""Which side of its reference a metric is worse on, and when it is not."""

import pytest

from driftline.monitors.results.metric import MetricResult


def side_of(name, operator, reference, value, facet="sex"):
    before = (reference, reference - 0.01, reference + 0.01)
    one = MetricResult(name, None, None, None, *before, operator=operator, facet=facet)
    return one.worse_side(value, value - 0.01, value + 0.01)


@pytest.mark.parametrize(
    ("name", "operator", "reference", "value", "side"),
    [
        ("DPPL", "GreaterThanThreshold", 0.1, 0.2, "higher"),
        ("DPPL", "GreaterThanThreshold", -0.2, -0.05, ""),
        ("DPPL", "LessThanThreshold", 0.2, 0.05, ""),
        ("DPPL", "LessThanThreshold", 0.1, -0.2, "lower"),
        ("DI", "LessThanThreshold", 0.9, 0.6, "lower"),
        ("DI", "LessThanThreshold", 1.9, 1.2, ""),
        ("DI", "GreaterThanThreshold", 0.5, 1.6, ""),
        ("DI", "GreaterThanThreshold", 0.5, 2.4, "higher"),
    ],
)
def test_what_brings_a_group_closer_to_the_others_is_not_worse(
    name, operator, reference, value, side
):
    assert side_of(name, operator, reference, value) == side


def test_other_metrics_know_no_parity():
    assert side_of("auc", "LessThanThreshold", 0.7, 0.5, facet="") == "lower"
    assert side_of("auc", "LessThanThreshold", 0.7, 0.69, facet="") == ""
    assert MetricResult("auc", 0.5).worse_side(0.5, None, None) == ""


@pytest.mark.parametrize(("name", "side"), [("DPPL", "higher"), ("share_age", ""), ("level", "")])
def test_what_features_contribute_is_neither_better_nor_worse(name, side):
    one = MetricResult(
        name, 0.25, 0.24, 0.26, 0.1, 0.09, 0.11, bound=0.3, operator="GreaterThanThreshold"
    )
    assert one.worse_within_bound == side
