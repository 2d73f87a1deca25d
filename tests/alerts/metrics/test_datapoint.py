from datetime import UTC, datetime

import pytest

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.datapoint import UNITS, Datapoint, metric_key
from driftline.alerts.metrics.distribution import Distribution

TIME = datetime(2013, 1, 1, tzinfo=UTC)


def point(**more) -> Datapoint:
    fields = {"namespace": "Driftline", "name": "rows", "dimensions": {}, "time": TIME, "value": 1}
    return Datapoint(**(fields | more))


def test_order_of_dimensions_does_not_make_another_metric():
    one = metric_key("n", "m", {"Server": "Prod", "Domain": "Rio"})

    assert one == metric_key("n", "m", {"Domain": "Rio", "Server": "Prod"})
    assert one != metric_key("n", "m", {"Server": "Prod"})


def test_there_are_the_27_units_of_cloudwatch():
    assert len(UNITS) == 27


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"value": float("nan")}, "value nan; expected -2"),
        ({"value": float("inf")}, "value inf"),
        ({"value": 2.0**361}, "expected -2"),
        ({"value": None}, "neither a value nor all of"),
        ({"value": None, "sum": 1.0}, "neither a value nor all of"),
        ({"sum": 1.0}, "two of a value, values and"),
        ({"values": [1.0]}, "two of a value, values and"),
        ({"counts": [1.0]}, "counts without values"),
        ({"value": None, "values": []}, "0 distinct values; expected 1 to 150"),
        ({"value": None, "values": [float(n) for n in range(151)]}, "151 distinct values"),
        ({"value": None, "values": [1.0, 2.0], "counts": [1.0]}, "2 values and 1 counts"),
        ({"value": None, "values": [1.0], "counts": [-1.0]}, "counts below 0"),
        ({"value": None, "values": [1.0], "counts": [0.0]}, "or none above"),
        ({"value": None, "values": [1.0, float("nan")]}, "value nan"),
        ({"time": datetime(2013, 1, 1)}, "has no zone"),  # noqa: DTZ001
        ({"unit": "Bananas"}, 'unit "Bananas"'),
        ({"period_s": 0}, "period 0 s"),
        ({"name": ""}, "1 to 255 printable ASCII"),
        ({"name": "Größe"}, "percent-encode"),
        ({"namespace": ":x"}, 'starts with ":"'),
        ({"dimensions": {"a": " "}}, "printable ASCII"),
        ({"dimensions": {f"d{n}": "x" for n in range(31)}}, "31 dimensions; expected 30"),
    ],
)
def test_what_breaks_a_limit_is_refused_with_its_value(more, message):
    with pytest.raises(DatapointError, match=message):
        point(**more)


def summary(count: float, total: float, low: float, high: float) -> Datapoint:
    return point(value=None, sample_count=count, sum=total, minimum=low, maximum=high)


@pytest.mark.parametrize(
    "numbers",
    [(3, 2.9, 1, 5), (3, 15.1, 1, 5), (1, 2, 3, 3), (2, -1, -5, -4), (3, 0, 1e-9, 2e-9)],
)
def test_a_sum_that_no_such_values_can_have_is_refused(numbers):
    with pytest.raises(DatapointError, match=r"sum .*; expected a sum from .* to"):
        summary(*numbers)


@pytest.mark.parametrize(
    "numbers",
    [
        (3, 3, 1, 5), (3, 15, 1, 5), (10, sum([0.1] * 10), 0.1, 0.1), (0.5, 1, 2, 2),
        (2, 0.0, 0.0, 0.0), (2, -9, -5, -4), (1e6, 1e5 * (1 + 1e-9), 0.1, 0.1),
        (2.0**100, 2.0**300, 2.0**200, 2.0**201),
    ],
)  # fmt: skip
def test_a_sum_may_be_off_by_rounding(numbers):
    assert summary(*numbers).statistics == numbers


def test_several_values_are_summed_up_by_their_counts():
    found = point(value=None, values=[4.0, 1.0, 4.0], counts=[1, 2, 0.5])
    assert found.statistics == (3.5, 8.0, 1.0, 4.0)
    spread = Distribution.from_bytes(found.spread)
    assert spread.values.tolist() == [1.0, 4.0]
    assert spread.counts.tolist() == [2.0, 1.5]
