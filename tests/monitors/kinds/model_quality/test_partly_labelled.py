"""Forecasts of which some steps, or some forecasts, have their labels and others have not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import driftline as dl
from driftline.baseline.answers import Answers
from driftline.monitors.results.label_sample import best_labels, label_sample
from tests.monitors.kinds.model_quality.test_forecasts import fitted, walks

STEPS = 6


def forecasts(count: int, seed: int) -> Answers:
    """Forecasts whose values lie close together, each value a row."""
    rng = np.random.default_rng(seed)
    answer = (rng.normal(size=(count, 1)) + 0.1 * rng.normal(size=(count, STEPS))).ravel()
    label = answer + rng.normal(size=answer.size)
    step, place = np.tile(np.arange(1, STEPS + 1), count), np.repeat(np.arange(count), STEPS)
    return Answers("regression", label, answer, (), None, None, 0, place, step=step)


def test_best_labels_are_of_the_steps_whose_own_lacks() -> None:
    every = forecasts(50, 1)
    came = every.take((every.step <= 3) & (every.places % 2 == 0))

    (found,) = best_labels(replace(every, label=np.zeros(len(every))), came)

    has_label = (every.step <= 3) & (every.places % 2 == 0)
    assert np.array_equal(found.label, np.where(has_label, every.label, every.answer))


def test_forecasts_that_have_labels_at_random_are_a_fair_sample() -> None:
    reference, rng, chances = forecasts(2_000, 2), np.random.default_rng(3), []
    for seed in range(100, 300):
        every = forecasts(200, seed)
        came = every.take(np.isin(every.places, rng.choice(200, 100, replace=False)))
        chances.append(label_sample(every, came, reference).chance)

    # Values of one forecast counted as rows by themselves, a third of the samples were unfair.
    assert stats.binom.sf(sum(one < 0.05 for one in chances) - 1, 200, 0.05) > 1e-6


def test_forecasts_that_are_chosen_by_what_they_say_are_none() -> None:
    every = forecasts(400, 4)
    low = np.unique(every.places[every.answer < 0])

    sample = label_sample(every, every.take(np.isin(every.places, low)), forecasts(2_000, 5))

    assert sample.chance < 1e-9
    assert sample.share == pytest.approx(len(low) / 400)


def test_forecasts_of_which_the_first_steps_came_are_a_fair_sample() -> None:
    every = forecasts(400, 6)

    sample = label_sample(every, every.take(every.step <= 2), forecasts(2_000, 7))

    assert not sample.is_unfair(violated=True)


def paged(frame: pd.DataFrame, worse: float = 1.0) -> pd.DataFrame:
    """Put forecasts on three pages, of which the last errs so many times as much."""
    page = np.resize(["a", "b", "c"], len(frame))
    said = [
        np.where(at == "c", y[0] + (f - y[0]) * worse, f)
        for y, f, at in zip(frame["y"], frame["f"], page, strict=True)
    ]
    return frame.assign(page=page, f=said)


def test_no_segment_is_named_by_errors_of_steps_that_have_not_come() -> None:
    baseline = fitted(paged(walks(2_000, seed=0)))
    whole = dl.check(paged(walks(900, seed=1), 3.0), baseline, kind="model-quality")
    first = dl.check(paged(walks(900, seed=1, labelled=1), 3.0), baseline, kind="model-quality")

    assert (whole.violations[0].segment.column, whole.violations[0].segment.level) == ("page", "c")
    assert "steps_note" in first.details
    assert first.violations[0].segment is None
    assert (
        "not narrowed down: the baseline has errors by segment of all steps together, and some "
        "steps lack labels" in first.violations[0].cause
    )
