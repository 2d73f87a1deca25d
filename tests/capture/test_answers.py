"""What an answer means: the same at capture, import, labels, monitors and check."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.kit.data import TODAY, YESTERDAY, stream
from tests.kit.installation import Installation

COLUMNS = {"calls": (0.0, 1.0), "minutes": (0.0, 1.0)}


def customers(rows: int, seed: int, words: tuple[object, object]) -> pd.DataFrame:
    """Draw customers, the score that a model gives them, and whether they left."""
    frame = stream(COLUMNS, rows=rows, seed=seed).round(3)
    score = (1 / (1 + np.exp(0.8 - frame["calls"]))).round(6)
    left = np.random.default_rng(seed).random(rows) < score
    return frame.assign(churn=np.where(left, words[1], words[0]), score=score)


def capture_line(number: int, asked: str, answered: str) -> str:
    """Write a line as SageMaker captures a CSV request and its answer."""
    sides = {
        name: {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}
        for name, mode, data in (
            ("endpointInput", "INPUT", asked), ("endpointOutput", "OUTPUT", answered),
        )
    }  # fmt: skip
    time = YESTERDAY + timedelta(minutes=number % 1_400)
    event = {
        "eventId": f"e{number}",
        "inferenceId": f"i{number}",
        "inferenceTime": f"{time:%FT%TZ}",
    }
    return json.dumps({"captureData": sides, "eventMetadata": event, "eventVersion": "0"})


@pytest.mark.parametrize(("name", "words"), [("digits", (0, 1)), ("words", ("stays", "leaves"))])
def test_a_score_alone_is_the_probability_that_the_reference_names(
    installation: Installation, tmp_path: Path, name: str, words: tuple[object, object]
) -> None:
    customers(4_000, 1, words).to_csv(tmp_path / "train.csv", index=False)
    rows = customers(1_200, 2, words)
    (tmp_path / "captured.jsonl").write_text("\n".join(
        capture_line(number, f"{row.calls},{row.minutes}", f"{row.score}")
        for number, row in enumerate(rows.itertuples())
    ))  # fmt: skip
    rows.assign(id=[f"i{n}" for n in range(len(rows))]).to_csv(tmp_path / "labels.csv")
    roles = {"label": "churn", "probability": "score", "positive": words[1]}
    monitor = {"endpoint": name, "baseline": name, "schedule": "external"}
    installation.apply(
        {"kind": "Baseline", "name": name, "spec": {"data": f"{tmp_path}/train.csv", **roles}},
        {"kind": "Endpoint", "name": name, "spec": {"baseline": name}},
        *(
            {"kind": "Monitor", "name": f"{name}-{kind}", "spec": {**monitor, "kind": kind}}
            for kind in ("data-quality", "model-quality")
        ),
    )

    installation.done("capture", "import", f"{tmp_path}/captured.jsonl", "--endpoint", name)
    installation.done(
        "truth", "load", f"{tmp_path}/labels.csv", "--endpoint", name, "--id", "id",
        "--label", "churn",
    )  # fmt: skip
    window = ("--from", YESTERDAY.isoformat(), "--to", TODAY.isoformat())
    judged = [
        installation.cli("monitor", "run", f"{name}-{kind}", *window)
        for kind in ("data-quality", "model-quality")
    ]
    installation.done(
        "baseline", f"{tmp_path}/train.csv", "-o", f"{tmp_path}/baseline", "--label", "churn",
        "--probability", "score", "--positive", words[1],
    )  # fmt: skip
    checked = installation.cli(
        "check", f"{tmp_path}/captured.jsonl", "--baseline", f"{tmp_path}/baseline"
    )

    captured = installation.table(name).sort_values("spool_seq")
    assert captured["probability"].tolist() == rows["score"].tolist()
    assert "prediction" not in captured
    assert captured["unfit"].map(len).sum() == 0
    assert [found.returncode for found in (*judged, checked)] == [0, 0, 0], (judged, checked)
