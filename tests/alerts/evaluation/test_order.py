"""The order of composite alarms, and cycles among them."""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.evaluation.composites import order

NAMES = "abcdef"


def test_a_composite_comes_behind_those_that_it_looks_at():
    found = order({"top": ["left", "right"], "left": ["base"], "right": ["base"], "base": ["m"]})

    assert found.names[0] == "base"
    assert found.names[-1] == "top"
    assert found.on_cycle == frozenset()


def test_those_on_a_cycle_are_told_apart_from_those_that_look_at_one():
    found = order({"one": ["two"], "two": ["one"], "self": ["self"], "above": ["one", "m"]})

    assert found.on_cycle == {"one", "two", "self"}
    assert found.names[-1] == "above" or found.names.index("above") > found.names.index("one")


def test_a_long_chain_is_no_danger():
    length = 3 * sys.getrecursionlimit()
    chain = {f"c{number}": [f"c{number + 1}"] for number in range(length)}

    assert order(chain).names == tuple(f"c{number}" for number in reversed(range(length)))


def test_those_that_are_on_a_level_come_as_their_rule_names_them():
    names = [f"c{number}" for number in range(50)]

    assert order({"top": names, **dict.fromkeys(names, ())}).names == (*names, "top")


def test_a_thousand_cycles_are_told_apart():
    pairs = {f"{one}{number}": [f"{other}{number}"]
             for number in range(1000) for one, other in ("ab", "ba")}  # fmt: skip

    found = order(pairs | {"top": list(pairs)})

    assert found.on_cycle == set(pairs)
    assert found.names[-1] == "top"


graphs = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True), max_size=6
)


@given(children=graphs)
def test_every_composite_has_its_place_behind_all_that_are_on_no_cycle_with_it(children):
    found = order(children)

    assert sorted(found.names) == sorted(children)
    place = {name: at for at, name in enumerate(found.names)}
    for name, below in children.items():
        for child in below:
            if child in children and not {name, child} <= found.on_cycle:
                assert place[child] < place[name]


@given(children=graphs)
def test_there_is_a_cycle_where_the_standard_library_finds_one(children):
    inner = {name: [one for one in below if one in children] for name, below in children.items()}
    try:
        TopologicalSorter(inner).prepare()
        has_cycle = False
    except CycleError:
        has_cycle = True

    assert bool(order(children).on_cycle) == has_cycle
