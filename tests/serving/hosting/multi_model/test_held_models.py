"""Which models a worker keeps within its memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.serving.hosting.multi_model.held_models import (
    LEAST_BYTES,
    HeldModels,
    TooLargeError,
)

SIZE = 1 << 20


def hold(held: HeldModels, name: str, size: int = SIZE) -> int:
    """Load a model of a size; return how many had to go."""
    reserved, times = held.reserve(name, 0)
    return len([*times, *held.put(name, object(), reserved, size)])  # type: ignore[arg-type]


def test_who_was_asked_for_longest_ago_goes_first() -> None:
    held = HeldModels(3 * SIZE)
    for name in "abc":
        assert hold(held, name) == 0
    held.use("a")

    assert hold(held, "d") == 1
    assert held.names == ["c", "a", "d"]
    assert held.use("b") is None


def test_a_model_that_grew_makes_room_once_it_is_known() -> None:
    held = HeldModels(4 * SIZE)
    for name in "abc":
        hold(held, name)

    assert hold(held, "large", 3 * SIZE) == 2
    assert held.names == ["c", "large"]
    for name in "defg":
        hold(held, name)
    # It is known now how much it takes, so that room for all of it is made before it is loaded.
    reserved, times = held.reserve("large", 0)
    assert (reserved, len(times)) == (3 * SIZE, 3)


def test_for_what_never_fits_nothing_goes() -> None:
    held = HeldModels(2 * SIZE)
    hold(held, "a")

    with pytest.raises(TooLargeError, match="memory_limit_mb"):
        held.reserve("huge", 2 * SIZE)
    reserved, _ = held.reserve("swells", SIZE // 2)
    with pytest.raises(TooLargeError, match="swells"):
        held.put("swells", object(), reserved, 3 * SIZE)  # type: ignore[arg-type]

    assert held.names == ["a"]
    assert held.used_bytes == SIZE


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 4 * SIZE), st.booleans()),
        max_size=60,
    )
)
def test_the_bound_holds_whatever_comes(calls: list[tuple[str, int, bool]]) -> None:
    held = HeldModels(4 * SIZE)

    for name, size, succeeds in calls:
        if held.use(name) is not None:
            continue
        reserved, _ = held.reserve(name, 0)
        if succeeds:
            held.put(name, object(), reserved, max(size, LEAST_BYTES))  # type: ignore[arg-type]
        else:
            held.release(reserved)
        assert held.used_bytes <= held.limit
    assert (held.used_bytes == 0) == (len(held) == 0)
