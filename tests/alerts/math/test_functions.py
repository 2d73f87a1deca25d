"""Functions and operators: AWS's worked examples, and a second evaluation in plain Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series

CASES = Path(__file__).parents[2] / "fixtures" / "alerts" / "cases.json"
STEP = 60
Line = list[float | None]


def answers(expression: str, start: int = 0, period: int = STEP, **lines: Line) -> list[Line]:
    """Evaluate over series that are given as lists, None where there is no point."""
    count = len(next(iter(lines.values())))
    queries = [
        MetricQuery(id=name, namespace="n", metric_name=name, stat="Sum", period=period,
                    return_data=False)
        for name in lines
    ]  # fmt: skip

    def fetch(asked):
        return [
            Series.of(
                {
                    start + i * period: float(v)
                    for i, v in enumerate(lines[one.id])
                    if v is not None
                },
                period,
            )
            for one in asked
        ]

    plan = Plan.of([*queries, MetricQuery(id="e1", expression=expression)])
    (result,) = plan.run(fetch, start, start + count * period)
    found = [one.as_dict() for one in result.series]
    return [[one.get(start + i * period) for i in range(count)] for one in found]


def answer(expression: str, start: int = 0, **lines: Line) -> Line:
    (found,) = answers(expression, start, **lines)
    return found


def _documented() -> list[tuple[str, dict[str, Line], Line]]:
    """The cases of kind "math", whose values stand in CloudWatch's User Guide."""
    found = []
    for case in json.loads(CASES.read_text())["cases"]:
        for part in [case, case.get("more", {})] if case["kind"] == "math" else []:
            found += [(text, part["series"], wanted) for text, wanted in part["expressions"]]
    return found


@pytest.mark.parametrize(
    ("expression", "series", "wanted"), _documented(), ids=[one[0] for one in _documented()]
)
def test_the_documented_examples_come_out(expression, series, wanted):
    assert answer(expression, **series) == wanted


M1: Line = [30, 20, None, 0, 4]
M2: Line = [20, None, 20, None, -4]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        # Missing counts as 0 beside what is there; what is divided by 0 is dropped.
        ("m1 + m2", [50, 20, 20, 0, 0]),
        ("m1 / m2", [1.5, None, 0, None, -1]),
        ("m2 / m1", [2 / 3, 0, None, None, -1]),
        ("5 * m1", [150, 100, None, 0, 20]),
        ("100 / m1", [100 / 30, 5, None, None, 25]),
        ("-m1", [-30, -20, None, 0, -4]),
        ("m1 ^ 2", [900, 400, None, 0, 16]),
        ("m2 ^ 0.5", [20**0.5, None, 20**0.5, None, None]),
        ("2 ^ 3 ^ 2 + m1 * 0", [512, 512, None, 512, 512]),
        ("-2 ^ 2 + m1 * 0", [-4, -4, None, -4, -4]),
        ("2 ^ -1 + m1 * 0", [0.5, 0.5, None, 0.5, 0.5]),
        ("1 + 2 * m1 - 4 / 2 / 2", [60, 40, None, 0, 8]),
        ("m1 == m2", [0, 0, 0, 1, 0]),
        ("m1 != m2", [1, 1, 1, 0, 1]),
        ("m1 >= 20", [1, 1, None, 0, 0]),
        ("m1 > 15 || m2 > 15", [1, 1, 1, 0, 0]),
        ("m1 > 15 && m2 > 15", [1, 0, 0, 0, 0]),
        ("m1 > 15 OR m2 > 15 AND m2 < 0", [1, 1, 0, 0, 0]),
        ("ABS(m2)", [20, None, 20, None, 4]),
        ("CEIL(m1 / 8)", [4, 3, None, 0, 1]),
        ("FLOOR(m1 / 8)", [3, 2, None, 0, 0]),
        ("LOG10(m1 + 0)", [math.log10(30), math.log10(20), None, None, math.log10(4)]),
        ("LOG(m1)", [math.log(30), math.log(20), None, None, math.log(4)]),
        # A number of one series: what is missing counts as 0 in an average of five periods.
        ("m1 - AVG(m1)", [30 - 10.8, 20 - 10.8, None, -10.8, 4 - 10.8]),
        ("m1 - SUM(m1) / DATAPOINT_COUNT(m1)", [16.5, 6.5, None, -13.5, -9.5]),
        ("m1 * 0 + MAX(m1) - MIN(m2)", [34, 34, None, 34, 34]),
        ("m1 * 0 + STDDEV(m2)", [128**0.5, 128**0.5, None, 128**0.5, 128**0.5]),
        # One series of several, time by time.
        ("SUM([m1, m2])", [50, 20, 20, 0, 0]),
        ("AVG([m1, m2])", [25, 10, 10, 0, 0]),
        ("MAX([m1, m2])", [30, 20, 20, 0, 4]),
        ("MIN([m1, m2])", [20, 20, 20, 0, -4]),
        ("STDDEV([m1, m2])", [5, 0, 0, 0, 4]),
        ("DATAPOINT_COUNT([m1, m2])", [2, 1, 1, 1, 2]),
        ("AVG(METRICS())", [25, 10, 10, 0, 0]),
        ('SUM(METRICS("2"))', [20, None, 20, None, -4]),
        ('SUM([METRICS("1"), METRICS("2")])', [50, 20, 20, 0, 0]),
        ('SUM(METRICS("none"))', [None] * 5),
        ("SUM(-[m1, m2])", [-50, -20, -20, 0, 0]),
        ("AVG([m1, m2] / m1)", [(1 + 2 / 3) / 2, 0.5, None, None, 0]),
        ("m1 / METRIC_COUNT(METRICS())", [15, 10, None, 0, 2]),
        # Between points that are there, however far apart.
        ("DIFF(m1)", [None, -10, None, -20, 4]),
        ("DIFF_TIME(m1)", [None, 60, None, 120, 60]),
        ("RATE(m1)", [None, -10 / 60, None, -20 / 120, 4 / 60]),
        ("RUNNING_SUM(m1)", [30, 50, None, 50, 54]),
        ("FILL(m1, 7)", [30, 20, 7, 0, 4]),
        ("FILL(m1, REPEAT)", [30, 20, 20, 0, 4]),
        ("FILL(m1, LINEAR)", [30, 20, 10, 0, 4]),
        ("FILL(m1, m2)", [30, 20, 20, 0, 4]),
        ("FILL(m2, m1 * 2)", [20, 40, 20, 0, -4]),
        ("FILL(m1, MIN(m1))", [30, 20, 0, 0, 4]),
        ("FILL(m1 - m1 - 1, 0) * 0 + PERIOD(m1)", [60] * 5),
        ("IF(m1 > 10, m1)", [30, 20, None, None, None]),
        ("IF(m1 > 10, 1, 2)", [1, 1, None, 2, 2]),
        ("IF(m2, m1, m2)", [30, None, 0, None, 4]),
        ("IF(MAX(m1) > 10, m1, m2)", [30, 20, None, 0, 4]),
        ("IF(MAX(m1) > 100, m1, m2)", [20, None, 20, None, -4]),
        ("IF(MAX(m1) > 100, m1)", [None] * 5),
        ("IF(1, 3, m1)", [3] * 5),
        ("m1 * IF(0, 3, 2)", [60, 40, None, 0, 8]),
        ("m1 * IF(0, 3)", [None] * 5),
        ("TIME_SERIES(SUM(m1))", [54] * 5),
        ("FIRST(SORT([m1, m2], AVG, DESC))", [30, 20, None, 0, 4]),
        ("LAST(SORT([m1, m2], AVG, DESC))", [20, None, 20, None, -4]),
        ("FIRST(SORT([m1, m2], MIN, ASC))", [20, None, 20, None, -4]),
        ("SUM(SORT([m1, m2], MAX, DESC, 1))", [30, 20, None, 0, 4]),
        ("SUM(SLICE([m1, m2], 1))", [20, None, 20, None, -4]),
        ("SUM(SLICE([m1, m2], 0, 1))", [30, 20, None, 0, 4]),
        ("SUM(SLICE([m1, m2], 0, 1e999))", [50, 20, 20, 0, 0]),
        ("SUM(REMOVE_EMPTY([m1, IF(m1 > 99, m1)])) * METRIC_COUNT(REMOVE_EMPTY([m1, m2]))",
         [60, 40, None, 0, 8]),
        ("FIRST(SLICE(METRICS(), 9))", [None] * 5),
    ],
)  # fmt: skip
def test_every_function_does_what_its_line_in_the_guide_says(expression, wanted):
    found = answer(expression, m1=M1, m2=M2)

    assert found == [None if one is None else pytest.approx(one) for one in wanted]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("FILL(m1, REPEAT)", [None, None, 1, 1, 3, 3]),
        ("FILL(m1, LINEAR)", [None, None, 1, 2, 3, None]),
        ("FILL(m1, 0)", [0, 0, 1, 0, 3, 0]),
        ("m1 / AVG(m2)", [None] * 6),
        ("m1 > MAX(m2)", [None] * 6),
        ("m1 + SUM(m2)", [None, None, 1, None, 3, None]),
        ("m1 + m2", [None, None, 1, None, 3, None]),
        ("FILL(m2, REPEAT)", [None] * 6),
        ("FILL(m2, LINEAR)", [None] * 6),
        ("FILL(m2, 5)", [5] * 6),
        ("FILL(m1, AVG(m2))", [None, None, 1, None, 3, None]),
        ("LAST(SORT([m1, m2], MAX, DESC))", [None] * 6),
        ("LAST(SORT([m1, m2], MAX, ASC))", [None] * 6),
        ("TIME_SERIES(MAX(m2))", [None] * 6),
        ("DIFF(m2)", [None] * 6),
    ],
)
def test_nothing_is_made_of_nothing(expression, wanted):
    found = answer(expression, m1=[None, None, 1, None, 3, None], m2=[None] * 6)

    assert found == wanted


@pytest.mark.parametrize(
    ("function", "of"),
    [
        ("MINUTE", lambda time: time.minute),
        ("HOUR", lambda time: time.hour),
        ("DAY", lambda time: time.isoweekday()),
        ("DATE", lambda time: time.day),
        ("MONTH", lambda time: time.month),
        ("YEAR", lambda time: time.year),
        ("EPOCH", lambda time: int(time.timestamp())),
    ],
)
def test_clocks_show_what_the_standard_library_says(function, of):
    start, period = int(datetime(2023, 12, 28, 22, 17, tzinfo=UTC).timestamp()), 3600 * 7 + 60
    (found,) = answers(f"{function}(m1)", start, period, m1=[None] * 200)

    moments = [datetime.fromtimestamp(start + i * period, UTC) for i in range(200)]
    assert found == [of(moment) for moment in moments]


def test_members_of_an_array_keep_the_names_of_their_metrics():
    queries = [
        MetricQuery(id=one, namespace="n", metric_name=one, stat="Sum", period=60, label=one * 2)
        for one in ("a", "b")
    ]
    plan = Plan.of([*queries, MetricQuery(id="e", expression="SORT(METRICS(), SUM, DESC) * 2")])
    found = plan.run(lambda asked: [Series.of({0: 1.0, 60: i}, 60) for i, _ in enumerate(asked)],
                     0, 120)  # fmt: skip

    assert [one.label for one in found[-1].series] == ["bb", "aa"]


def test_a_huge_result_is_dropped_and_never_infinite():
    assert answer("m1 ^ 9 ^ 9", m1=[1, 2, 1e300]) == [1, None, None]
    assert answer("RUNNING_SUM(m1 * 1e8)", m1=[1e300, 1e300]) == [1e308, None]
    assert answer("m1 - SUM(m1 * 1e8)", m1=[1e300, 1e300]) == [None, None]


# A second evaluation, in plain Python: lists, None where there is no point.


def _both(of: Callable[[float, float], float | None]) -> Callable[[Line, Line], Line]:
    def run(left: Line, right: Line) -> Line:
        return [
            None
            if one is None and other is None
            else of(0.0 if one is None else one, 0.0 if other is None else other)
            for one, other in zip(left, right, strict=True)
        ]

    return run


def _divided(one: float, other: float) -> float | None:
    return None if other == 0 else one / other


OPERATORS: dict[str, Callable[[Line, Line], Line]] = {
    "+": _both(lambda one, other: one + other),
    "-": _both(lambda one, other: one - other),
    "*": _both(lambda one, other: one * other),
    "/": _both(_divided),
    "<": _both(lambda one, other: float(one < other)),
    ">=": _both(lambda one, other: float(one >= other)),
    "==": _both(lambda one, other: float(one == other)),
    "AND": _both(lambda one, other: float(one != 0 and other != 0)),
    "OR": _both(lambda one, other: float(one != 0 or other != 0)),
}


def _diff(line: Line) -> Line:
    last, found = None, []
    for one in line:
        found.append(None if one is None or last is None else one - last)
        last = last if one is None else one
    return found


def _repeat(line: Line) -> Line:
    last, found = None, []
    for one in line:
        last = last if one is None else one
        found.append(last)
    return found


def _running(line: Line) -> Line:
    total, found = 0.0, []
    for one in line:
        total += one or 0.0
        found.append(None if one is None else total)
    return found


FUNCTIONS: dict[str, Callable[[Line], Line]] = {
    "-({})": lambda line: [None if one is None else -one for one in line],
    "ABS({})": lambda line: [None if one is None else abs(one) for one in line],
    "DIFF({})": _diff,
    "RUNNING_SUM({})": _running,
    "FILL({}, REPEAT)": _repeat,
    "FILL({}, 3)": lambda line: [3.0 if one is None else one for one in line],
    "({} * 2)": lambda line: [None if one is None else one * 2 for one in line],
}


def _chosen(condition: Line, then: Line, other: Line) -> Line:
    return [
        None if test is None else (0.0 if one is None else one) if test != 0 else two
        for test, one, two in zip(condition, then, other, strict=True)
    ]


Tree = tuple[str, Line]
LINES = st.lists(st.one_of(st.none(), st.integers(-4, 4).map(float)), min_size=6, max_size=6)


@st.composite
def trees(draw: st.DrawFn, lines: dict[str, Line], depth: int = 4) -> Tree:
    """Draw an expression, and what the plain evaluation makes of it."""
    kind = draw(st.sampled_from(["id", "operator", "function", "if"] if depth else ["id"]))
    if kind == "id":
        name = draw(st.sampled_from(sorted(lines)))
        return name, lines[name]
    parts = [draw(trees(lines, depth - 1)) for _ in range({"operator": 2, "if": 3}.get(kind, 1))]
    if kind == "operator":
        sign = draw(st.sampled_from(sorted(OPERATORS)))
        return f"({parts[0][0]} {sign} {parts[1][0]})", OPERATORS[sign](parts[0][1], parts[1][1])
    if kind == "if":
        text = f"IF({parts[0][0]}, {parts[1][0]}, {parts[2][0]})"
        return text, _chosen(parts[0][1], parts[1][1], parts[2][1])
    form = draw(st.sampled_from(sorted(FUNCTIONS)))
    return form.format(parts[0][0]), FUNCTIONS[form](parts[0][1])


@given(data=st.data())
def test_a_second_evaluation_in_plain_python_says_the_same(data):
    lines = {name: data.draw(LINES) for name in ("m1", "m2", "m3")}
    text, wanted = data.draw(trees(lines))

    found = answer(text, **lines)

    assert found == [None if one is None else pytest.approx(one) for one in wanted]


@given(points=st.dictionaries(st.integers(0, 50), st.floats(-1e6, 1e6), max_size=30),
       data=st.data())  # fmt: skip
def test_the_order_of_datapoints_does_not_matter(points, data):
    shuffled = dict(data.draw(st.permutations(list(points.items()))))

    one, other = Series.of(points, 1), Series.of(shuffled, 1)

    assert np.array_equal(one.times, other.times)
    assert np.array_equal(one.values, other.values)
