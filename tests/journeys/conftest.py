"""The demo, which several journeys look at, and what pandas and scikit-learn find in its tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable
from sklearn import metrics

from tests.servers.ports import free_port

__all__ = ["Demo", "quality_weeks", "run_demo"]


@dataclass(frozen=True)
class Demo:
    """What a finished demo left behind."""

    folder: Path
    code: int
    output: str


def run_demo(folder: Path, *words: str, timeout_s: float = 400) -> Demo:
    """Run ``driftline demo --exit --no-browser`` as a user would."""
    given = ["demo", *words, "--exit", "--no-browser", "--folder", str(folder)]
    ports = {f"DRIFTLINE_{name}__PORT": str(free_port()) for name in ("SERVER", "DASHBOARD")}
    found = subprocess.run(
        [sys.executable, "-m", "driftline", *given],
        capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **ports},
    )  # fmt: skip
    return Demo(folder, found.returncode, found.stdout + found.stderr)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Replay 46 days."""
    return run_demo(tmp_path_factory.mktemp("demo") / "here", "--days", "46")


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
