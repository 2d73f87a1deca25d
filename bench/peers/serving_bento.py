"""A service of BentoML, for bench/serving.py: SERVING_MODEL names the model's file."""

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1)
class Service:
    """Answers probabilities."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["SERVING_MODEL"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return one probability a row."""
        return self.model.predict_proba(rows)[:, 1]
