from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline

import driftline as dl
from driftline.alerts.evaluation.replay import replay
from driftline.app.demo.flights import (
    EVENT_TIME,
    FEATURES,
    LABEL,
    is_between,
    load,
    reference,
)
from driftline.app.demo.model import PREDICTION, PROBABILITY, train
from driftline.app.demo.run import declare
from driftline.monitors.results.cause_identity import told_causes, with_first_windows

# In a short run tests/journeys/test_demo.py trains the model, and checks what its weeks raise.
pytestmark = pytest.mark.full
# As the demo's monitor has it: of a check that nobody scheduled a year has 365 windows.
END = datetime(2026, 11, 18, tzinfo=UTC)
WEEKLY = dl.Budget(1.0, 365 / 7)


class Trained(NamedTuple):
    """A fitted model and the reference it was fitted on."""

    estimator: Pipeline
    reference: pa.Table


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    return load(END)


@pytest.fixture(scope="module")
def trained(flights: pa.Table) -> Trained:
    return Trained(*train(reference(flights, END)))


def test_the_reference_is_predicted_out_of_fold(trained: Trained) -> None:
    rows = trained.reference.to_pandas().dropna(subset=[LABEL])
    in_sample = trained.estimator.predict_proba(rows[list(FEATURES)])[:, 1]

    # In-sample predictions flatter: 0.79 here, against 0.70 by models that had not seen the day.
    assert roc_auc_score(rows[LABEL], rows[PROBABILITY]) == pytest.approx(0.70, abs=0.015)
    assert roc_auc_score(rows[LABEL], in_sample) > 0.77


def test_later_months_are_ranked_as_well_as_the_reference(
    flights: pa.Table, trained: Trained
) -> None:
    later = flights.slice(trained.reference.num_rows).to_pandas().dropna(subset=[LABEL])

    late = trained.estimator.predict_proba(later[list(FEATURES)])[:, 1]

    assert roc_auc_score(later[LABEL], late) == pytest.approx(0.69, abs=0.02)


def test_every_flight_of_the_reference_has_a_prediction(trained: Trained) -> None:
    probability = trained.reference[PROBABILITY].to_numpy()

    assert trained.reference.num_rows == 80_789
    assert ((probability > 0) & (probability < 1)).all()
    np.testing.assert_array_equal(trained.reference[PREDICTION].to_numpy(), probability > 0.5)


def test_the_saved_model_is_made_of_scikit_learn_and_predicts_the_same(
    trained: Trained, tmp_path: Path
) -> None:
    file = tmp_path / "flights.skops"
    rows = trained.reference.slice(0, 17).select(FEATURES).to_pandas()

    skops.io.dump(trained.estimator, file)

    unknown = skops.io.get_untrusted_types(file=file)
    assert all(name.startswith("sklearn.") for name in unknown)
    loaded = skops.io.load(file, trusted=unknown)
    np.testing.assert_array_equal(loaded.predict_proba(rows), trained.estimator.predict_proba(rows))


def test_a_level_that_training_never_saw_is_predicted_all_the_same(trained: Trained) -> None:
    rows = trained.reference.slice(0, 3).select(FEATURES).to_pandas()
    rows["carrier"] = "EDV"
    rows.loc[0, "temp"] = np.nan

    found = trained.estimator.predict_proba(rows)[:, 1]

    assert np.isfinite(found).all()


@pytest.fixture(scope="module")
def baseline(trained: Trained) -> dl.Baseline:
    return dl.Baseline.fit(
        trained.reference, label=LABEL, prediction=PREDICTION, probability=PROBABILITY,
        timestamp=EVENT_TIME, problem="binary", positive="1",
    )  # fmt: skip


def _answered(flights: pa.Table, trained: Trained, start: datetime, length: timedelta) -> pa.Table:
    """Return the flights of a window with the model's answers."""
    rows = flights.filter(is_between(flights, start, start + length))
    chance = trained.estimator.predict_proba(rows.select(FEATURES).to_pandas())[:, 1]
    rows = rows.append_column(PREDICTION, pa.array((chance > 0.5).astype(np.int64)))
    return rows.append_column(PROBABILITY, pa.array(chance))


def test_the_weeks_in_which_guessing_is_better_page_and_the_pager_rings_once_for_them(
    flights: pa.Table, trained: Trained, baseline: dl.Baseline
) -> None:
    """By monitor and alarm of the demo, from the end of August on; --full replays the year."""
    week = timedelta(days=7)
    starts = [END - number * week for number in range(18, 9, -1)]
    skills, pages = [], []
    for start in starts:
        rows = _answered(flights, trained, start, week)
        report = dl.check(rows, baseline, kind="model-quality", budget=WEEKLY)
        known = rows.filter(rows[LABEL].is_valid())
        late = known[LABEL].to_numpy()
        guess = brier_score_loss(late, np.full(len(late), late.mean()))
        skills.append(1 - brier_score_loss(late, known[PROBABILITY].to_numpy()) / guess)
        said = {one.name: one.value for one in report.metrics}["brier_skill"]
        assert said == pytest.approx(skills[-1], rel=1e-9)
        pages.append(report.page_count)

    paged = [skill for skill, count in zip(skills, pages, strict=True) if count]
    # Surely worse than guessing, and than any week of the reference.
    assert sorted(paged) == sorted(skills)[:2]
    assert max(paged) < 0
    assert _changes("flights: loss of quality", starts, pages) == ["OK", "ALARM", "OK"]


def test_drift_that_stays_is_one_ticket(
    flights: pa.Table, trained: Trained, baseline: dl.Baseline
) -> None:
    """Two weeks of August with airports that the first quarter did not have, told on most days."""
    day = timedelta(days=1)
    starts = [END - number * day for number in range(130, 116, -1)]
    told, broken, news = [], [], []
    for start in starts:
        report = dl.check(_answered(flights, trained, start, day), baseline)
        report = replace(report, violations=with_first_windows(report.violations, told))
        told.append(told_causes(report.violations, start))
        broken.append(report.violation_count)
        news.append(report.new_ticket_count)

    assert sum(map(bool, broken)) > 10
    assert sum(map(bool, news)) <= 2
    assert _changes("flights: drift", starts, news)[:2] == ["ALARM", "OK"]


def _changes(name: str, starts: list[datetime], values: list[float]) -> list[str]:
    """Return the states that an alarm of the demo takes over periods with these values."""
    declared = declare(
        model=Path("m"), reference=Path("r"), start=starts[0], end=starts[-1],
        pager_url="http://127.0.0.1:9/", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )  # fmt: skip
    spec = next(one["spec"] for one in declared if one["name"] == name)
    data = [
        {"timestamp": start.isoformat(), "value": value}
        for start, value in zip(starts, values, strict=True)
    ]
    length = timedelta(seconds=spec["period"])
    lines = replay(
        {
            "alarm": {"alarm_name": name, **spec},
            "datapoints": data,
            "start": starts[0].isoformat(),
            "end": (starts[-1] + length).isoformat(),
        }
    )
    return [line.state for line in lines if line.state != line.previous]
