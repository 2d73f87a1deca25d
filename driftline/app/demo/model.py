"""The demo's model, which predicts whether a flight will arrive more than 15 minutes late.

The reference keeps predictions made out of fold, whole days at a time: in-sample ones flatter the
model (AUC 0.79 against 0.69 later), and every later month would look like decay.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from driftline.app.demo.flights import EVENT_TIME, FEATURES, LABEL, TEXTS
from driftline.one_thread import on_one_thread

PREDICTION = "prediction"
PROBABILITY = "probability"
FOLDS = 5


def pipeline() -> Pipeline:
    """Make the unfitted model; a level that training never saw counts as missing."""
    levels = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = make_column_transformer((levels, list(TEXTS)), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))


def train(reference: pa.Table) -> tuple[Pipeline, pa.Table]:
    """Fit the model, and predict each day of the reference by models that have not seen it."""
    features = reference.select(FEATURES).to_pandas()
    known = reference[LABEL].is_valid().to_numpy()
    late = pc.fill_null(reference[LABEL], 0).to_numpy()
    days = reference[EVENT_TIME].cast(pa.int64()).to_numpy() // (86_400 * 1_000_000)
    probability = np.empty(len(late))
    # Threads that wait by spinning for others on busy cores made 4 s of work last for minutes.
    with on_one_thread():
        for fold in range(FOLDS):
            held_out = days % FOLDS == fold
            model = pipeline().fit(features[known & ~held_out], late[known & ~held_out])
            probability[held_out] = model.predict_proba(features[held_out])[:, 1]
        estimator = pipeline().fit(features[known], late[known])
    table = reference.append_column(PREDICTION, pa.array((probability > 0.5).astype(np.int64)))
    return estimator, table.append_column(PROBABILITY, pa.array(probability))
