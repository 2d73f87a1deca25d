"""Profiles as bytes: what is read again, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

import driftline as dl
from driftline.baseline.folder import from_sealed, to_sealed
from driftline.baseline.profile import Profile
from driftline.baseline.profile_file import KEY
from driftline.errors import InputError
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    (
        Column("n", "feature_n", "double"),
        Column("c", "feature_c", "string"),
        Column("t", "feature_t", "timestamp"),
        Column("v", "feature_v", "string"),
    )
)


def small_profile():
    profile = Profile.empty(SIGNATURE)
    profile.update(
        pa.record_batch(
            {
                "n": [1.5, None, 2.5],
                "c": ["UA-1", "x" * 3000, None],
                "t": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
                "v": pa.array([[1.0, 2.0], [0.0, 0.0], None]),
            }
        )
    )
    return profile


DATA = small_profile().to_bytes()


def test_the_same_profile_gives_the_same_bytes_and_comes_back_whole():
    again = Profile.from_bytes(DATA)

    assert small_profile().to_bytes() == DATA
    assert again.to_bytes() == DATA
    assert again.columns["c"].text.lengths.maximum == 3000
    assert again.columns["v"].vectors.zero_count == 1
    assert again.columns["t"].times.count == 2


def test_a_flipped_bit_in_any_part_is_one_sentence():
    for at in range(0, len(DATA), 5):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(InputError) as caught:
            Profile.from_bytes(bytes(damaged))
        assert "\n" not in str(caught.value), at


@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_was_cut_off_is_one_sentence(length):
    with pytest.raises(InputError, match=r"damaged|not readable as Arrow"):
        Profile.from_bytes(DATA[:length])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    with pytest.raises(InputError, match="not readable as Arrow"):
        Profile.from_bytes(data)


@pytest.mark.parametrize("version", [8, 10])
def test_another_format_is_refused_with_one_sentence(version):
    notes = json.dumps({"format": version, "row_count": 0})
    other = to_sealed(small_profile().to_arrow().replace_schema_metadata({KEY: notes}))

    with pytest.raises(InputError, match=f"profile format {version}; this driftline reads 9: "):
        Profile.from_bytes(other)


def test_a_profile_without_its_seal_is_refused():
    table, is_sealed = from_sealed(DATA)
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None))

    assert is_sealed
    with pytest.raises(InputError, match="it lacks its seal"):
        Profile.from_bytes(sink.getvalue().to_pybytes())


def test_tables_with_a_wrong_inside_are_refused():
    table = small_profile().to_arrow()
    for broken in (
        table.drop_columns(["sketch"]),
        table.set_column(0, "row_count", pa.array(["x"] * 4)),
        table.replace_schema_metadata({b"driftline.profile": b'{"format": 9}'}),
        table.replace_schema_metadata({b"driftline.profile": b"[]"}),
        table.replace_schema_metadata({b"driftline.profile": b"no json"}),
    ):
        with pytest.raises(InputError, match="the profile is damaged"):
            Profile.from_bytes(to_sealed(broken))


@pytest.mark.parametrize(
    ("note", "value"),
    [("format", []), ("format", "2"), ("row_count", None), ("seen", 1), ("extra", [["a"]])],
)
def test_notes_of_a_wrong_type_are_one_sentence(note, value):
    table = small_profile().to_arrow()
    notes = {**json.loads(table.schema.metadata[KEY]), note: value}

    with pytest.raises(InputError, match=f"the profile is damaged \\({note} that is no"):
        Profile.from_arrow(table.replace_schema_metadata({KEY: json.dumps(notes)}))


def test_a_data_set_is_profiled_in_one_call():
    rng = np.random.default_rng(1)
    found = dl.profile(pa.table({"x": rng.normal(size=1000), "c": rng.choice(["a", "b"], 1000)}))

    assert found.row_count == 1000
    (median,) = found.columns["x"].quantiles([0.5])
    assert median.lower == median.value == median.upper
    assert {one.value for one in found.columns["c"].frequent()} == {"a", "b"}


def test_parts_profiled_with_one_signature_add_up():
    data = pa.table({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"]})
    reference = dl.Baseline.fit(data)

    parts = [dl.profile(data.slice(at, 1), signature=reference.signature) for at in range(3)]

    whole = dl.profile(data, signature=reference.signature)
    assert Profile.merged(parts).to_bytes() == whole.to_bytes()
