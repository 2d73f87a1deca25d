"""Exact attributions of trees given as methods, such as ``model.predict_proba``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.estimators.own_methods import (
    TREES,
    Contributions,
    OwnMethod,
    is_pipeline,
    own_method,
)
from driftline.fitted import feature_names
from driftline.monitors.check_context import Predictor
from driftline.monitors.kinds.attribution.asking import (
    classes_of,
    form_of_estimator,
    refusal,
    taking_tables,
)
from driftline.monitors.kinds.attribution.attributions import UNKNOWN

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TreeMethod:
    """A method of a model whose trees are explained directly (a TwoClassPredictor).

    Called with rows it is any function: of unknown units, and of a model without a name.
    """

    predict: Callable[..., object]
    estimator: Any
    own: OwnMethod
    units: str = UNKNOWN
    model: str = ""

    @property
    def features(self) -> tuple[str, ...] | None:
        """The columns that the model takes; None where it takes them by position."""
        return feature_names(self.estimator)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in order; none of a regression."""
        return classes_of(self.predict)

    @property
    def positive(self) -> str:
        """The class of a margin, of two."""
        return self.labels[1] if len(self.labels) == 2 else ""

    @property
    def method(self) -> str:
        """The trees' exact method."""
        return self.own.name

    @property
    def method_units(self) -> str:
        """The units of their contributions."""
        return self.own.units

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's predictions."""
        return taking_tables(self.predict, rows)(rows)

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Explain rows by the trees themselves."""
        self(rows)  # What the model refuses is not explained either.
        form = form_of_estimator(self.estimator, rows.column_names)
        assert form is not None
        try:
            taken = [self._prepared(form(one)) for one in (rows, background)]
            return Contributions(*self.own.contribute(*taken))
        except Exception as error:
            raise refusal(error) from error

    def _prepared(self, rows: Any) -> Any:  # noqa: ANN401 - a frame or an array
        """Return rows as the last step of a pipeline takes them."""
        if not is_pipeline(self.estimator) or len(self.estimator.steps) == 1 or not len(rows):
            return rows
        return self.estimator[:-1].transform(rows)


def explaining_itself(predict: Predictor) -> Predictor:
    """Return a predictor with the trees' exact method, where it fits the given one."""
    estimator: Any = getattr(predict, "__self__", None)
    name = getattr(predict, "__name__", "")
    while is_pipeline(estimator) and len(estimator.steps) > 1:
        if estimator.steps[0][1] != "passthrough":
            break
        estimator = estimator[1:]  # Such a step knows no columns, and the next one does.
    wanted = "predict" if getattr(estimator, "classes_", None) is None else "predict_proba"
    if name != wanted or getattr(estimator, "n_features_in_", None) is None:
        return predict
    own = own_method(estimator)
    if own is None or own.name != TREES or not _answers(own, estimator):
        return predict
    return TreeMethod(predict, estimator, own)


def _answers(own: OwnMethod, estimator: Any) -> bool:  # noqa: ANN401 - foreign object
    """Whether trees support the method: not with linear leaves or several targets."""
    last = estimator.steps[-1][1] if is_pipeline(estimator) else estimator
    rows = np.zeros((2, int(last.n_features_in_)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A model that knows names misses them here.
            own.contribute(rows, rows)
    except Exception as error:  # noqa: BLE001 - whatever the library says; permutations go all the same.
        log.info(
            "%s is not explained by its trees error=%s", type(last).__name__, type(error).__name__
        )
        return False
    return True
