"""GetMetricData: pages that join to the whole, in either order; what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import ExpressionError
from driftline.alerts.math.data import DataRequest, get_metric_data
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series

START = datetime(2024, 1, 1, tzinfo=UTC)
T0 = int(START.timestamp())


def queries(count: int) -> tuple[MetricQuery, ...]:
    return tuple(
        MetricQuery(id=f"m{i}", namespace="n", metric_name="m", stat="Sum", period=60)
        for i in range(count)
    )


def request(count: int, **more) -> DataRequest:
    return DataRequest(queries=queries(count), start=START, end=START + timedelta(hours=1), **more)


def fetch_sizes(sizes):
    return lambda asked: [
        Series.of({T0 + 60 * i: float(i) for i in range(size)}, 60)
        for _, size in zip(asked, sizes, strict=True)
    ]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(1, 9), st.booleans())
def test_pages_join_to_the_whole(sizes, most, is_newest_first):
    fetch = fetch_sizes(sizes)
    whole = get_metric_data(request(len(sizes), is_newest_first=is_newest_first), fetch)
    points: dict[str, list[tuple[datetime, float]]] = {
        part.id: [] for part in whole.metric_data_results
    }
    done: list[str] = []

    token, pages = None, 0
    while True:
        asked = request(len(sizes), is_newest_first=is_newest_first, max_datapoints=most,
                        next_token=token)  # fmt: skip
        page = get_metric_data(asked, fetch)
        pages += 1
        assert sum(len(part.timestamps) for part in page.metric_data_results) <= most
        for part in page.metric_data_results:
            points[part.id] += zip(part.timestamps, part.values, strict=True)
            done += [part.id] if part.status_code == "Complete" else []
        if (token := page.next_token) is None:
            break

    assert points == {
        part.id: list(zip(part.timestamps, part.values, strict=True))
        for part in whole.metric_data_results
    }
    assert done == [part.id for part in whole.metric_data_results]
    assert pages == max(1, -(-sum(sizes) // most))


def test_newest_first_is_the_default_and_missing_periods_are_absent():
    def fetch(asked):
        return [Series.of({T0: 1.0, T0 + 120: 3.0}, 60) for _ in asked]

    (found,) = get_metric_data(request(1), fetch).as_dict()["metric_data_results"]

    assert found == {
        "id": "m0",
        "label": "m",
        "timestamps": ["2024-01-01T00:02:00Z", "2024-01-01T00:00:00Z"],
        "values": [3.0, 1.0],
        "status_code": "Complete",
        "messages": [],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end": START}, "The parameter StartTime must be less than the parameter EndTime."),
        ({"max_datapoints": 0}, "max_datapoints 0; expected 1 to 100800"),
        ({"max_datapoints": 100_801}, "max_datapoints 100801; expected 1 to 100800"),
        ({"next_token": "x"}, 'next_token "x"; expected that of the page before'),
        ({"next_token": "0011223344556677-3"}, "with the same queries, times and scan_by"),
        ({"end": START + timedelta(days=9999)}, "points are asked for; expected 5,000,000"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(change, said):
    given = {"queries": queries(1), "start": START, "end": START + timedelta(hours=1)} | change

    with pytest.raises(ExpressionError) as refused:
        get_metric_data(DataRequest(**given), fetch_sizes([1]))

    assert said in str(refused.value)
