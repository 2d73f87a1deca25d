"""Requests to endpoints without a baseline: the model, or MLflow, names the columns."""

import importlib
import io
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from tests.kit.data import stream
from tests.serving.hosting.formats.mlflow_models import save

ROWS = stream({"km": (10, 3), "rain_mm": (2, 1)}, rows=300, seed=4)
FEW = ROWS[:3]


MODULES = Path(__file__).parents[1] / "fixtures" / "serving"


@pytest.fixture(scope="module")
def by_position() -> Any:
    """A class of models with CatBoost's attributes, which workers can import, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(MODULES)
        yield importlib.import_module("by_position").ByPosition


@pytest.fixture(scope="module")
def server(install: Any, by_position: Any) -> Any:
    """An endpoint for each kind of model, none with a baseline."""
    server = install("[serving]\ntrust_pickle = true\n", words=("--only", "server"), is_forked=True)
    folder: Path = server.folder
    score = 2 * ROWS["km"] - ROWS["rain_mm"]
    array = LinearRegression().fit(ROWS.to_numpy(), score)
    joblib.dump(by_position(["km", "rain_mm"]), folder / "numbers.joblib")
    save("sklearn", array, folder / "signed", rows=ROWS, answers=array.predict(ROWS.to_numpy()))
    files = {"numbers": "numbers.joblib", "signed": "signed"}
    server.apply(
        *(
            resource
            for name, file in files.items()
            for resource in (
                {"kind": "Model", "name": name, "spec": {"path": str(folder / file)}},
                {"kind": "Endpoint", "name": name, "spec": {"model": name}},
            )
        )
    )
    return server


def numbers(answer: Any) -> list[float]:
    """Return the predictions of an answer in CSV."""
    assert answer.status_code == 200, answer.text
    return pd.read_csv(io.StringIO(answer.text), header=None)[0].tolist()


def shapes() -> dict[str, Any]:
    """Return the same rows in the shapes that name their columns, in another order."""
    turned = FEW[["rain_mm", "km"]]
    named = turned.to_dict("records")
    tensors = [
        {"name": name, "shape": [3], "datatype": "FP64", "data": turned[name].tolist()}
        for name in turned
    ]
    return {
        "objects": named,
        "instances": {"instances": named},
        "further field": [{**row, "id": 7} for row in named],
        "split": {"dataframe_split": turned.to_dict("split", index=False)},
        "records": {"dataframe_records": named},
        "tensors": {"inputs": tensors},
        "csv with a header": turned.to_csv(index=False),
    }


@pytest.mark.parametrize("endpoint", ["numbers", "signed"])
def test_rows_with_names_are_answered_by_name(server, endpoint):
    expected = (2 * FEW["km"] - FEW["rain_mm"]).tolist()

    for shape, body in shapes().items():
        found = numbers(server.invoke(endpoint, body, headers={"accept": "text/csv"}))

        assert found == pytest.approx(expected), shape
