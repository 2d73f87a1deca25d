"""Roles: what people write, read once and handed on as one value."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.roles import Facet, Roles


@pytest.mark.parametrize(
    ("text", "facet"),
    [
        ("sex", Facet("sex")),
        ("sex=Female", Facet("sex", ("Female",))),
        ("country=UK, FR", Facet("country", ("UK", "FR"))),
        ("age>40.5", Facet("age", threshold=40.5)),
        ("age<30", Facet("age", intervals=((-inf, 30.0),))),
        ("age>=60", Facet("age", intervals=((60.0, inf),))),
        ("age=[18,30),[30, 50)", Facet("age", intervals=((18.0, 30.0), (30.0, 50.0)))),
        (
            "sex=F,X & age<30",
            Facet("sex", ("F", "X"), also=(Facet("age", intervals=((-inf, 30.0),)),)),
        ),
        ('team="R & D, old"', Facet("team", ("R & D, old",))),
        ('"x<3">2', Facet("x<3", threshold=2.0)),
        ("income=<50K,>=50K", Facet("income", ("<50K", ">=50K"))),
    ],
)
def test_a_facet_is_a_column_and_the_values_of_its_group(text, facet):
    assert Facet.parse(text) == facet
    assert Facet.parse(str(facet)) == facet


NAMES = st.text(min_size=1) | st.text('"=<>&,[)( 3a', min_size=1)
PLAIN = st.builds(Facet, NAMES, st.lists(NAMES, max_size=3, unique=True).map(tuple))
ABOVE = st.builds(Facet, NAMES, threshold=st.floats(-1e9, 1e9))


@given(st.lists(PLAIN | ABOVE, min_size=1, max_size=3, unique_by=lambda one: one.column))
def test_any_facet_is_read_as_it_was_written(parts):
    facet = replace(parts[0], also=tuple(parts[1:]))

    assert Facet.parse(str(facet)) == facet


@pytest.mark.parametrize(
    "text",
    [
        "", "=Female", "sex=", "sex= , ", "sex & =F", "sex & ", "sex=F & sex=M",
        "age=[50,18)", "age=[18,50),[30,60)",
    ],
)  # fmt: skip
def test_a_facet_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError):
        Facet.parse(text)


@given(
    label=st.none() | st.text(min_size=1),
    probability=st.lists(st.text(min_size=1), max_size=3),
    threshold=st.floats(0, 1),
    values=st.lists(st.text(min_size=1), max_size=3, unique=True),
)
def test_roles_survive_being_stored(label, probability, threshold, values):
    roles = Roles(
        label=label,
        probability=tuple(probability),
        threshold=threshold,
        facets=(Facet("f", tuple(values), also=(Facet("g", threshold=4.5),)),),
    )

    assert Roles.from_dict(roles.to_dict()) == roles


@pytest.mark.parametrize(
    "wrong",
    [{"problem": "rank"}, {"threshold": 1.5}, {"probability": {"yes": "p1"}}, {"lable": "late"}],
)
def test_a_wrong_value_is_refused(wrong):
    with pytest.raises(InputError):
        Roles.of(**wrong)
