"""Queries: AWS's forms in and out, what is refused, order, circles, labels."""

from __future__ import annotations

import pytest

from driftline.alerts.errors import DatapointError, ExpressionError
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery

# CloudWatch API reference, GetMetricData, the shape MetricDataQuery.
AWS = {
    "Id": "m1",
    "MetricStat": {
        "Metric": {
            "Namespace": "Shop",
            "MetricName": "Orders",
            "Dimensions": [{"Name": "Shop", "Value": "north"}, {"Name": "Zone", "Value": "a"}],
        },
        "Period": 300,
        "Stat": "p99.5",
        "Unit": "Count",
    },
    "Label": "orders",
    "ReturnData": False,
}


def metric(id_: str = "m1", **more) -> MetricQuery:
    asked = {"namespace": "Shop", "metric_name": "Orders", "stat": "Sum", "period": 60} | more
    return MetricQuery(id=id_, **asked)


def math(id_: str, expression: str, **more) -> MetricQuery:
    return MetricQuery(id=id_, expression=expression, **more)


def test_awss_form_goes_in_and_comes_out_again():
    query = MetricQuery.from_dict(AWS)

    assert query == metric(
        period=300, stat="p99.5", unit="Count", label="orders", return_data=False,
        dimensions={"Shop": "north", "Zone": "a"},
    )  # fmt: skip
    assert MetricQuery.from_dict(query.as_dict()) == query


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "M1"}, 'id "M1" of a query; expected a lower-case letter'),
        ({"id": None}, "id None of a query"),
        ({"id": "m1", "expression": "m1"}, "both a metric and an expression"),
        ({"metric_name": None}, "neither a metric and an expression"),
        ({"stat": None}, "a metric without stat"),
        ({"stat": "Mean"}, 'statistic "Mean"'),
        ({"period": 45}, "period 45 s; expected 1, 5, 10, 20, 30 or a multiple of 60"),
        ({"period": "60"}, "period '60'; expected a whole number"),
        ({"period": True}, "period True; expected a whole number"),
        ({"return_data": 1}, "return_data 1; expected true or false"),
        ({"unit": "Apples"}, 'unit "Apples"'),
        ({"dimensions": [{"Name": "a", "Value": "b"}] * 2}, "expected each name once"),
        ({"dimensions": {"a": 3}}, "expected texts by name"),
        ({"label": "x" * 2049}, "a label of 2049 characters"),
        ({"stats": "Sum"}, 'unknown field "stats"'),
        ({"metric_stat": "x"}, "metric_stat: 'x'; expected an object"),
    ],
)
def test_what_is_wrong_with_a_query_is_said(change, said):
    given = {"id": "m1", "namespace": "Shop", "metric_name": "Orders", "stat": "Sum", "period": 60}

    with pytest.raises((ExpressionError, DatapointError)) as refused:
        MetricQuery.from_dict(given | change)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([], "0 queries; expected 1 to 500"),
        ([metric(f"m{i}") for i in range(501)], "501 queries; expected 1 to 500"),
        ([metric(), metric()], 'two queries have the id "m1"'),
        ([math("e1", "m1")], 'names "m1", and no query has that id; expected one of: e1'),
        ([math("e1", "e1 + 1")], 'queries "e1" need each other in a circle'),
        (
            [math("e0", "e1"), math("e1", "e2"), math("e2", "e3"), math("e3", "e1")],
            'queries "e1", "e2", "e3" need each other in a circle',
        ),
        ([metric(), math("e1", "AVG(m1)")], 'query "e1": expression "AVG(m1)" gives a number'),
        ([metric(), math("e1", "'text'")], 'query "e1" gives no value'),
        (
            [metric(period=30), math("b", "ANOMALY_DETECTION_BAND(m1)")],
            'band of query "m1": period 30 s with a band; expected 60 or more',
        ),
        (
            [metric(), math("e", "SUM(METRICS())"), math("b", "ANOMALY_DETECTION_BAND(e)")],
            'band of query "e": it uses METRICS or a band',
        ),
        ([metric(), math("e1", "e2 * 2", return_data=False), math("e2", "m1 +")], "at character 5"),
    ],
)
def test_queries_that_do_not_go_together_are_refused(queries, said):
    with pytest.raises(ExpressionError) as refused:
        Plan.of(queries)

    assert said in str(refused.value)
