"""Whether estimates hold of a window is told by which models answered it, and answered before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftline.capture.windows.window import Window
from driftline.monitors.answering_models import Served
from driftline.monitors.kinds.model_quality.stale_estimates import RESUME, UNWEIGHTED, changed
from tests.monitors.conftest import DAY, START

AFTER = f"the model was changed on 2023-12-{{}} 00:00 UTC, after the baseline was made; {RESUME}"
WITHIN = (
    "the model was changed on 2024-01-02 06:00 UTC{}, within this window: it may hold rows of {}"
)
BEFORE = (
    "the model was changed on 2024-01-{:02} 00:00 UTC, after this window, and the baseline is of a "
    "later model"
)
MIXED = (
    "the model was changed on 2024-01-04 00:00 UTC, while the rows came that the baseline has "
    f"labels of; {RESUME}"
)


def span(first: float, last: float) -> Window:
    return Window(START + first * DAY, START + last * DAY)


@pytest.mark.parametrize(
    ("served", "calibrated", "told"),
    [
        ([], [], ""),
        ([], [(-9, -8)], ""),  # Of a container, or behind an app of somebody else's.
        ([(-5, "a")], [(-9, -8)], ""),
        ([(-5, "a"), (-2, "b")], [], ""),
        ([(-5, "a b")], [(-3, -2)], ""),  # Two variants from the start.
        ([(-5, "a"), (-2, "b")], [(-3, -2.9)], AFTER.format(30)),
        ([(-5, "a"), (-2, "b")], [(-9, -8)], AFTER.format(30)),  # Made before the endpoint was.
        ([(-5, "a"), (-2, "b")], [(-1, -0.9)], ""),  # Made anew.
        ([(-5, "a"), (-2, "b")], [(-2, -1)], ""),  # Of rows since.
        ([(-5, "a"), (0, "b"), (1, "a")], [(-3, -2)], ""),  # The first one came back.
        ([(-5, "a"), (-3, "b"), (-2, "c")], [(-4, -3.9)], AFTER.format(30)),
        ([(-5, "a"), (3, "b")], [(4, 5)], BEFORE.format(4)),
        ([(-5, "a"), (3, "b"), (4, "c")], [(5, 6)], BEFORE.format(4)),
        ([(-5, "a"), (3, "b")], [(-1, 0)], ""),  # The window is of before.
        ([(2, "a"), (3, "b")], [(4, 5)], ""),  # It is not known who answered it.
        ([(-5, "a"), (3, "b")], [(2, 5)], MIXED),
        ([(-5, "a"), (1.25, "b")], [(-3, -2)], WITHIN.format("", "both models")),
        ([(-5, "a"), (1.25, "b")], [(2, 3)], WITHIN.format("", "both models")),
        ([(-5, "a"), (1.25, "b"), (1.5, "a")], [(-3, -2)],
         WITHIN.format(" and 1 more time", "several models")),
        ([(-5, "a"), (2, "b")], [(-3, -2)], ""),  # The window ends with it.
        ([(-5, "a"), (-2, "a b")], [(-3, -2.9)], AFTER.format(30)),  # A second variant came.
        ([(-5, "a b"), (-2, "b")], [(-3, -2.9)], ""),  # One of the two went.
    ],
)  # fmt: skip
def test_estimates_hold_of_windows_that_the_same_models_answered(
    served: list[tuple[float, str]], calibrated: list[tuple[float, float]], told: str
) -> None:
    changes = [Served(START + day * DAY, frozenset(models.split())) for day, models in served]

    found = changed(changes, [span(*one) for one in calibrated], span(1, 2))

    assert found == told + f"; {RESUME}" * ("within" in told)


VARIANT = UNWEIGHTED


@pytest.mark.parametrize(
    ("served", "calibrated", "told"),
    [
        ([(-5, "", "a"), (-2, "b", "a b")], (-3, -2.9), AFTER.format(30)),  # It came later.
        ([(-5, "b", "a b")], (-3, -2.9), ""),  # From the start: of both together.
        ([(-5, "b", "a")], (-3, -2.9), VARIANT),  # A shadow, or a variant that callers do not get.
        ([(-5, "b", "a"), (-2, "b", "b")], (-3, -2.9), VARIANT),  # Callers get it since.
        ([(-5, "b", "a"), (-2, "b", "b")], (-1, -0.9), ""),
        ([(-5, "b", "a b"), (1.5, "b", "b")], (-3, -2.9), ""),  # The other one went.
        ([(-5, "b", "a"), (1.5, "b", "b")], (-3, -2.9), VARIANT),
    ],
)  # fmt: skip
def test_a_baseline_is_of_what_callers_get_whichever_variant_is_judged(
    served: list[tuple[float, str, str]], calibrated: tuple[float, float], told: str
) -> None:
    lines = [
        Served(
            START + day * DAY,
            frozenset(models.split()),
            callers=frozenset(callers.split()),
        )
        for day, models, callers in served
    ]

    assert changed(lines, [span(*calibrated)], span(1, 2)) == told


def test_a_window_that_begins_with_the_new_model_is_of_it_alone() -> None:
    changes = [Served(START, frozenset("a")), Served(START + DAY, frozenset("b"))]
    before, at, after = (span(*one) for one in ((0, 1), (1, 2), (1 - 1 / 24, 2)))
    calibrated = [Window(START, START + timedelta(microseconds=1))]

    found = [changed(changes, calibrated, one) for one in (before, at, after)]

    assert found[0] == ""
    assert "after the baseline was made" in found[1]
    assert "within this window" in found[2]
