"""``driftline init``: it explains, writes what can be applied as it is, and checks once."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from driftline.app.init.dry_run import try_out
from driftline.app.init.infer_roles import Guess
from driftline.app.init.scaffold import draft_resources, draft_text, endpoint_name
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.roles import Facet, Roles
from driftline.serving.resources.resources import parse_resources
from tests.servers.commands import driftline


def orders(rows: int = 2_000, *, late_factor: float = 1.0) -> pd.DataFrame:
    """Return orders with every role; the last tenth's distances may be scaled."""
    random = np.random.default_rng(7)
    km = random.gamma(3, 2, rows).round(1)
    frame = pd.DataFrame(
        {
            "order_id": [f"A-{n}" for n in range(rows)],
            "ordered_at": pd.date_range("2026-01-01", periods=rows, freq="17min"),
            "km": km,
            "country": random.choice(["FR", "DE"], rows),
            "late": km + random.normal(0, 2, rows) > 8,
            "score": (1 / (1 + np.exp(8 - km))).round(4),
        }
    )
    frame["predicted_late"] = frame["score"] > 0.5
    frame.loc[frame.index >= rows * 0.9, "km"] *= late_factor
    return frame


def init(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return driftline("init", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which init has run on a CSV file, and what it said as JSON."""
    folder = tmp_path_factory.mktemp("init")
    orders(late_factor=25.4).to_csv(folder / "My Orders.csv", index=False)
    found = init("My Orders.csv", "--json", cwd=folder)
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout)


def test_rows_without_names_are_told_what_not_to_hold(tmp_path: Path) -> None:
    frame = orders(400).assign(batch_id=[f"B-{n}" for n in range(400)])
    frame.to_csv(tmp_path / "orders.csv", index=False)

    found = init("orders.csv", cwd=tmp_path)
    text = (tmp_path / "orders.yaml").read_text()

    for one in (found.stdout, text):
        (line,) = (
            line for line in one.splitlines() if "rows without names are read by position" in line
        )
        named = line.rpartition(": ")[2].split(", ")
        assert set(named) == {
            "batch_id", "order_id", "ordered_at", "late", "predicted_late", "score",
        }  # fmt: skip


def test_a_prediction_without_a_label_is_told(tmp_path: Path) -> None:
    orders(400).drop(columns="late").to_csv(tmp_path / "orders.csv", index=False)

    found = init("orders.csv", cwd=tmp_path)

    assert "no label was found" in found.stdout
    assert "--label COL" in found.stdout


def test_a_column_of_weights_that_is_named_is_the_baselines(tmp_path: Path) -> None:
    frame = orders(400)
    frame.assign(cost=frame["km"] + 1).to_csv(tmp_path / "orders.csv", index=False)

    found = init("orders.csv", "--weight", "cost", cwd=tmp_path)
    documents = yaml.safe_load_all((tmp_path / "orders.yaml").read_text())

    assert 'weight      "cost": as you say' in found.stdout
    (baseline,) = (one["spec"] for one in documents if one["kind"] == "Baseline")
    assert baseline["weight"] == "cost"


def test_what_is_written_is_what_the_server_takes(made: tuple[Path, dict[str, Any]]) -> None:
    folder, told = made
    documents = list(yaml.safe_load_all((folder / "My-Orders.yaml").read_text()))

    assert told["file"] == "My-Orders.yaml"
    assert documents == told["resources"]
    parsed = {(one.kind, one.name) for one in parse_resources(documents)}
    assert {("Baseline", "My-Orders"), ("Endpoint", "My-Orders")} < parsed
    assert {name for kind, name in parsed if kind == "Monitor"} == {
        "My-Orders-data-quality", "My-Orders-model-quality", "My-Orders-bias",
    }  # fmt: skip
    assert documents[0]["spec"] == {
        "data": str(folder / "My Orders.csv"),
        "label": "late",
        "prediction": "predicted_late",
        "probability": ["score"],
        "id": "order_id",
        "timestamp": "ordered_at",
        "problem": "binary",
        "positive": "true",
        "facet": ["country"],
    }
    assert documents[1]["spec"] == {"baseline": "My-Orders"}


def test_the_last_tenth_is_checked_against_the_rest(made: tuple[Path, dict[str, Any]]) -> None:
    _, told = made

    assert told["compared"].startswith("rows from 2026-01-22")
    assert not told["check"]["passed"]
    assert told["check"]["violations"][0]["feature_name"] == "km"


def test_each_guess_stands_in_the_file_with_its_reason(
    made: tuple[Path, dict[str, Any]],
) -> None:
    folder, told = made
    lines = (folder / "My-Orders.yaml").read_text().splitlines()

    assert len(told["guesses"]) == 8
    for guess in told["guesses"]:
        assert [one for one in lines if one.startswith("#") and guess["reason"] in one]
    assert any("--channel URL" in line for line in lines)


def test_a_file_that_is_there_is_left_alone_until_told(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    (folder / "mine.yaml").write_text("mine")

    refused = init("My Orders.csv", "-o", "mine.yaml", cwd=folder)
    before = (folder / "mine.yaml").read_text()
    told = init("My Orders.csv", "-o", "mine.yaml", "--overwrite", "--name", "o", cwd=folder)

    assert (refused.returncode, before) == (2, "mine")
    assert "--overwrite" in refused.stderr
    assert told.returncode == 0
    assert "name: o-data-quality" in (folder / "mine.yaml").read_text()
    assert "km: " in told.stdout
    assert "driftline apply -f mine.yaml" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.csv",), "none.csv: no such file"),
        (("My Orders.csv", "-o", "x.yaml", "--label", "lat"), 'did you mean "late"'),
        (("My Orders.csv", "--name", "a b"), "expected --name"),
        (("My Orders.csv", "-o", "no/folder.yaml"), "cannot be written"),
    ],
)
def test_wrong_use_is_2_and_one_sentence_and_writes_nothing(
    made: tuple[Path, dict[str, Any]], arguments: tuple[str, ...], sentence: str
) -> None:
    folder, _ = made
    before = sorted(folder.iterdir())

    found = init(*arguments, cwd=folder)

    assert found.returncode == 2
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("timestamp", "rows", "note"),
    [
        (None, 2_000, "without an event time"),
        ("ordered_at", 300, "with too few times"),
    ],
)
def test_without_a_later_part_the_data_is_checked_against_itself(
    timestamp: str | None, rows: int, note: str
) -> None:
    exclude = () if timestamp else ("ordered_at",)
    found = try_out(open_source(orders(rows)), Roles(timestamp=timestamp, exclude=exclude))

    assert note in found.note
    assert found.report.row_count == rows
    assert found.report.passed


def test_rows_without_a_time_are_in_no_part() -> None:
    frame = orders()
    frame.loc[::10, "ordered_at"] = pd.NaT

    found = try_out(open_source(frame), Roles(timestamp="ordered_at", exclude=("order_id",)))

    assert found.report.row_count == 180


def test_init_finds_what_the_last_tenth_of_a_parquet_file_holds(tmp_path: Path) -> None:
    frame = orders(5_000, late_factor=1_000)[["ordered_at", "km"]]
    frame.to_csv(tmp_path / "orders.csv", index=False)
    frame.to_parquet(tmp_path / "orders.parquet", row_group_size=700)

    reports = [
        try_out(open_source(tmp_path / name), Roles(timestamp="ordered_at")).report
        for name in ("orders.csv", "orders.parquet")
    ]

    for report in reports:
        assert report.row_count == 500
        assert {one.feature_name for one in report.violations} == {"km"}
    assert [one.cause for one in reports[0].violations] == [
        one.cause for one in reports[1].violations
    ]


def test_init_writes_no_file_where_labels_and_predictions_never_meet(tmp_path: Path) -> None:
    late = [0, 1] * 100
    words = ["soon" if one else "later" for one in late]
    pd.DataFrame({"late": late, "predicted_late": words}).to_csv(tmp_path / "a.csv", index=False)

    refused = init("a.csv", cwd=tmp_path)

    assert refused.returncode == 2
    assert (
        'label "late" holds 0, 1, prediction "predicted_late" holds later, soon' in refused.stderr
    )
    assert not (tmp_path / "a.yaml").exists()
    named = init("a.csv", "--positive", "1", "--positive", "soon", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    documents = list(yaml.safe_load_all((tmp_path / "a.yaml").read_text()))
    assert documents[0]["spec"]["positive"] == ["1", "soon"]
    assert parse_resources(documents)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/orders.parquet", "orders"),
        ("My Orders (2).csv", "My-Orders-2"),
        ("s3://bucket/" + "x" * 80 + ".csv", "x" * 63),
    ],
)
def test_the_name_comes_from_the_file(path: str, expected: str) -> None:
    assert endpoint_name([path], None) == expected


def test_a_glob_alone_gives_no_name() -> None:
    with pytest.raises(InputError, match="expected --name"):
        endpoint_name(["data/*.parquet"], None)


def test_names_of_any_kind_stay_inside_the_comment() -> None:
    roles = Roles(label="a\nkind: Model", facets=(Facet("b: [", ("x",)),))
    resources = draft_resources(["d.csv"], "d", roles)
    guesses = [Guess("label", "a\nkind: Model", "two\nlines")]

    text = draft_text(resources, guesses, file=Path("d.yaml"))

    assert list(yaml.safe_load_all(text)) == resources


def test_init_says_what_is_missing_where_there_is_neither_label_nor_prediction(
    tmp_path: Path,
) -> None:
    pd.DataFrame({"km": [1.5, 2.5] * 100, "hours": [0.5, 0.7] * 100}).to_csv(
        tmp_path / "a.csv", index=False
    )

    done = init("a.csv", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "only the inputs are monitored" in done.stdout
    assert "--label COL and --prediction COL" in done.stdout


def test_init_prints_each_cause_once(tmp_path: Path) -> None:
    orders(late_factor=25.4).to_csv(tmp_path / "a.csv", index=False)

    checked = init("a.csv", cwd=tmp_path).stdout.partition("\nchecked ")[2]

    causes = [line.strip() for line in checked.splitlines() if line.startswith("  ")]
    assert len(causes) == 1
    assert causes[0].startswith("km: ")
    assert checked.splitlines()[1] == "200 rows, 1 violation"
    assert "only the inputs are monitored" not in checked
