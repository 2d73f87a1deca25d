"""Whole installations, started as a user would start them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest
from deltalake import DeltaTable
from sklearn import metrics

from tests.servers.commands import driftline
from tests.servers.installations import ForkedInstallation
from tests.servers.ports import free_port

__all__ = ["driftline"]

T = TypeVar("T")


@dataclass(frozen=True)
class Demo:
    """What a finished demo left behind."""

    folder: Path
    code: int
    output: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run ``driftline demo --exit --no-browser`` for 46 days, as a user would."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    words = ["demo", "--days", "46", "--exit", "--no-browser", "--folder", str(folder)]
    command = [sys.executable, "-m", "driftline", *words]
    found = subprocess.run(command, capture_output=True, text=True, timeout=400)
    return Demo(folder, found.returncode, found.stdout + found.stderr)


@dataclass(frozen=True)
class Week:
    """A week of the model's: what monitors say, and what scikit-learn finds in the tables."""

    report: dict[str, Any]
    found: dict[str, float]

    @property
    def said(self) -> dict[str, float]:
        """The report's metrics."""
        return {one["name"]: one["value"] for one in self.report["metrics"]}


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
        weeks.append(Week(report, _scores(chosen)))
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


def configure(folder: Path, more: str = "") -> tuple[str, str]:
    """Write the settings of an installation that looks often; give its server's and pages' URLs."""
    server, dashboard = free_port(), free_port()
    (folder / "driftline.toml").write_text(f"""
        [server]
        port = {server}
        [dashboard]
        port = {dashboard}
        [storage]
        root = "store"
        [capture]
        commit_interval_s = 0.2
        [scheduler]
        poll_s = 0.2
        revisit_s = 0.2
        {more}
    """)
    return f"http://127.0.0.1:{server}", f"http://127.0.0.1:{dashboard}"


@contextmanager
def running(
    *arguments: str, until: str, cwd: Path, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Keep a command running from the line that contains `until`; end it by SIGTERM."""
    command = [sys.executable, "-m", "driftline", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )  # fmt: skip
    with _ready(process, until):
        yield process


@contextmanager
def forked(*arguments: str, until: str, cwd: Path) -> Iterator[ForkedInstallation]:
    """Keep a command running likewise, forked with its imports, where these are not the matter."""
    process = ForkedInstallation(arguments, cwd, {**os.environ, "NO_COLOR": "1"})
    with _ready(process, until):
        yield process


@contextmanager
def _ready(process: subprocess.Popen[str] | ForkedInstallation, until: str) -> Iterator[None]:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if until in line:
            break
    else:
        raise AssertionError(f"{process.args} ended before {until!r}:\n{''.join(lines)}")
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def eventually(look: Callable[[], T | None], *, within_s: float = 60.0) -> T:
    """Look again and again until there is something to see, and give it."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, f"nothing came within {within_s} s"
        pause.wait(0.1)
    return found
