import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.schema import column_type, infer_signature
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.roles import Roles
from driftline.signature import Signature

SCHEMA = pa.schema(
    [
        ("when", pa.timestamp("us")),
        ("ID", pa.int64()),
        ("Carrier", pa.string()),
        ("delay (min)", pa.float64()),
        ("late", pa.bool_()),
        ("score", pa.float64()),
        ("guess", pa.int64()),
    ]
)


def test_roles_are_those_that_were_named_and_the_rest_are_features():
    signature = infer_signature(
        SCHEMA,
        Roles(
            label="late",
            prediction="guess",
            probability=("score",),
            id_column="ID",
            timestamp="when",
            exclude=("Carrier",),
        ),
    )

    assert {column.name: column.role for column in signature.columns} == {
        "when": "timestamp",
        "ID": "id",
        "Carrier": "excluded",
        "delay (min)": "feature",
        "late": "label",
        "guess": "prediction",
        "score": "probability",
    }
    assert [column.column for column in signature.outputs] == ["prediction", "probability"]
    assert signature.get("delay (min)").column == "feature_delay_min"
    assert (signature.event_time, signature.inference_id) == ("when", "ID")


def test_a_column_that_stands_twice_is_refused():
    with pytest.raises(InputError, match='"a" stands twice'):
        infer_signature(pa.schema([("a", pa.int64()), ("a", pa.int64())]))


def test_what_is_no_number_bool_or_time_is_text():
    assert column_type(pa.list_(pa.int64())) == "string"
    assert column_type(pa.uint8()) == "int64"


def test_the_unit_of_times_is_that_of_the_data(tmp_path):
    at = pd.to_datetime(["2020-01-01T00:00:00", "2020-01-02T00:00:00"])
    frame = pd.DataFrame(
        {one: at.astype(f"datetime64[{one}]") for one in ("s", "ms", "us", "ns")} | {"y": [1, 2]}
    )
    frame["when"] = frame["ns"]
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_feather(tmp_path / "rows.feather")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    roles = Roles(label="y", timestamp="when")

    def units(data):
        found = infer_signature(open_source(data).schema, roles)
        assert Signature.from_json(found.to_json()) == found
        return {one.name: one.unit for one in found.features if one.unit}

    assert units(frame) == {"s": "s", "ms": "ms", "ns": "ns"}
    # Parquet has no seconds.
    assert units(tmp_path / "rows.parquet") == {"s": "ms", "ms": "ms", "ns": "ns"}
    assert units(tmp_path / "rows.feather") == {"s": "s", "ms": "ms", "ns": "ns"}
    assert units(pa.Table.from_pandas(frame)) == {"s": "s", "ms": "ms", "ns": "ns"}
    # Of text it is what pandas reads there.
    pandas = pd.read_csv(tmp_path / "rows.csv", parse_dates=["ns"])["ns"].dt.unit
    assert units(tmp_path / "rows.csv").get("ns", "us") == pandas


def test_missing_truth_values_are_what_pandas_reads_from_the_data(tmp_path):
    values = [True, None, False]
    frame = pd.DataFrame(
        {
            "none": pd.Series(values, dtype=object),
            "nan": pd.Series([True, np.nan, False], dtype=object),
            "na": pd.Series(values, dtype="boolean"),
            "arrow": pd.Series(values, dtype="bool[pyarrow]"),
            "full": [True, False, True],
            "y": [1, 2, 3],
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_feather(tmp_path / "rows.feather")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)

    def missing_as_nan(data):
        found = infer_signature(open_source(data).schema, Roles(label="y"))
        assert Signature.from_json(found.to_json()) == found
        return {one.name for one in found.features if one.missing == "nan"}

    def missing(read):
        return {name for name in read if read[name].isna().any() and read[name][1] is not None}

    assert missing_as_nan(frame) == missing(frame) == {"nan", "na", "arrow"}
    stored = missing(pd.read_parquet(tmp_path / "rows.parquet"))
    assert missing_as_nan(tmp_path / "rows.parquet") == stored == {"na", "arrow"}
    frame.iloc[[2, 1]].to_parquet(tmp_path / "sample.parquet")
    assert missing_as_nan(tmp_path / "sample.parquet") == stored
    assert missing_as_nan(tmp_path / "rows.feather") == missing(
        pd.read_feather(tmp_path / "rows.feather")
    )
    assert missing_as_nan(pa.Table.from_pandas(frame)) == {"na", "arrow"}
    # Of text nobody knows before it is read whether some are missing.
    text = missing(pd.read_csv(tmp_path / "rows.csv"))
    assert missing_as_nan(tmp_path / "rows.csv") == text | {"full"} == set(frame) - {"y"}
    lines = missing(pd.read_json(tmp_path / "rows.jsonl", lines=True))
    assert missing_as_nan(tmp_path / "rows.jsonl") == lines | {"full"} == set(frame) - {"y"}
