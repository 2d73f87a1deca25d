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


def signature_of(features: dict[str, str], outputs: dict[str, str]) -> Signature:
    """Return a signature of columns' roles, by their names."""
    return Signature(*(
        tuple(Column(name, f"{kind}_{name}", "double", role) for name, role in columns.items())
        for kind, columns in (("feature", features), ("answer", outputs))
    ))  # fmt: skip


LABEL = {"late": "label"}


@pytest.mark.parametrize(
    ("captured", "label", "read", "expected"),
    [
        ({"late": "prediction"}, LABEL, {"said": "prediction"}, {"said": "late"}),
        ({"late": "prediction"}, LABEL, {}, {"prediction": "late"}),
        ({"late": "prediction"}, LABEL, {"p": "probability"}, {"p": "late"}),
        ({"p": "probability"}, {}, {"late": "prediction"}, {"late": "p"}),
        (
            {"late": "prediction", "p": "probability"}, LABEL,
            {"said": "prediction", "score": "probability"}, {"said": "late", "score": "p"},
        ),
        # Which of two is meant, nobody knows.
        ({"a": "prediction", "b": "prediction"}, {}, {"c": "prediction"}, {"a": "a", "b": "b"}),
        (
            {"a": "prediction", "b": "prediction"}, {},
            {"a": "prediction", "c": "prediction"}, {"a": "a", "c": "b"},
        ),
        ({"low": "quantile"}, {}, {"said": "prediction"}, {"low": "low"}),
    ],
)  # fmt: skip
def test_outputs_have_the_names_of_who_reads_them(
    captured: dict[str, str], label: dict[str, str], read: dict[str, str], expected: dict[str, str]
) -> None:
    own, reference = signature_of({"temp": "feature"}, captured), signature_of(label, read)

    found = own.read_by(reference)

    assert {one.name: one.captured_name for one in found.outputs} == expected
    assert found.read_by(reference) == found
    assert own.read_by(own) == own


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
