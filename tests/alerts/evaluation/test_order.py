"""The order of composite alarms, and cycles among them."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.evaluation.composites import order

NAMES = "abcdef"


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
