"""Model folders as MLflow saves them, for tests."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd


def save(flavor: str, model: Any, folder: Path, **more: Any) -> Path:
    """Save a model by the real library; ``rows`` and ``answers`` give its signature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of what the library recommends.
        import mlflow
        from mlflow.models import infer_signature

        rows, answers = more.pop("rows", None), more.pop("answers", None)
        if rows is not None:
            more["signature"] = infer_signature(rows, answers)
        # Else each folder has a process that imports all again, to see what the model needs.
        more["pip_requirements"] = []
        module = __import__(f"mlflow.{flavor}", fromlist=[flavor])
        named = {"python_model": model} if flavor == "pyfunc" else {}
        module.save_model(*([] if named else [model]), path=str(folder), **named, **more)
        assert mlflow.active_run() is None
    return folder


def doubling(answer: Any) -> Any:
    """Return a python_function that answers what a function makes of the frame it gets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc import PythonModel

        class Model(PythonModel):
            def predict(self, context: Any, model_input: pd.DataFrame) -> Any:
                return answer(model_input)

        return Model()
