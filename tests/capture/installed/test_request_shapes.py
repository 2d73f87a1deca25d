"""The shapes of a request: the server, captured traffic and ``check`` read or refuse the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import skops.io

from tests.kit.data import ORDERS, YESTERDAY, fit, labelled, stream
from tests.kit.installation import Installation

FEATURES = ["km", "rain_mm"]


def tensors(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": rows[name].tolist()}
        for name in FEATURES
    ]


def split(rows: pd.DataFrame) -> dict[str, Any]:
    return {"columns": FEATURES, "data": rows.to_numpy().tolist()}


# As docs/capture.md lists them. Of those with one row only, the first is sent.
READ: dict[str, Callable[[pd.DataFrame], Any]] = {
    "object": lambda rows: rows.to_dict("records")[0],
    "objects": lambda rows: rows.to_dict("records"),
    "list": lambda rows: rows.to_numpy().tolist()[0],
    "lists": lambda rows: rows.to_numpy().tolist(),
    "columns": lambda rows: rows.to_dict("list"),
    "instances of objects": lambda rows: {"instances": rows.to_dict("records")},
    "instances of lists": lambda rows: {"instances": rows.to_numpy().tolist()},
    "features": lambda rows: {"features": rows.to_numpy().tolist()[0]},
    "instances of features": lambda rows: {
        "instances": [{"features": row} for row in rows.to_numpy().tolist()]
    },
    "data": lambda rows: {"data": {"features": {"values": rows.to_numpy().tolist()[0]}}},
    "inputs by column": lambda rows: {"inputs": rows.to_dict("list")},
    "tensors": lambda rows: {"inputs": tensors(rows), "id": "7"},
    "dataframe_split": lambda rows: {"dataframe_split": split(rows)},
    "dataframe_records": lambda rows: {"dataframe_records": rows.to_dict("records")},
    "split": split,
}
OF_ONE_ROW = {"object", "list", "features", "data"}
REFUSED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "orient columns": lambda rows: json.loads(rows.to_json()),
    "orient index": lambda rows: json.loads(rows.to_json(orient="index")),
    "orient table": lambda rows: json.loads(rows.to_json(orient="table")),
    "a wrapper around a row": lambda rows: {"order": rows.to_dict("records")[0]},
    "a wrapper around rows": lambda rows: {"orders": rows.to_dict("records")},
}


def capture_line(number: int, asked: str, kind: str = "application/json") -> str:
    encoding = "CSV" if kind == "text/csv" else "JSON"
    side = {"observedContentType": kind, "mode": "INPUT", "data": asked, "encoding": encoding}
    time = YESTERDAY + timedelta(seconds=number)
    event = {"eventId": f"e{number}", "inferenceTime": f"{time:%FT%TZ}"}
    return json.dumps(
        {"captureData": {"endpointInput": side}, "eventMetadata": event, "eventVersion": "0"}
    )


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    return labelled(stream(ORDERS, rows=2_000, seed=1))


@pytest.fixture(scope="module")
def served(installation: Installation, orders: pd.DataFrame) -> Installation:
    """Deploy a model of two numbers, and make a baseline of the rows that it was fitted on."""
    skops.io.dump(fit(orders), installation.folder / "late.skops")
    orders[[*FEATURES, "late"]].to_parquet(installation.folder / "reference.parquet")
    installation.done(
        "deploy", "late.skops", "--name", "late", "--reference", "reference.parquet",
        "--label", "late",
    )  # fmt: skip
    installation.done("baseline", "reference.parquet", "-o", "baseline", "--label", "late")
    reference = str(installation.folder / "reference.parquet")
    installation.apply(
        {"kind": "Baseline", "name": "own", "spec": {"data": reference, "label": "late"}},
        {"kind": "Endpoint", "name": "own", "spec": {"baseline": "own"}},
    )
    return installation


def test_the_server_answers_and_captures_every_shape(
    served: Installation, orders: pd.DataFrame
) -> None:
    rows = orders[FEATURES][:2]
    answers = {name: served.invoke("late", shape(rows)) for name, shape in READ.items()}

    captured = served.captured("late", len(READ))

    assert {name: one.status_code for name, one in answers.items()} == dict.fromkeys(READ, 200)
    assert captured["parse_error"].isna().all()
    found = captured[["feature_km", "feature_rain_mm"]].drop_duplicates()
    assert sorted(found.to_numpy().tolist()) == sorted(rows.to_numpy().tolist())


def test_check_reads_captured_requests_of_every_shape(served: Installation, tmp_path: Path) -> None:
    now = stream(ORDERS, rows=1_200, seed=2)[FEATURES]
    shapes = [*READ] * (len(now) // 2 // len(READ))
    lines = [
        capture_line(n, json.dumps(READ[name](now[2 * n : 2 * n + 2])))
        for n, name in enumerate(shapes)
    ]
    (tmp_path / "captured.jsonl").write_text("\n".join(lines))

    found = served.cli("check", f"{tmp_path}/captured.jsonl", "--baseline", "baseline", "--json")

    assert found.returncode == 0, found.stdout + found.stderr
    report = json.loads(found.stdout)
    assert report["row_count"] == sum(1 if name in OF_ONE_ROW else 2 for name in shapes)
    assert report["violations"] == []


def test_check_reads_the_header_of_captured_csv(served: Installation, tmp_path: Path) -> None:
    now = stream(ORDERS, rows=600, seed=2)[FEATURES[::-1]]
    lines = [
        capture_line(n, now[n : n + 2].to_csv(index=False), "text/csv") for n in range(0, 600, 2)
    ]
    (tmp_path / "captured.jsonl").write_text("\n".join(lines))

    found = served.cli("check", f"{tmp_path}/captured.jsonl", "--baseline", "baseline", "--json")

    assert json.loads(found.stdout)["row_count"] == len(now)
    assert json.loads(found.stdout)["violations"] == []


def test_a_baseline_of_captured_requests_has_the_names_and_rows_of_every_shape(
    orders: pd.DataFrame, served: Installation, tmp_path: Path
) -> None:
    for name in ("columns", "tensors", "split"):
        lines = [
            capture_line(n, json.dumps(READ[name](orders[FEATURES][n : n + 2])))
            for n in range(0, 400, 2)
        ]
        (tmp_path / "captured.jsonl").write_text("\n".join(lines))

        served.done("baseline", f"{tmp_path}/captured.jsonl", "-o", f"{tmp_path}/{name}")

        signature = json.loads((tmp_path / name / "signature.json").read_text())
        assert [one["name"] for one in signature["features"]] == FEATURES, name
        assert {one["type"] for one in signature["features"]} == {"double"}, name


@pytest.mark.parametrize("name", REFUSED)
def test_shapes_that_are_not_read_are_refused_at_every_door(
    served: Installation, orders: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    document = REFUSED[name](orders[FEATURES][:2])
    (tmp_path / "captured.jsonl").write_text(
        capture_line(list(REFUSED).index(name), json.dumps(document))
    )

    answer = served.invoke("late", document)
    checked = served.cli("check", f"{tmp_path}/captured.jsonl", "--baseline", "baseline")
    before = len(served.table("own"))
    served.done("capture", "import", f"{tmp_path}/captured.jsonl", "--endpoint", "own")

    assert answer.status_code == 400
    assert checked.returncode == 2
    stored = served.table("own")
    assert len(stored) == before + 1
    assert stored["parse_error"].notna().all()


@pytest.mark.parametrize("orient", ["records", "values", "split"])
def test_files_that_pandas_writes_as_rows_are_read(
    served: Installation, orders: pd.DataFrame, tmp_path: Path, orient: Any
) -> None:
    rows = orders[[*FEATURES, "late"]]
    rows.to_json(tmp_path / "rows.json", orient=orient)

    found = served.cli("check", f"{tmp_path}/rows.json", "--baseline", "baseline", "--json")

    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["row_count"] == len(rows)


@pytest.mark.parametrize("orient", ["columns", "index", "table"])
def test_files_that_pandas_writes_by_index_are_refused(
    served: Installation, orders: pd.DataFrame, tmp_path: Path, orient: Any
) -> None:
    orders[FEATURES][:50].to_json(tmp_path / "rows.json", orient=orient)

    checked = served.cli("check", f"{tmp_path}/rows.json", "--baseline", "baseline")
    fitted = served.cli("baseline", f"{tmp_path}/rows.json", "-o", f"{tmp_path}/other")

    assert (checked.returncode, fitted.returncode) == (2, 2)
    assert "orient" in checked.stderr
    assert "orient" in fitted.stderr
