from datetime import UTC, datetime, timedelta, timezone

import pytest

from driftline.alerts.datapoint import UNITS, Datapoint, metric_key
from driftline.alerts.errors import DatapointError

TIME = datetime(2013, 1, 1, tzinfo=UTC)


def point(**more) -> Datapoint:
    fields = {"namespace": "Driftline", "name": "rows", "dimensions": {}, "time": TIME, "value": 1}
    return Datapoint(**(fields | more))


def test_order_of_dimensions_does_not_make_another_metric():
    one = metric_key("n", "m", {"Server": "Prod", "Domain": "Rio"})

    assert one == metric_key("n", "m", {"Domain": "Rio", "Server": "Prod"})
    assert one != metric_key("n", "m", {"Server": "Prod"})


def test_a_single_value_counts_once():
    assert point(value=2.5).statistics == (1.0, 2.5, 2.5, 2.5)


def test_there_are_the_27_units_of_cloudwatch():
    assert len(UNITS) == 27


def test_time_of_another_zone_is_given_in_utc():
    local = datetime(2013, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert point(time=local).time_utc == TIME


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"value": float("nan")}, "value nan; expected -2"),
        ({"value": float("inf")}, "value inf"),
        ({"value": 2.0**361}, "expected -2"),
        ({"value": None}, "neither a value nor all of"),
        ({"value": None, "sum": 1.0}, "neither a value nor all of"),
        ({"sum": 1.0}, "a value and a statistic set"),
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
