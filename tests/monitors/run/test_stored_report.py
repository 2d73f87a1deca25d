"""A stored report is read back as it was made, and its numbers over windows."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, insert

import driftline as dl
from driftline.monitors.executions import Execution
from driftline.monitors.report.report import Report
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import Violation
from driftline.monitors.run.drift_map import drift_map
from driftline.monitors.run.series import histories
from driftline.monitors.run.stored_report import report_of, store_report
from driftline.monitors.state import State
from driftline.monitors.tables import executions
from tests.servers.postgres import both_databases


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    score = random.uniform(size=count)
    return pd.DataFrame(
        {
            "time": pd.date_range("2026-01-01", periods=count, freq="min", tz="UTC"),
            "shop": random.choice(["Rome", "Oslo", "Bern"], count),
            "temperature": random.normal(60, 9, count),
            "score": score,
            "guess": (score > 0.5).astype(int),
            "late": (random.uniform(size=count) < score).astype(int),
        }
    )


@pytest.mark.parametrize("kind", ["data-quality", "model-quality"])
def test_a_report_is_read_back_as_it_was_made(kind: str) -> None:
    roles = {"label": "late", "prediction": "guess", "probability": "score", "timestamp": "time"}
    baseline = dl.Baseline.fit(rows(20_000, 1), **roles)
    window = rows(3_000, 2)
    odd = (window["shop"] == "Rome") & (np.arange(3_000) > 1_000)
    window.loc[odd, "temperature"] = (window["temperature"] - 32) / 1.8
    window.loc[odd, "late"] = 1 - window["guess"]
    report = dl.check(window, baseline, kind=kind)
    assert report.violations
    document = report.to_dict()

    found = report_of(json.loads(json.dumps(document)))

    assert [one.to_dict() for one in found.violations] == document["violations"]
    assert found.features == report.results
    assert found.metrics == report.metrics
    assert found.details == json.loads(json.dumps(document["details"]))


def column(name: str, distance: float | None, state: State = State.JUDGED) -> FeatureResult:
    bound = None if distance is None else 0.1
    return FeatureResult(name, "double", "input", 100, distance=distance, bound=bound, state=state)


@both_databases
def test_charts_draw_the_numbers_of_windows(engine: Engine) -> None:
    runs, day = [], datetime(2026, 1, 5, tzinfo=UTC)
    for at, drifted in enumerate((0.05, 0.3)):
        start = day + at * timedelta(days=1)
        execution = Execution(
            id=f"{at:036d}", monitor="daily", kind="data-quality", endpoint="shop",
            definition_version=1, baseline="shop", baseline_version="", window_start=start,
            window_end=start + timedelta(days=1), digest="", status="Completed", row_count=100,
            started_at=start, finished_at=start,
        )  # fmt: skip
        report = Report(
            "data-quality",
            (Violation("checked", "range_check", "Out of range"),),
            100,
            results=(
                column("100%_of", drifted), column("checked", 0.02),
                column("wild", 0.4, State.TOO_VARIABLE), column("few", None, State.INSUFFICIENT),
            ),
            metrics=(Measured("log_loss", float("inf"), reference=0.5),),
        )  # fmt: skip
        with engine.begin() as connection:
            connection.execute(insert(executions).values(asdict(execution)))
            for _ in range(2):
                store_report(connection, execution.id, report, "{}")
        runs.append(execution)

    with engine.connect() as connection:
        drawn = drift_map(connection, "daily", None, 1)
        (distance, loss) = histories(
            connection, runs,
            [(name, Measured(name)) for name in ("distance / 100%_of", "log_loss")],
        )  # fmt: skip

    ratios = dict(zip(drawn.features, drawn.ratios.tolist(), strict=True))
    assert ratios["100%_of"] == pytest.approx([0.5, 3.0])
    assert ratios["checked"] == [np.inf, np.inf], "by a check without a distance"
    assert np.isnan([ratios["wild"], ratios["few"]]).all()
    assert (drawn.total, drawn.beyond, drawn.unjudged) == (4, 2, 2)
    assert distance.value.tolist() == [0.05, 0.3]
    assert distance.bound.tolist() == [0.1, 0.1]
    assert np.isnan(loss.value).all(), "an infinite value has no place in a figure"
