"""Which requests are chosen: as many as was said, whatever their ids look like."""

from __future__ import annotations

import math

import pytest

from driftline.capture.tap.target import is_sampled

COUNT = 20_000


@pytest.mark.parametrize("form", ["s-{}", "{}", "order-{:06}", "{:032x}", "ünïcode-{}", "{0}-{0}"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_ids_that_count_up_are_chosen_as_often_as_was_said(form: str, share: float) -> None:
    chosen = sum(is_sampled(form.format(number).encode(), share) for number in range(COUNT))

    # Five standard deviations of as many throws of a coin with this share.
    assert abs(chosen - share * COUNT) < 5 * math.sqrt(COUNT * share * (1 - share))


def test_all_or_none_are_chosen_where_that_is_said() -> None:
    keys = [str(number).encode() for number in range(COUNT)]

    assert all(is_sampled(key, 1.0) for key in keys)
    assert not any(is_sampled(key, 0.0) for key in keys)


def test_who_is_chosen_for_a_share_is_chosen_for_a_larger_one() -> None:
    keys = [f"s-{number}".encode() for number in range(COUNT)]

    few = {key for key in keys if is_sampled(key, 0.1)}

    assert few <= {key for key in keys if is_sampled(key, 0.3)}
