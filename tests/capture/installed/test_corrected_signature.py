"""What was captured under an earlier signature is read by the one that the endpoint has now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.redecoding import decode_again
from driftline.database.engine import using_database
from driftline.serving.resources.endpoints import served_models, signature_of
from tests.kit.data import TODAY, YESTERDAY, stream
from tests.kit.installation import Installation

DAY = ("--from", YESTERDAY.isoformat(), "--to", TODAY.isoformat())
ROWS = 1_200
Asked = Callable[[dict[str, float]], str]


def orders(rows: int, seed: int) -> pd.DataFrame:
    """Draw orders, whether they come late, and the score of a model."""
    frame = stream({"km": (12, 3), "rain": (5, 2)}, rows=rows, seed=seed).round(3)
    score = (1 / (1 + np.exp(8 - frame["km"] / 2 - frame["rain"] / 4))).round(6)
    late = np.random.default_rng(seed).random(rows) < score
    return frame.assign(late=late.astype(int), score=score)


def by_name(row: dict[str, float]) -> str:
    return json.dumps({"km": row["km"], "rain": row["rain"]})


def as_csv(row: dict[str, float]) -> str:
    """Write numbers in a row, which only the signature names."""
    return f"{row['km']},{row['rain']}"


def as_list(row: dict[str, float]) -> str:
    return json.dumps({"instances": [[row["km"], row["rain"]]]})


def with_header(row: dict[str, float]) -> str:
    return f"rain,km,snow\n{row['rain']},{row['km']},{row['snow']}"


def captured(rows: pd.DataFrame, first: int, asked_as: Asked = by_name) -> str:
    """Write orders as SageMaker captures requests that are answered with scores."""
    lines = []
    for number, row in enumerate(rows.to_dict("records"), first):
        time = YESTERDAY + timedelta(seconds=30 * number)
        asked = asked_as(row)
        kind = "json" if asked.startswith("{") else "csv"
        sides = {
            "endpointInput": {"observedContentType": f"application/{kind}", "mode": "INPUT",
                              "data": asked, "encoding": kind.upper()},
            "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT",
                               "data": str(row["score"]), "encoding": "CSV"},
        }  # fmt: skip
        event = {"eventId": f"e{number}", "inferenceTime": f"{time:%FT%TZ}"}
        line = {"captureData": sides, "eventMetadata": event, "eventVersion": "0"}
        lines.append(json.dumps(line))
    return "\n".join(lines)


def test_rows_from_before_a_correction_are_read_by_the_corrected_signature(
    installation: Installation, tmp_path: Path
) -> None:
    orders(4_000, 1).to_csv(tmp_path / "train.csv", index=False)
    today = orders(2 * ROWS, 2)
    monitor = {"endpoint": "orders", "baseline": "orders", "schedule": "external"}

    def declare(**roles: object) -> None:
        installation.apply(
            {"kind": "Baseline", "name": "orders",
             "spec": {"data": f"{tmp_path}/train.csv", "label": "late", **roles}},
            {"kind": "Endpoint", "name": "orders", "spec": {"baseline": "orders"}},
            {"kind": "Monitor", "name": "daily", "spec": monitor},
        )  # fmt: skip

    def bring(first: int) -> None:
        (tmp_path / "lines.jsonl").write_text(captured(today[first : first + ROWS], first))
        installation.done("capture", "import", f"{tmp_path}/lines.jsonl", "--endpoint", "orders")

    declare(exclude=["rain", "score"])
    bring(0)
    before = installation.table("orders")
    declare(probability="score")
    bring(ROWS)
    installation.wait(lambda: installation.table("orders")["feature_rain"].notna().all())
    judged = installation.cli("monitor", "run", "daily", *DAY)

    after = installation.table("orders").sort_values("event_time")
    assert "feature_rain" not in before
    assert after["feature_rain"].tolist() == today["rain"].tolist()
    assert after["probability"].tolist() == today["score"].tolist()
    assert after["unfit"].map(len).sum() == 0
    assert after["event_id"].is_unique
    assert judged.returncode == 0, judged.stdout


def decode(installation: Installation, endpoint: str) -> None:
    """Read stored bodies again at once, as the sink does within a minute."""
    root = installation.folder / "store"
    with using_database(f"sqlite:///{root}/driftline.db", read_only=True) as engine:
        signature, served = signature_of(engine, endpoint), served_models(engine, endpoint)
    assert signature is not None
    decode_again(Dataset(str(root), endpoint, writer="test"), signature, served=served)


def read_again(
    installation: Installation, folder: Path, name: str, asked: Asked, columns: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Capture orders as km and rain, declare other columns, and judge their day.

    Returns what was sent, what is in the table, and how the monitor ended.
    """
    train, rows = (
        orders(count, seed).assign(snow=lambda frame: frame["km"] * 100)
        for count, seed in ((4_000, 1), (ROWS, 2))
    )

    def declare(columns: list[str]) -> None:
        train[[*columns, "late", "score"]].to_csv(folder / "train.csv", index=False)
        roles = {"label": "late", "probability": "score"}
        monitor = {"endpoint": name, "baseline": name, "schedule": "external"}
        installation.apply(
            {"kind": "Baseline", "name": name, "spec": {"data": f"{folder}/train.csv", **roles}},
            {"kind": "Endpoint", "name": name, "spec": {"baseline": name}},
            {"kind": "Monitor", "name": name, "spec": monitor},
        )

    declare(["km", "rain"])
    (folder / "lines.jsonl").write_text(captured(rows, 0, asked))
    installation.done("capture", "import", f"{folder}/lines.jsonl", "--endpoint", name)
    declare(columns)
    decode(installation, name)
    judged = installation.cli("monitor", "run", name, *DAY)
    return rows, installation.table(name).sort_values("event_time"), judged.returncode


def test_numbers_without_names_stay_where_they_were_read_when_columns_change_their_order(
    installation: Installation, tmp_path: Path
) -> None:
    sent, stored, code = read_again(installation, tmp_path, "in-order", as_csv, ["rain", "km"])

    assert stored["feature_km"].tolist() == sent["km"].tolist()
    assert stored["feature_rain"].tolist() == sent["rain"].tolist()
    assert code == 0


def test_numbers_without_names_are_not_read_as_a_column_that_takes_the_place_of_theirs(
    installation: Installation, tmp_path: Path
) -> None:
    sent, stored, code = read_again(installation, tmp_path, "another", as_list, ["snow", "rain"])

    assert stored["feature_km"].tolist() == sent["km"].tolist()
    assert stored["feature_rain"].tolist() == sent["rain"].tolist()
    assert "feature_snow" not in stored or stored["feature_snow"].isna().all()
    assert code == 1  # For the day has no snow.


def test_numbers_with_names_are_read_as_a_column_that_takes_the_place_of_another(
    installation: Installation, tmp_path: Path
) -> None:
    sent, stored, _ = read_again(installation, tmp_path, "named", with_header, ["snow", "rain"])

    assert stored["feature_snow"].tolist() == sent["snow"].tolist()
    assert stored["feature_rain"].tolist() == sent["rain"].tolist()


def test_scores_of_a_model_that_is_not_served_stay_what_they_were_read_as(
    installation: Installation, tmp_path: Path
) -> None:
    rows = orders(50, 2)
    orders(4_000, 1).to_csv(tmp_path / "train.csv", index=False)

    def declare(**roles: object) -> None:
        installation.apply(
            {"kind": "Baseline", "name": "apps",
             "spec": {"data": f"{tmp_path}/train.csv", "label": "late", **roles}},
            {"kind": "Endpoint", "name": "apps", "spec": {"baseline": "apps"}},
        )  # fmt: skip

    declare(prediction="score", problem="regression")
    for model in ("", "former"):
        with dl.Logger(
            "apps", spool_dir=installation.folder / "store" / "spool", model=model
        ) as log:
            for row in rows.to_dict("records"):
                log({"km": row["km"], "rain": row["rain"]}, {"score": row["score"]})
    installation.wait(lambda: len(installation.table("apps")) == 2 * len(rows))
    declare(probability="score")
    decode(installation, "apps")

    stored = installation.table("apps").sort_values("spool_seq")
    former = stored[stored["model"] == "former"]
    others = stored[stored["model"] != "former"]
    assert former["prediction"].tolist() == rows["score"].tolist()
    assert others["probability"].tolist() == rows["score"].tolist()
    assert others["prediction"].isna().all()
