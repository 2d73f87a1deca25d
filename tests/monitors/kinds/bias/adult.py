"""The oracle of bias metrics: real people, and what smclarify 0.5 says of them."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

FIXTURES = Path(__file__).parents[3] / "fixtures" / "bias"
FEATURES = (
    "Age", "Workclass", "fnlwgt", "Education", "Education-Num", "Marital Status", "Occupation",
    "Relationship", "Ethnic group", "Sex", "Capital Gain", "Capital Loss", "Hours per week",
    "Country",
)  # fmt: skip


@cache
def people() -> pa.Table:
    """The 16,281 people, with the intersection that one case asks for."""
    table = csv.read_csv(
        pa.BufferReader(gzip.decompress((FIXTURES / "adult_scored.csv.gz").read_bytes()))
    )
    both = zip(table["sex"].to_pylist(), table["race"].to_pylist(), strict=True)
    return table.append_column("sex_race", pa.array([f"{sex}|{race}" for sex, race in both]))


@cache
def with_numbers() -> pa.Table:
    """The same people with three more columns, of numbers, that smclarify's flip test had."""
    more = csv.read_csv(
        pa.BufferReader(gzip.decompress((FIXTURES / "adult_numbers.csv.gz").read_bytes()))
    )
    return pa.table({**dict(zip(people().column_names, people().columns, strict=True)),
                     **dict(zip(more.column_names, more.columns, strict=True))})  # fmt: skip


@cache
def expected() -> dict[str, Any]:
    """What smclarify says."""
    return json.loads((FIXTURES / "expected.json").read_text())


@cache
def aws_analysis() -> dict[str, Any]:
    """What a real baselining job wrote."""
    return json.loads((FIXTURES / "aws-analysis.json").read_text())


def aws_metrics(stage: str) -> dict[str, float]:
    """The metrics of one section of it, by name."""
    [entry] = aws_analysis()[stage]["facets"]["Sex"]
    return {one["name"]: one["value"] for one in entry["metrics"]}


@cache
def aws_validation() -> pa.Table:
    """The rows of that job."""
    lines = (FIXTURES / "aws-validation.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    columns = {
        name: pa.array([row["features"][place] for row in rows])
        for place, name in enumerate(FEATURES)
    }
    return pa.table({**columns, "Target": pa.array([row["label"] for row in rows])})


@cache
def aws_window() -> pa.Table:
    """The captured rows of a real monitoring run, with predictions and labels."""
    record = json.loads((FIXTURES / "aws-merged-record.json").read_text())
    captured = record["captureData"]
    rows = json.loads(captured["endpointInput"]["data"])["instances"]
    answers = json.loads(captured["endpointOutput"]["data"])["predictions"]
    labels = json.loads(record["groundTruthData"]["data"])["instances"]
    columns = {
        name: pa.array([row["features"][place] for row in rows])
        for place, name in enumerate(FEATURES)
    }
    return pa.table(
        {
            **columns,
            "predicted": pa.array([one["predicted_label"] for one in answers]),
            "Target": pa.array([one["label"] for one in labels]),
        }
    )
