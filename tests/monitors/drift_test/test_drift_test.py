"""The one rule: verdicts of windows and of the longer spans that end with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.cells import text_cells
from driftline.errors import InputError
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from driftline.monitors.drift_test.scan import merge_spans, scan_span
from driftline.monitors.drift_test.spans import Span
from driftline.monitors.state import State
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, number, window

NUMBER = number()
REFERENCE = np.r_[0, np.full(NUMBER.size - 4, 200), 0, 0, 0].astype(float)


def one(a: int, rows: int) -> dict[str, np.ndarray]:
    """Counts of a window of `flag`: so many rows of level a, the rest b."""
    return {"x": flags(np.array([a]), np.array([rows]))[0]}


def flag_drift_test(share: float = 0.3, rows: int = 100_000, **more) -> DriftTest:
    counts = flags(np.array([round(share * rows)]), np.array([rows]))[0]
    return DriftTest({"x": ReferenceColumn(flag(), counts.astype(float))}, length=HOUR, **more)


counts_of = st.lists(st.integers(0, 60), min_size=NUMBER.size, max_size=NUMBER.size).map(
    lambda found: np.array(found, dtype=np.int64)
)


@given(counts_of, st.floats(0, 0.3))
def test_a_violation_is_a_small_p_value_is_a_distance_above_its_bound(counts, tolerance) -> None:
    budget = Budget(tolerance=tolerance)
    drift_test = DriftTest({"x": ReferenceColumn(NUMBER, REFERENCE)}, budget=budget)

    decision = drift_test.judge(window({"x": counts}))

    for found in decision.drifts.values():
        assert found.drifted == (found.likelihood_ratio > found.critical_value)
        if not math.isclose(found.likelihood_ratio, found.critical_value, rel_tol=1e-9):
            assert found.drifted == (found.p_value < drift_test.alpha())


@pytest.mark.parametrize(("by", "drifted"), [(0.0999, False), (0.1005, True)])
def test_the_tolerance_is_the_shift_of_a_half_that_costs_nothing(by: float, drifted: bool) -> None:
    drift_test = flag_drift_test(0.5, rows=10**9, tolerances={"x": 0.1})

    verdict = drift_test.judge(window(one(round((0.5 + by) * 10**9), 10**9))).drifts["x"]

    assert verdict.drifted == drifted


def test_a_small_change_is_found_by_the_span_that_needs_to_be_no_longer() -> None:
    drift_test = flag_drift_test(scales=SCALES)
    past, found = [], []
    for hour in range(64):
        now = window(one(172, 500), START + hour * HOUR)  # 34.4% in place of 30%.
        found.append(drift_test.judge(now, past).drifts["x"])
        past.append(now)

    assert next(one.window_count for one in found if one.drifted) == 16
    assert not any(one.drifted for one in found[:15])
    assert found[63].drifted
    assert found[63].window_count == 16, "the shortest that tells it"
    assert found[63].since == START + 48 * HOUR
    assert found[63].critical_value == pytest.approx(found[0].critical_value - math.log(16))


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=8))
def test_a_span_is_judged_as_the_window_of_its_merged_counts(parts) -> None:
    windows = [
        window(one(min(a, rows), rows), START + hour * HOUR) for hour, (a, rows) in enumerate(parts)
    ]
    merged = window({"x": sum(one.cells["x"] for one in windows)})
    known = flag_drift_test().reference_model
    tolerance = np.array([0.01])

    found, expected = (
        scan_span(
            known.layout,
            span,
            merge_spans(known.layout, [span])[0],
            known.expect(span),
            tolerance=tolerance,
            alpha=1e-4,
        )
        for span in (Span(tuple(windows[::-1]), 8, 8), Span((merged,), 8, 8))
    )

    assert (found.ratios == expected.ratios).all()
    assert found.rows == expected.rows


def test_small_windows_are_judged_together() -> None:
    drift_test = flag_drift_test(scales=SCALES)
    past = [window(one(10, 10), START + hour * HOUR) for hour in range(1, 5)]

    alone = drift_test.judge(window(one(10, 10), START + 5 * HOUR))
    found = drift_test.judge(window(one(10, 10), START + 5 * HOUR), past).drifts["x"]

    assert alone.notes == {"x": State.INSUFFICIENT}
    assert found.drifted
    assert (found.window_count, found.since) == (3, START + 3 * HOUR)
    (alone,) = drift_test.judge(window(one(40, 40), START)).drifts.values()
    assert found.critical_value == alone.critical_value


def open_words(once: int) -> DriftTest:
    """A reference of 10,000 rows: half of them one word, the others rare ones."""
    levels = {"often": 5000} | {f"w{i}": 1 for i in range(once)}
    cells = text_cells("x", "string", levels, complete=True, row_count=10_000)
    # A value that came once was unseen to the rest, and is counted so.
    counts = np.array([5000, 5000 - once, once, 0, 0], dtype=float)
    return DriftTest({"x": ReferenceColumn(cells, counts, once)})


@pytest.mark.parametrize("unseen", [0, 60, 100])
def test_as_many_unseen_values_are_expected_as_came_once(unseen: int) -> None:
    # Good and Turing: 1,000 of 10,000 rows came once, so up to a tenth of the rows is new.
    found = open_words(1000).judge(window({"x": np.array([500, 500 - unseen, unseen, 0, 0])}))

    assert found.drifts["x"].likelihood_ratio < 1


def test_more_unseen_values_than_that_are_drift() -> None:
    found = open_words(1000).judge(window({"x": np.array([500, 250, 250, 0, 0])})).drifts["x"]

    assert found.drifted
    assert found.unseen_likelihood_ratio > found.critical_value


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"tolerance": 1.0}, "tolerance 1.0; expected a share from 0 to below 1"),
        ({"tolerance": -0.1}, "tolerance -0.1; expected a share"),
        ({"false_alarms_per_year": 0.0}, "false_alarms_per_year 0.0; expected a number above 0"),
        ({"windows_per_year": math.nan}, "windows_per_year nan; expected a number above 0"),
    ],
)
def test_a_budget_of_nothing_is_refused(given_, message) -> None:
    with pytest.raises(InputError, match=message):
        Budget(**given_)
