"""What an answer means: the same at capture, import, labels, monitors and check."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("digits", (0, 1), marks=pytest.mark.full),
        ("words", ("stays", "leaves")),
    ],
)
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


ANSWERS = {
    "by_role": lambda row: {"predictions": [{"score": row.score, "predicted_label": row.guess}]},
    "by_name": lambda row: {"score": row.score, "guess": row.guess},
    "in_order": lambda row: [[row.guess, row.score]],
    "csv": lambda row: f"{row.guess},{row.score}",
}


def test_an_answer_in_any_shape_is_read_by_check_as_it_is_captured(
    installation: Installation, tmp_path: Path
) -> None:
    def scored(rows: int, seed: int) -> pd.DataFrame:
        frame = customers(rows, seed, (0, 1))
        return frame.assign(guess=(frame["score"] > 0.5).astype(int))

    scored(4_000, 1).to_csv(tmp_path / "train.csv", index=False)
    roles = {"label": "churn", "prediction": "guess", "probability": "score", "positive": 1}
    words = [word for role, name in roles.items() for word in (f"--{role}", name)]
    installation.done("baseline", tmp_path / "train.csv", "-o", tmp_path / "made", *words)
    installation.apply(
        {"kind": "Baseline", "name": "shapes", "spec": {"data": f"{tmp_path}/train.csv", **roles}},
        {"kind": "Endpoint", "name": "shapes", "spec": {"baseline": "shapes"}},
    )
    rows = scored(800, 2)
    for name, answer in ANSWERS.items():
        lines = []
        for number, row in enumerate(rows.itertuples()):
            line = json.loads(capture_line(number, f"{row.calls},{row.minutes}", ""))
            told = answer(row)
            output = line["captureData"]["endpointOutput"]
            if not isinstance(told, str):
                told = json.dumps(told)
                output |= {"observedContentType": "application/json", "encoding": "JSON"}
            output["data"] = told
            line["eventMetadata"]["eventId"] = f"{name}-{number:03}"
            lines.append(json.dumps(line))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

        checked = installation.cli(
            "check", tmp_path / f"{name}.jsonl", "--baseline", tmp_path / "made"
        )
        installation.done("capture", "import", tmp_path / f"{name}.jsonl", "--endpoint", "shapes")

        assert checked.returncode == 0, (name, checked.stdout, checked.stderr)
    captured = installation.table("shapes").sort_values("event_id")
    for name in ANSWERS:
        found = captured[captured["event_id"].str.startswith(name)]
        assert found["probability"].tolist() == rows["score"].tolist(), name
        assert found["prediction"].tolist() == rows["guess"].tolist(), name


def test_an_answer_of_more_than_is_named_is_refused_by_check_and_counted_by_import(
    installation: Installation, tmp_path: Path
) -> None:
    rows = customers(50, 1, (0, 1))
    rows.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "pairs.jsonl").write_text("\n".join(
        capture_line(number, f"{row.calls},{row.minutes}", f"1,{row.score}")
        for number, row in enumerate(rows.itertuples())
    ))  # fmt: skip
    roles = {"label": "churn", "probability": "score"}
    words = [word for role, name in roles.items() for word in (f"--{role}", name)]
    installation.done("baseline", tmp_path / "train.csv", "-o", tmp_path / "made", *words)
    installation.apply(
        {"kind": "Baseline", "name": "pairs", "spec": {"data": f"{tmp_path}/train.csv", **roles}},
        {"kind": "Endpoint", "name": "pairs", "spec": {"baseline": "pairs"}},
    )

    checked = installation.cli("check", tmp_path / "pairs.jsonl", "--baseline", tmp_path / "made")
    imported = installation.cli(
        "capture", "import", tmp_path / "pairs.jsonl", "--endpoint", "pairs", "--json"
    )

    assert checked.returncode == 2
    assert "expected 1" in checked.stderr
    assert json.loads(imported.stdout)["unparsed"] == 50


def test_ground_truth_that_was_merged_into_captured_lines_is_the_label_of_a_check(
    installation: Installation, tmp_path: Path
) -> None:
    customers(4_000, 1, ("stays", "leaves")).to_csv(tmp_path / "train.csv", index=False)
    rows = customers(1_200, 2, ("stays", "leaves"))
    lines = []
    for number, row in enumerate(rows.itertuples()):
        line = json.loads(capture_line(number, f"{row.calls},{row.minutes}", f"{row.score}"))
        line["groundTruthData"] = {"data": row.churn, "encoding": "CSV"}
        lines.append(json.dumps(line))
    (tmp_path / "merged.jsonl").write_text("\n".join(lines))
    installation.done(
        "baseline", f"{tmp_path}/train.csv", "-o", f"{tmp_path}/baseline", "--label", "churn",
        "--probability", "score", "--positive", "leaves",
    )  # fmt: skip

    report = json.loads(installation.done(
        "check", f"{tmp_path}/merged.jsonl", "--baseline", f"{tmp_path}/baseline",
        "--kind", "model-quality", "--json",
    ))  # fmt: skip

    measured = {one["name"]: one["value"] for one in report["metrics"]}
    assert measured["auc"] == pytest.approx(roc_auc_score(rows["churn"] == "leaves", rows["score"]))
