"""Many models behind one endpoint: loaded when asked, recorded under their names."""

import json
from typing import Any

import pandas as pd
import skops.io

from driftline.capture.tables.dataset import Dataset

ROW = "0.5,0.1,0"


def test_each_model_answers_by_its_name(stores: Any, ask: Any, store_models: Any) -> None:
    server = stores()

    for file in store_models[:3]:
        answer = ask(server, f"north/{file.name}", ROW)

        assert answer.status_code == 200, answer.text
        model = skops.io.load(file, trusted=[])
        row = pd.DataFrame([[0.5, 0.1, 0.0]], columns=["price", "stock", "visits"])
        expected = model.predict_proba(row)[0, 1]
        probability = float(answer.text.split(",")[1])
        assert abs(probability - expected) < 1e-9


def test_answered_requests_are_captured_under_their_models(stores: Any, ask: Any) -> None:
    server = stores()

    sent = ["north/00.skops", "north/01.skops", "north/00.skops"]
    for name in sent:
        assert ask(server, name).status_code == 200
    assert ask(server, "../00.skops").status_code == 400
    server.sink_all()

    rows = Dataset(str(server.root), "stores").open().to_table(["model", "prediction"]).to_pylist()
    assert sorted(row["model"] for row in rows) == sorted(sent)
    assert all(row["prediction"] in (0, 1) for row in rows)


def test_a_request_without_a_model_is_refused(stores: Any, ask: Any) -> None:
    server = stores()

    answer = ask(server, None)

    assert answer.status_code == 400
    assert "X-Amzn-SageMaker-Target-Model" in json.loads(answer.text)["error"]["message"]
