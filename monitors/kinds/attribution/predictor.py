"""Models as they are asked: those that are known by a name, and functions of a notebook.

A function gets an Arrow table, a pandas data frame or a numpy array, as it takes. Methods of
trees, such as ``model.predict_proba``, are explained by the trees themselves.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from driftline.classes import class_text
from driftline.errors import DriftlineError, InputError
from driftline.estimators.categories import categories_of, with_categories
from driftline.estimators.own_methods import (
    TREES,
    Contributions,
    OwnMethod,
    is_pipeline,
    own_method,
)
from driftline.fitted import feature_count, feature_names, takes_texts
from driftline.signature import names_among

log = logging.getLogger(__name__)

PERMUTATION = "permutation"
UNKNOWN = "answer"  # Units of what a function answers.
# What functions raise that are given rows in another form than they take.
OTHER_FORM = (TypeError, ValueError, AttributeError, LookupError)
Form = Callable[[pa.Table], object]
# In this order forms are tried.
FORMS: dict[str, Form] = {
    "an Arrow table": lambda rows: rows,
    "a pandas data frame": lambda rows: rows.to_pandas(),
    "a numpy array": lambda rows: rows.to_pandas().to_numpy(),
}


@runtime_checkable
class ModelPredictor(Protocol):
    """A predictor that knows its model's columns, classes and exact method."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """The columns that the model takes; None where it takes them by position."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, when the answer has one column for each; else empty."""

    @property
    def positive(self) -> str:
        """The class of its output; "" where there are not two."""

    @property
    def units(self) -> str:
        """The units of the predictions: "probability", "value", "class"; "answer" if unknown."""

    @property
    def model(self) -> str:
        """Digest of the model; "" when it has no name."""

    @property
    def method(self) -> str:
        """Method of `contributions`; "permutation" when there is no exact one."""

    @property
    def method_units(self) -> str:
        """The units of `contributions`."""

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's predictions."""

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Explain rows by the model's own method."""


class FunctionPredictor:
    """A function, or a method of a fitted estimator (a ModelPredictor).

    An estimator gets its own columns by name, or an array where it was fitted on one. Any other
    function is tried with a few of the first rows.
    """

    units, model = UNKNOWN, ""

    def __init__(self, predict: object) -> None:
        """Take a function; InputError where it is none."""
        if not callable(predict):
            method = "predict_proba" if hasattr(predict, "predict_proba") else "predict"
            raise InputError(
                f"predict= is no function, but {type(predict).__name__}; expected a function or a "
                f"method, such as predict=model.{method}"
            )
        self._predict = predict
        self._form: Form | None = None
        model: Any = getattr(predict, "__self__", None)
        while is_pipeline(model) and len(model.steps) > 1 and model.steps[0][1] == "passthrough":
            model = model[1:]  # Such a step knows no columns.
        self._estimator = model
        self.labels = classes_of(predict)
        self.positive = self.labels[1] if len(self.labels) == 2 else ""
        self._own = self._own_trees()
        self.features = feature_names(self._estimator)
        self.method = PERMUTATION if self._own is None else self._own.name
        self.method_units = UNKNOWN if self._own is None else self._own.units

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's predictions; InputError when it takes none of the forms, or raises."""
        if self._form is None:
            own = _form_of_estimator(self._estimator, rows.column_names)
            self._form = own or _form_of(self._predict, rows.slice(0, 2))
        try:
            return np.asarray(self._predict(self._form(rows)))
        except Exception as error:
            raise _refusal(error) from error

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Explain rows by the trees themselves."""
        self(rows)  # What the model refuses is not explained either.
        assert self._own is not None
        assert self._form is not None
        try:
            taken = [self._prepared(self._form(one)) for one in (rows, background)]
            return Contributions(*self._own.contribute(*taken))
        except Exception as error:
            raise _refusal(error) from error

    def _prepared(self, rows: Any) -> Any:  # noqa: ANN401 - a frame or an array
        """Return rows as the last step of a pipeline takes them."""
        if not is_pipeline(self._estimator) or len(self._estimator.steps) == 1 or not len(rows):
            return rows
        return self._estimator[:-1].transform(rows)

    def _own_trees(self) -> OwnMethod | None:
        """Return the trees' own method where it explains this function; None for others."""
        model = self._estimator
        wanted = "predict" if getattr(model, "classes_", None) is None else "predict_proba"
        is_whole = getattr(self._predict, "__name__", "") == wanted
        if not is_whole or getattr(model, "n_features_in_", None) is None:
            return None
        own = own_method(model)
        if own is None or own.name != TREES:
            return None
        last = model.steps[-1][1] if is_pipeline(model) else model
        rows = np.zeros((2, int(last.n_features_in_)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # A model that knows names misses them here.
                own.contribute(rows, rows)
        except Exception as error:  # noqa: BLE001 - whatever the library says, such as of linear leaves.
            kind, reason = type(last).__name__, type(error).__name__
            log.info("%s is not explained by its trees error=%s", kind, reason)
            return None
        return own


def as_predictor(predict: object) -> ModelPredictor:
    """Return a model as it is asked; InputError where it is no function."""
    return predict if isinstance(predict, ModelPredictor) else FunctionPredictor(predict)


def classes_of(predict: Callable[..., object]) -> tuple[str, ...]:
    """Return the classes, in order, of the estimator whose probability method this is; else ().

    Outputs of other methods are no classes: labels of several outputs, scores of pairs of classes.
    """
    owner, name = getattr(predict, "__self__", None), getattr(predict, "__name__", "")
    found = getattr(owner, "classes_", None)
    if name not in ("predict_proba", "predict_log_proba") or not isinstance(found, np.ndarray):
        return ()
    return tuple(class_text(one) for one in found.tolist()) if found.ndim == 1 else ()


def _form_of_estimator(estimator: object, columns: Sequence[str]) -> Form | None:
    """Return the form in which a fitted estimator takes these columns; None of others."""
    if (names := feature_names(estimator)) is not None:
        known = list(names)
        wanted = names_among(known, columns)
        if lacking := [one for one in wanted if one not in columns]:
            raise InputError(
                f'predict= takes column "{lacking[0]}", which is no feature of the reference; '
                f"known: {', '.join(columns)}"
            )
        categories = categories_of(estimator)
        return lambda table: with_categories(
            table.select(wanted).rename_columns(known).to_pandas(), categories
        )
    if takes_texts(estimator) and len(columns) == 1:
        return lambda table: table.column(0).to_pylist()
    is_fitted = feature_count(estimator) is not None
    return FORMS["a numpy array"] if is_fitted else None


def _form_of(predict: Callable[..., object], rows: pa.Table) -> Form:
    """Return the first form of some rows for which a function returns one output per row."""
    # A heavy import that only a model needs; other indexes are none of its LookupErrors.
    from pandas.errors import InvalidIndexError

    errors = []
    for name, form in FORMS.items():
        try:
            answers = np.asarray(predict(form(rows)))
        except Exception as error:
            is_table = (
                form is FORMS["an Arrow table"]
            )  # LightGBM refuses it by an error of its own.
            if not is_table and not isinstance(error, (*OTHER_FORM, InvalidIndexError)):
                raise _refusal(error) from error
            errors.append(f"{name} ({str(error).partition(chr(10))[0]:.120})")
            continue
        if answers.ndim and len(answers) == rows.num_rows:
            return form
        errors.append(f"{name} (answers of shape {answers.shape} to {rows.num_rows} rows)")
    texts = [one.name for one in rows.schema if pa.types.is_string(one.type)]
    hint = (
        f'; column "{"".join(texts[:1])}" comes as text: where the model was fitted on categories '
        "of pandas, give its own method (predict=model.predict_proba), which gets them, or make "
        "them in the function (docs/models.md#categories)"
    )
    raise InputError(
        f"predict= takes none of {', '.join(errors)}; expected one answer for each row"
        f"{hint * bool(texts)}"
    )


def _refusal(error: Exception) -> DriftlineError:
    """Return the error of a model that raised, such as on a missing value."""
    if isinstance(error, DriftlineError):  # Of a client that it uses.
        return error
    told = str(error).partition("\n")[0]
    return InputError(f"the model refused the rows: {type(error).__name__}: {told:.300}")
