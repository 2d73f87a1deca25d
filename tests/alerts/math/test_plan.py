"""Queries: AWS's forms in and out, what is refused, order, circles, labels."""

from __future__ import annotations

import pytest

from driftline.alerts.errors import DatapointError, ExpressionError
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series

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


def ones(asked):
    return [Series.of({0: 1.0, 60: 2.0}, query.period) for query in asked]


def test_awss_form_goes_in_and_comes_out_again():
    query = MetricQuery.from_dict(AWS)

    assert query == metric(
        period=300, stat="p99.5", unit="Count", label="orders", return_data=False,
        dimensions={"Shop": "north", "Zone": "a"},
    )  # fmt: skip
    assert MetricQuery.from_dict(query.as_dict()) == query


def test_an_expression_goes_in_and_comes_out_again():
    given = {"Id": "e1", "Expression": "m1 / 2", "Label": "half", "Period": 60, "ReturnData": True}
    query = MetricQuery.from_dict(given)

    assert MetricQuery.from_dict(query.as_dict()) == query


def test_flat_fields_do_as_well():
    given = {"id": "m1", "namespace": "Shop", "metric_name": "Orders", "stat": "Sum", "period": 60}

    assert MetricQuery.from_dict(given) == metric()


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


def test_expressions_need_not_stand_in_order():
    queries = [
        math("e3", "e2 + e1"),
        math("e2", "e1 * s", return_data=False),
        math("e1", "m1 + 1", return_data=False),
        math("s", "SUM(m1)", return_data=False),
        metric(return_data=False),
    ]

    (found,) = Plan.of(queries).run(ones, 0, 120)

    # e1 = 2, 3; s = 3; e2 = 6, 9.
    assert found.id == "e3" and found.series[0].as_dict() == {0: 8.0, 60: 12.0}


def test_only_what_is_needed_is_read():
    asked = []

    def fetch(queries):
        asked.extend(query.id for query in queries)
        return ones(queries)

    metrics = [metric(name, return_data=False) for name in ("m1", "m2")]
    Plan.of([*metrics, math("e", "m2")]).run(fetch, 0, 120)

    assert asked == ["m2"]


def test_metrics_means_metrics_and_no_expressions_and_not_only_those_returned():
    queries = [
        metric("m1", return_data=False),
        metric("m2"),
        math("e1", "m1 * 100"),
        math("e2", "SUM(METRICS())"),
    ]

    assert Plan.of(queries).run(ones, 0, 120)[-1].series[0].as_dict() == {0: 2.0, 60: 4.0}


@pytest.mark.parametrize(
    ("queries", "labels"),
    [
        ([metric()], ["Orders"]),
        ([metric(), metric("m2", metric_name="Returns")], ["Orders", "Returns"]),
        # LocalStack's recorded "metric1 Average": what differs is appended.
        ([metric(), metric("m2", stat="Average")], ["Orders Sum", "Orders Average"]),
        ([metric(), metric("m2", period=300)], ["Orders 60", "Orders 300"]),
        ([metric(label="mine"), math("e1", "m1"), math("e2", "m1", label="")], ["mine", "e1", ""]),
    ],
)
def test_results_are_called_as_cloudwatch_calls_them(queries, labels):
    assert [one.label for one in Plan.of(queries).run(ones, 0, 120)] == labels


def test_bands_come_from_whoever_is_asked_for_them():
    asked = []

    def band(id_, deviations):
        asked.append((id_, deviations))
        return Series.of({0: 9.0}, 60), Series.of({0: -9.0}, 60)

    queries = [
        metric(),
        math("b", "ANOMALY_DETECTION_BAND(m1)"),
        math("u", "FIRST(ANOMALY_DETECTION_BAND(m1, 1 + 3))"),
        math("l", "LAST(b)"),
    ]
    _, both, upper, lower = Plan.of(queries).run(ones, 0, 120, band)

    assert asked == [("m1", 2.0), ("m1", 4.0)]
    assert both.is_array and [one.as_dict() for one in both.series] == [{0: 9.0}, {0: -9.0}]
    assert upper.series[0].as_dict() == {0: 9.0} and lower.series[0].as_dict() == {0: -9.0}
    assert list(Plan.of(queries).bands()) == ["m1"]


def test_without_detectors_bands_are_empty():
    found = Plan.of([metric(), math("b", "ANOMALY_DETECTION_BAND(m1)")]).run(ones, 0, 120)

    assert [len(one) for one in found[1].series] == [0, 0]


def test_arrays_of_arrays_are_refused_before_they_fill_the_memory():
    metric = MetricQuery(
        id="m1", namespace="n", metric_name="m", stat="Sum", period=60, return_data=False
    )
    wide = [
        MetricQuery(id="a", expression=f"[{','.join(['m1'] * 100)}]", return_data=False),
        MetricQuery(id="b", expression=f"[{','.join(['a'] * 100)}]", return_data=False),
        MetricQuery(id="c", expression=f"[{','.join(['b'] * 100)}]", return_data=False),
    ]

    with pytest.raises(ExpressionError, match=r'"b": .* has up to 10,000 series at once'):
        Plan.of([metric, *wide, MetricQuery(id="e", expression="SUM(c)")])
    with pytest.raises(ExpressionError, match="series at once; expected 1,000 or fewer"):
        Plan.of(
            [metric, wide[0], MetricQuery(id="e", expression="SUM([a,a,a,a,a,ABS([a,a,a,a,a])])")]
        )


def test_every_metric_of_a_full_request_fits_into_an_array():
    metrics = [
        MetricQuery(id=f"m{n}", namespace="n", metric_name=f"m{n}", stat="Sum", period=60)
        for n in range(499)
    ]

    plan = Plan.of([*metrics, MetricQuery(id="e", expression="SUM(METRICS()) / AVG(METRICS())")])

    assert plan.series_counts() == (500, 501)
