"""Model folders as MLflow saves them, for tests."""

import warnings
from pathlib import Path
from typing import Any


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
