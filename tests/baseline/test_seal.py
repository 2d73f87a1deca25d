"""Profiles as bytes: what is read again, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq

import driftline as dl
from driftline.baseline.folder import from_parquet, to_parquet
from driftline.baseline.profile import KEY, Profile
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
    assert again.columns["c"].lengths.values.max() == 2992.0
    assert again.columns["v"].vectors.count == small_profile().columns["v"].vectors.count
    assert again.columns["t"].times.count == 2


@pytest.mark.parametrize("digit", ["a", "0"])
def test_a_value_that_looks_like_the_digest_comes_back(digit):
    table = pa.table({"x": ["blake2b-128:" + digit * 32]})

    assert from_parquet(to_parquet(table))["x"].to_pylist() == table["x"].to_pylist()


def test_a_flipped_bit_in_any_part_is_one_sentence():
    for at in range(0, len(DATA), 5):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(InputError) as caught:
            Profile.from_bytes(bytes(damaged))
        assert "\n" not in str(caught.value), at


@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_was_cut_off_is_one_sentence(length):
    with pytest.raises(InputError, match="damaged"):
        Profile.from_bytes(DATA[:length])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    with pytest.raises(InputError, match="damaged"):
        Profile.from_bytes(data)


@pytest.mark.parametrize("version", [11, 13])
def test_another_format_is_refused_with_one_sentence(version):
    notes = json.dumps({"format": version, "row_count": 0})
    other = to_parquet(from_parquet(DATA).replace_schema_metadata({KEY: notes}))

    with pytest.raises(InputError, match=f"profile format {version}; this driftline reads 12: "):
        Profile.from_bytes(other)


def test_a_profile_without_its_seal_is_refused():
    sink = pa.BufferOutputStream()
    pq.write_table(from_parquet(DATA).replace_schema_metadata(None), sink)

    with pytest.raises(InputError, match="the file is damaged"):
        Profile.from_bytes(sink.getvalue().to_pybytes())


def test_tables_with_a_wrong_inside_are_refused():
    table = from_parquet(DATA)
    for broken in (
        table.drop_columns(["sketch"]),
        table.set_column(0, "name", pa.array([1] * 4)).drop_columns(["moments"]),
        table.replace_schema_metadata({b"driftline.profile": b'{"format": 12}'}),
        table.replace_schema_metadata({b"driftline.profile": b"[]"}),
        table.replace_schema_metadata({b"driftline.profile": b"no json"}),
    ):
        with pytest.raises(InputError, match="the profile is damaged"):
            Profile.from_bytes(to_parquet(broken))


def test_a_data_set_is_profiled_in_one_call():
    rng = np.random.default_rng(1)
    found = dl.profile(pa.table({"x": rng.normal(size=1000), "c": rng.choice(["a", "b"], 1000)}))

    assert found.row_count == 1000
    assert found.columns["x"].sketch.is_exact
    assert {*found.columns["c"].frequent(10)} == {"a", "b"}


def test_parts_profiled_with_one_signature_add_up():
    data = pa.table({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"]})
    reference = dl.Baseline.fit(data)

    parts = [dl.profile(data.slice(at, 1), signature=reference.signature) for at in range(3)]

    whole = dl.profile(data, signature=reference.signature)
    assert Profile.merged(parts).to_bytes() == whole.to_bytes()
