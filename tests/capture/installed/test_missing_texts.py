"""Label files with texts that say "not known yet": what was known stays known."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.kit.data import ORDERS, TODAY, YESTERDAY, labelled, stream
from tests.kit.installation import Installation

FEATURES = ["km", "rain_mm"]
MISSING = ["NA", "N/A", "#N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "<NA>", " ", "NAN"]


def capture_line(number: int, order: pd.Series) -> str:
    """Write a request as SageMaker captures it, with an answer."""
    bodies = {
        "endpointInput": f"{order['km']},{order['rain_mm']}",
        "endpointOutput": f"{order['late']}",
    }
    sides = {
        name: {"observedContentType": "text/csv", "mode": "-", "data": body, "encoding": "CSV"}
        for name, body in bodies.items()
    }
    time = YESTERDAY + timedelta(minutes=number)
    event = {"eventId": f"e{number}", "inferenceTime": f"{time:%FT%TZ}"}
    return json.dumps({"captureData": sides, "eventMetadata": event, "eventVersion": "0"})


def as_csv(labels: pd.DataFrame) -> str:
    return labels.to_csv(index=False)


def as_json(labels: pd.DataFrame) -> str:
    return labels.to_json(orient="records", lines=True)


def as_sagemaker(labels: pd.DataFrame) -> str:
    return "\n".join(
        json.dumps({
            "groundTruthData": {"data": row.label, "encoding": "CSV"},
            "eventMetadata": {"eventId": row.id}, "eventVersion": "0",
        })
        for row in labels.itertuples()
    )  # fmt: skip


@pytest.fixture(scope="module")
def labelled_requests(installation: Installation) -> Installation:
    """Capture 240 requests, of which all have a label."""
    orders = labelled(stream(ORDERS, rows=2_000, seed=1))
    reference = installation.folder / "deliveries.parquet"
    orders.assign(said=orders["late"])[[*FEATURES, "late", "said"]].to_parquet(reference)
    roles = {"label": "late", "prediction": "said"}
    monitor = {"endpoint": "deliveries", "baseline": "deliveries", "schedule": "external"}
    installation.apply(
        {"kind": "Baseline", "name": "deliveries", "spec": {"data": str(reference), **roles}},
        {"kind": "Endpoint", "name": "deliveries", "spec": {"baseline": "deliveries"}},
        {"kind": "Monitor", "name": "quality", "spec": {**monitor, "kind": "model-quality"}},
    )
    lines = [capture_line(number, row) for number, row in orders[:240].iterrows()]
    (installation.folder / "captured.jsonl").write_text("\n".join(lines))
    installation.done("capture", "import", "captured.jsonl", "--endpoint", "deliveries")
    known = pd.DataFrame({"id": [f"e{n}" for n in range(240)], "label": orders["late"][:240]})
    load(installation, as_csv(known))
    return installation


def load(installation: Installation, text: str) -> None:
    path = Path(installation.folder, "labels.txt")
    path.write_text(text)
    installation.done("truth", "load", str(path), "--endpoint", "deliveries")


def judged(installation: Installation) -> dict[str, float]:
    """Return how many labels a monitor and the label report count."""
    window = ("--from", YESTERDAY.isoformat(), "--to", TODAY.isoformat())
    ran = json.loads(installation.cli("monitor", "run", "quality", *window, "--json").stdout)
    found = installation.get(f"/api/v1/executions/{ran['id']}/report")
    report = json.loads(installation.done("truth", "report", "deliveries", "--json"))
    assert report["unfit"] == found["unfit_label_count"]
    return {
        "rows": found["row_count"],
        "labelled": found["labelled_count"],
        "labelled in the report": sum(day["labelled_rows"] for day in report["days"]),
        "unfit": found["unfit_label_count"],
    }


@pytest.mark.first(1)
@pytest.mark.parametrize("form", [as_csv, as_json, as_sagemaker])
def test_texts_that_mean_missing_leave_a_known_label_as_it_is(
    labelled_requests: Installation, form: Callable[[pd.DataFrame], str]
) -> None:
    before = judged(labelled_requests)
    ids = [f"e{number}" for number in range(len(MISSING))]

    load(labelled_requests, form(pd.DataFrame({"id": ids, "label": MISSING})))

    counts = {"rows": 240, "labelled": 240, "labelled in the report": 240, "unfit": 0}
    assert (before, judged(labelled_requests)) == (counts, counts)


def test_a_known_label_corrects_one_that_was_known(labelled_requests: Installation) -> None:
    load(labelled_requests, as_csv(pd.DataFrame({"id": ["e0", "e1"], "label": ["many", "1"]})))

    assert judged(labelled_requests)["unfit"] == 1
    load(labelled_requests, as_csv(pd.DataFrame({"id": ["e0"], "label": ["0"]})))
    assert judged(labelled_requests)["unfit"] == 0
