"""Windows as signs: shared out in order, and those that could not be judged apart."""

from __future__ import annotations

import pytest

from driftline.monitors.backtest.timeline import legend, loudness, strip

QUIET, LOUD, UNJUDGED = False, True, None


@pytest.mark.parametrize(
    ("flags", "places", "signs", "plain"),
    [
        ([], 4, "", ""),
        ([QUIET, LOUD, UNJUDGED], 4, "·█?", ".#?"),
        ([QUIET, LOUD, LOUD, LOUD], 2, "▪█", "+#"),
        # A place is told by its judged windows.
        ([UNJUDGED, LOUD, UNJUDGED, QUIET, UNJUDGED, UNJUDGED], 3, "█·?", "#.?"),
    ],
)
def test_each_place_says_what_its_windows_do(flags, places: int, signs: str, plain: str) -> None:
    assert strip(flags, places) == signs
    assert strip(flags, places, plain=True) == plain


def test_a_share_is_of_the_judged_windows() -> None:
    assert loudness([QUIET, LOUD, UNJUDGED, UNJUDGED], 1) == [0.5]
    assert loudness([UNJUDGED, UNJUDGED], 1) == [None]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([QUIET], "one sign is 1 window: · quiet, █ alarm"),
        ([QUIET] * 4, "one sign is 2 windows: · quiet, ▪ some alarm, █ all alarm"),
        (
            [QUIET, LOUD, UNJUDGED],
            "one sign is 1 or 2 windows: · quiet, ▪ some alarm, █ all alarm, ? not judged",
        ),
    ],
)
def test_the_legend_names_the_signs_that_there_can_be(flags, words: str) -> None:
    assert legend(flags, 2) == words
