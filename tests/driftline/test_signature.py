import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.signature import Column, Signature, column_names, names_among

SIGNATURE = Signature(
    features=(
        Column("Day Mins", "feature_day_mins", "double"),
        Column("carrier", "feature_carrier", "string", levels=("AA", "UA")),
        Column("late", "feature_late", "int64", role="label"),
    ),
    outputs=(Column("prediction", "prediction", "int64", role="prediction", classes=("0", "1")),),
    event_time="scheduled",
)


def test_json_round_trip_keeps_everything() -> None:
    assert Signature.from_json(SIGNATURE.to_json()) == SIGNATURE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"features": [{"name": "x", "column": "x", "type": "text"}]}',
        '{"features": [{"name": "x", "column": "x", "type": "string", "role": "boss"}]}',
        '{"features": [{"name": "x", "column": "x", "type": "string", "colour": 1}]}',
        '{"features": [], "format": 99}',
    ],
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Signature.from_json(text)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="stands twice"):
        Signature(
            features=(Column("a", "feature_a", "double"), Column("a", "feature_a_2", "double"))
        )


@given(st.lists(st.text(), max_size=20))
def test_columns_never_collide(names: list[str]) -> None:
    columns = column_names(names)

    assert len(columns) == len(names)
    assert len({column.casefold() for column in columns}) == len(names)


@pytest.mark.parametrize(
    ("names", "columns", "expected"),
    [
        (["b", "mean_radius"], ["mean radius", "b"], ["b", "mean radius"]),
        (["a_b"], ["a b", "a_b"], ["a_b"]),
        (["a_b_c"], ["a b_c", "a_b c"], ["a_b_c"]),  # It may be either.
        (["a_b", "a b"], ["a b"], ["a_b", "a b"]),  # No column is two.
    ],
)
def test_underlines_are_blanks_of_the_only_column_that_may_be_meant(
    names: list[str], columns: list[str], expected: list[str]
) -> None:
    assert names_among(names, columns) == tuple(expected)
