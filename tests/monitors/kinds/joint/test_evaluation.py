"""The kind "joint" from data to report: planted changes found for their reason, and no others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext, EarlierRows, PastWindows
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kind import kind_named
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts

# Most tests here check windows against one reference.
pytestmark = pytest.mark.usefixtures("blocks_told_apart_once")

WORDS = np.array(
    [
        "good",
        "bad",
        "room",
        "staff",
        "clean",
        "noisy",
        "view",
        "bed",
        "price",
        "food",
        "bath",
        "late",
    ]
)


def stays(rows: int, seed: int, *, rho: float = 0.8, days: int = 28) -> pa.Table:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=rows)
    second = rho * first + np.sqrt(1 - rho**2) * rng.normal(size=rows)
    text = [" ".join(one) for one in WORDS[rng.integers(0, len(WORDS), (rows, 6))]]
    start = np.datetime64("2026-01-01T00:00:00", "us")
    seconds = np.arange(rows) * (days * 86_400 / max(rows, 1))
    return pa.table(
        {
            "income": np.exp(first),
            "limit": np.exp(second) * 100,
            "age": rng.normal(40, 9, rows),
            "plan": np.array(["basic", "plus"])[(first + rng.normal(size=rows) > 0).astype(int)],
            "review": [f"{one} {at % 977}" for at, one in enumerate(text)],
            "score": rng.beta(2, 5, rows),
            "when": pa.array(
                start + seconds.astype("timedelta64[s]"), pa.timestamp("us", tz="UTC")
            ),
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Baseline:
    return Baseline.fit(stays(12_000, 0), probability="score", timestamp="when")


def judged(baseline: Baseline, table: object, **more: object) -> Report:
    return check(table, baseline, kind="joint", **more)


def causes(report: Report) -> dict[str, str]:
    return {
        f"{one.feature_name}: {one.constraint_check_type}": one.cause for one in report.violations
    }


def test_a_correlation_that_broke_with_equal_margins_is_named(fitted: Baseline) -> None:
    report = judged(fitted, stays(1_000, 1, rho=0.0))

    first = report.violations[0]
    assert first.feature_name == "income × limit"
    assert first.constraint_check_type == "correlation_drift_check"
    assert first.severity == "ticket"
    assert first.cause.startswith("correlation 0.80 → ")
    told = {one.name for one in report.metrics if one.violated}
    assert "correlation" in told
    # The margins are what they were.
    assert check(stays(1_000, 1, rho=0.0), fitted, kind="data-quality").passed


def test_rows_without_a_change_pass_in_all_questions(fitted: Baseline) -> None:
    report = judged(fitted, stays(1_000, 2))

    assert report.passed
    assert report.decided
    names = {one.name for one in report.metrics if one.judged}
    assert names == {"correlation", "domain_auc", "text_drift"}
    for one in report.metrics:
        assert one.low <= one.value <= one.high


def question(
    baseline: Baseline, table: pa.Table, window: Window | None = None, budget: Budget | None = None
) -> CheckContext:
    facts = None if window is None else WindowFacts(window)
    batches = table.to_batches
    return CheckContext(
        baseline, Rows(lambda: iter(batches()), facts=facts), budget=budget or Budget()
    )


def hourly(baseline: Baseline, now: pa.Table, before: pa.Table) -> Report:
    """Judge the tenth hour of a day, with nine before it."""
    noon = datetime(2026, 2, 1, 12, tzinfo=UTC)
    times = np.datetime64("2026-02-01T03:00", "us") + np.arange(len(before)) * np.timedelta64(
        9 * 3_600_000_000 // len(before), "us"
    )
    came = before.append_column("event_time", pa.array(times, pa.timestamp("us", tz="UTC")))
    asked = question(baseline, now, Window(noon, noon + timedelta(hours=1)), Budget(1.0, 8_766.0))
    earlier = EarlierRows(noon - timedelta(hours=9), lambda: iter(came.to_batches()))
    return kind_named("joint").evaluate(replace(asked, past=PastWindows(rows=earlier)))


def test_a_change_too_small_for_one_hour_is_found_in_several(fitted: Baseline) -> None:
    now, before = stays(90, 11, rho=0.62), stays(9 * 90, 12, rho=0.62)

    alone = kind_named("joint").evaluate(question(fitted, now))
    together = hourly(fitted, now, before)

    assert "correlation" in {one.name for one in alone.unjudged}
    one = together.violations[0]
    assert one.feature_name == "income × limit"
    assert " over 10 windows, 95% interval " in one.cause
    assert together.details["span_rows"] == {"1": 90, "4": 360, "10": 900}
    metric = next(one for one in together.metrics if one.name == "correlation" and one.violated)
    assert metric.count == 900


def vectors(count: int, seed: int, turn: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, 32)) * np.geomspace(5, 0.1, 32)
    if turn:
        # The same directions for every call: an orthogonal matrix.
        found = found @ np.linalg.qr(np.random.default_rng(9).normal(size=(32, 32)))[0]
    return pa.table({"embedding": found.tolist()})


@pytest.mark.full
def test_a_rotated_embedding_is_found() -> None:
    baseline = Baseline.fit(vectors(3_000, 0))

    turned = judged(baseline, vectors(600, 1, turn=True))

    assert "embedding: embedding_drift_check" in causes(turned)
    assert judged(baseline, vectors(600, 2)).passed


def test_a_shuffled_column_of_real_data_is_named() -> None:
    table = load_breast_cancer(as_frame=True).data
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    baseline = Baseline.fit(table.iloc[:285])
    window = table.iloc[285:].copy()

    assert judged(baseline, window).passed
    window["mean area"] = np.random.default_rng(1).permutation(window["mean area"])
    report = judged(baseline, window)

    pairs = [one for one in report.violations if one.constraint_check_type.startswith("corr")]
    assert pairs
    assert all("mean area" in one.feature_name for one in pairs)


def test_few_rows_are_too_little_and_no_pass(fitted: Baseline) -> None:
    report = judged(fitted, stays(20, 7))

    assert not report.decided
    assert report.unjudged
    assert not judged(fitted, stays(0, 7)).decided
