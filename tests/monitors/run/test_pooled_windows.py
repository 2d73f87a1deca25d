"""How far back the rows of a window may be judged together with those before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions as baselines
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import EXPECTED, HARMFUL, Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.run.past_windows import pooled_window
from tests.monitors.conftest import DAY, START, Append, clock, weather

JOINT = MonitorDefinition("together", endpoint="flights", baseline="flights", kind="joint")


def day(at: int, days: int = 1) -> Window:
    return Window(START + at * DAY, START + (at + days) * DAY)


@pytest.fixture
def judged(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    """Days 0 to 2 and 4 to 6 of forty rows, of which the fifth was judged with the sixth, too."""
    baselines.put(root, "flights", reference, clock)
    for at in (0, 1, 2, 4, 5, 6):
        append(at, weather(rng, 40))
    for window in (*map(day, (0, 1, 2, 4, 5, 6)), day(5, 2)):
        run(Job(engine, root, JOINT, window, now=clock, signature=reference.signature))


@pytest.fixture
def stretch(engine: Engine, reference: Baseline, judged: None):
    def before(
        at: int,
        definition: MonitorDefinition = JOINT,
        *,
        version: str = reference.version,
        row_count: int = 40,
        annotations: tuple[Annotation, ...] = (),
    ) -> tuple[int, int] | None:
        with engine.connect() as connection:
            found = pooled_window(
                connection,
                definition,
                version,
                day(at),
                row_count=row_count,
                annotations=annotations,
            )
        return found and ((found.start - START) // DAY, (found.end - START) // DAY)

    return before


def test_windows_are_pooled_as_far_as_they_adjoin(stretch) -> None:
    assert stretch(3) == (0, 3)
    assert stretch(7) == (4, 7)
    assert stretch(2) == (0, 2)
    assert stretch(0) is None
    assert stretch(4) is None


@pytest.mark.full
def test_a_window_that_was_expected_to_drift_ends_the_stretch(stretch) -> None:
    def mark(verdict: str) -> Annotation:
        return Annotation(
            monitor="together", window_start=day(1).start, window_end=day(1).end, verdict=verdict,
            reason="a sale", author="A. N.", made_at=clock(),
        )  # fmt: skip

    expected = mark(EXPECTED)

    assert stretch(3, annotations=(expected,)) == (2, 3)
    withdrawn = replace(expected, withdrawn_by="A. N.", withdrawn_at=clock())
    assert stretch(3, annotations=(withdrawn,)) == (0, 3)
    assert stretch(3, annotations=(mark(HARMFUL),)) == (0, 3)
