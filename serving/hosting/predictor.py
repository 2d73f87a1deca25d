"""A loaded model, in the worker process: only there may code out of a model file run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.ensemble  # noqa: F401 - with most of scikit-learn, which all workers share
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from driftline.errors import InputError
from driftline.estimators.categories import categories_of, with_categories
from driftline.fitted import feature_count, feature_names, takes_texts
from driftline.serving.bodies.predictions import Answer, Value, class_text
from driftline.serving.bodies.rows import Columns
from driftline.serving.hosting.few_rows import FEW, Arrays, UnusualError, few_rows
from driftline.serving.hosting.formats.model_format import (
    Description,
    ModelError,
    SignedModel,
)
from driftline.serving.hosting.formats.table import find_model, require_trusted
from driftline.signature import names_among

# Classifiers of scikit-learn that answer the class with the highest probability.
_MOST_PROBABLE = {
    "DecisionTreeClassifier", "ExtraTreesClassifier", "GradientBoostingClassifier",
    "HistGradientBoostingClassifier", "LogisticRegression", "RandomForestClassifier",
}  # fmt: skip
# Probabilities that lie closer may be the other way round before they were rounded.
_TIE = 1e-9
# As many as are told of a column.
_FEW_CATEGORIES = 100
# Models that are asked how many values they answer a row: estimators, and readers of files.
_ONLY_COMPUTE = ("sklearn.", "xgboost.", "driftline.serving.hosting.formats.")


class Predictor:
    """A loaded model that turns columns into predictions.

    ``positive``: the class whose probability is answered when there are two, or several names, of
    which the first that the model knows counts; None: the second, as in scikit-learn. ``like``: a
    Description that the model has to agree with.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - foreign object
        *,
        positive: str | Sequence[str] | None = None,
        like: Mapping[str, Any] | None = None,
    ) -> None:
        signed = model if isinstance(model, SignedModel) else None
        self.model: Any = model if signed is None else signed.model
        model = self.model
        self.description = describe(model, signed)
        if like is not None:  # Before its classes are looked at: it says more.
            require_alike(self.description, like)
        self._names = self.description.feature_names
        self._name_set = set(self._names or ())
        # One that was fitted on an array may have its columns named beside it.
        is_named = feature_names(model) is not None
        self._takes_frames = getattr(model, "takes_frames_", is_named)
        self.takes_texts, known = takes_texts(model), categories_of(model)
        # Of a signature's names, where a file has one.
        names = names_among(known, self._names or ())
        self._categories = dict(zip(names, known.values(), strict=True))
        booster = getattr(model, "booster_", None)
        if getattr(booster, "pandas_categorical", None) and not self._categories:
            raise ModelError(
                "the model of lightgbm does not say which columns have which categories; fit it "
                "without ordered ones, and without categorical_feature beside those of pandas"
            )
        few = {name: one for name, one in self._categories.items() if len(one) <= _FEW_CATEGORIES}
        texts = {name: tuple(map(class_text, one)) for name, one in few.items()}
        self.description = replace(self.description, categories=texts or None)
        # Which take missing values, of truth values too, but no objects.
        self._is_boosted = hasattr(model, "get_booster") or hasattr(model, "booster_")
        self.shown = _shown_classes(self.description, positive)
        """The indices of the classes whose probabilities are answered."""
        self._prepare, last = None, model
        if type(model) is Pipeline and len(model.steps) > 1:
            # The steps before the last one are dear and are needed once for both answers.
            self._prepare, last = model[:-1].transform, model.steps[-1][1]
        self._predict = last.predict
        self._chances = last.predict_proba if self.description.has_probability else None
        # Of models that answer both by one run.
        self._both = getattr(model, "predict_both_", None)
        self._is_most_probable = (
            type(last).__module__.startswith("sklearn.")
            and type(last).__name__ in _MOST_PROBABLE
            and len(self.description.classes) > 1
        )
        self._few_rows = few_rows(model, self._prepare)

    def predict(self, columns: Columns) -> Answer:
        """Predict every row."""
        columns = self._in_order(columns)
        return self._predicted(list(columns.values()), partial(self._table, columns))

    def predict_numbers(self, names: Sequence[str], rows: np.ndarray) -> Answer:
        """Predict rows of float64, shape (rows, features); the model may write into them."""
        if self._names not in (None, tuple(names)):
            return self.predict(dict(zip(names, rows.T, strict=True)))
        if self._takes_frames or self.takes_texts:
            columns = dict(zip(names, rows.T, strict=True))
            return self._predicted(rows.T, partial(self._table, columns))
        return self._predicted(rows.T, partial(np.ascontiguousarray, rows))

    def _predicted(self, arrays: Arrays, table: Callable[[], Any]) -> Answer:
        """Predict rows; ``table`` builds them as the whole model takes them."""
        row_count = len(arrays[0])
        found, labels, rows = self._quickly(arrays), None, None
        if found is None:
            rows = self._as_last(table())
            if self._both is not None:
                labels, found = self._both(rows)
            else:
                found = _with_lists((self._chances or self._predict)(rows))
        if self._chances is None:
            return Answer(self._checked(found, row_count))
        _require_shape(found, row_count, len(self.description.classes))
        predictions = self._most_probable(found)
        if predictions is None:
            if np.isnan(found).any():
                raise ModelError("it answered no number as a probability (NaN)")
            if labels is None:
                labels = self._predict(self._as_last(table()) if rows is None else rows)
            predictions = self._checked(np.asarray(labels), row_count)
        return Answer(predictions, found[:, self.shown])

    def _quickly(self, arrays: Arrays) -> np.ndarray | None:
        """Return what the model answers to a few usual rows."""
        if self._few_rows is None or len(arrays[0]) > FEW:
            return None
        try:
            return self._few_rows(arrays)
        except UnusualError:
            return None

    def _most_probable(self, chances: np.ndarray) -> np.ndarray | None:
        """Return the predicted classes; None where the model has to be asked for them."""
        if not self._is_most_probable:
            return None
        first, second = np.sort(chances, axis=1)[:, :-3:-1].T
        if not (first - second > _TIE).all():
            return None
        found: np.ndarray = self.model.classes_[chances.argmax(axis=1)]
        return found

    def numbers(self, columns: Columns) -> np.ndarray:
        """Return the numbers that attributions explain, of the positive class if any; (rows, n)."""
        rows, row_count = self.prepared(columns), len(next(iter(columns.values())))
        if self._chances is not None:
            chances = np.asarray(self._chances(rows), dtype=np.float64)
            _require_shape(chances, row_count, len(self.description.classes))
            found: np.ndarray = chances[:, self.shown]
            return found
        predictions = self._checked(_with_lists(self._predict(rows)), row_count)
        if not self.description.classes:
            return predictions.astype(np.float64).reshape(len(predictions), -1)
        classes = np.asarray(self.model.classes_)[self.shown]
        return np.asarray(predictions[:, None] == classes[None, :], dtype=np.float64)

    def _checked(self, predictions: np.ndarray, row_count: int) -> np.ndarray:
        """Return predictions: a value for each row or, such as of forecasts, several."""
        if predictions.shape[1:] == (1,):  # As of those fitted on a table of one column.
            predictions = predictions[:, 0]
        several = () if self.description.classes else predictions.shape[1:]
        _require_shape(predictions, row_count, *several[:1])
        return predictions

    def prepared(self, columns: Columns) -> Any:  # noqa: ANN401 - a frame or an array
        """Return the rows as the last step of the model takes them."""
        return self._as_last(self._table(columns))

    def _as_last(self, rows: Any) -> Any:  # noqa: ANN401 - as above
        return rows if self._prepare is None else self._prepare(rows)

    def _table(self, columns: Columns) -> pd.DataFrame | np.ndarray:
        """Build what the model was fitted on: a data frame, an array, or an array of texts."""
        columns = self._in_order(columns)
        if self.takes_texts:
            if len(columns) != 1:
                raise ModelError(f"the row has {len(columns)} values; the model takes one text")
            return next(iter(columns.values()))
        if self._is_boosted:
            columns = {name: _as_numbers(values) for name, values in columns.items()}
        if self._takes_frames or any(values.dtype.kind not in "fib" for values in columns.values()):
            rows: pd.DataFrame = with_categories(pd.DataFrame(columns), self._categories)
            return rows
        return np.column_stack([values.astype(float) for values in columns.values()])

    @property
    def is_by_position(self) -> bool:
        """Whether the model knows no names, and takes columns by their order alone."""
        about = self.description
        is_counted = about.feature_count is not None or not self._takes_frames
        return about.feature_names is None and is_counted

    def require_taken(self, columns: Columns, *, are_named: bool) -> None:
        """Refuse rows, read without names known, of which the model would make something else."""
        if not self.is_by_position:
            return
        if are_named:
            raise InputError(
                f"the rows name their columns ({', '.join(columns)[:100]}), which the model takes "
                "by position; send lists of values in its order, or give the endpoint a baseline"
            )
        has_texts = any(values.dtype.kind not in "fib" for values in columns.values())
        if has_texts and self.description.feature_count is None:
            raise InputError(
                f"the rows hold text, and the {type(self.model).__name__} does not say whether it "
                "takes tables or texts; give it n_features_in_, or the endpoint a baseline"
            )

    def _in_order(self, columns: Columns) -> Columns:
        """Return the columns as the model names and orders them, if it knows names."""
        names = self._names
        if names is None:
            return columns
        if columns.keys() == self._name_set:
            return {name: columns[name] for name in names}
        found = names_among(names, columns)
        if columns.keys() == set(found):
            return {name: columns[one] for name, one in zip(names, found, strict=True)}
        if len(columns) != len(names):
            raise ModelError(f"the row has {len(columns)} values; the model takes {len(names)}")
        return dict(zip(names, columns.values(), strict=True))


def _as_numbers(values: np.ndarray) -> np.ndarray:
    """Return truth values of which some are missing (None) as numbers."""
    is_number = values.dtype == object and {*map(type, values)} <= {bool, float, type(None)}
    return values.astype(np.float64) if is_number else values


def _with_lists(found: Any) -> np.ndarray:  # noqa: ANN401 - whatever a model returns
    """Return answers as an array; lists, such as rankings of different lengths, as objects."""
    are_objects = isinstance(found, list) or getattr(found, "dtype", "") == np.dtype(object)
    rows = list(found) if are_objects else []
    if not rows or not all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return np.asarray(found)
    lists = np.empty(len(rows), dtype=object)
    lists[:] = [np.asarray(row).tolist() for row in rows]
    return lists


def _require_shape(found: np.ndarray, row_count: int, *width: int) -> None:
    """Refuse answers to other many than rows: requests are answered together, and cut apart."""
    expected = (row_count, *width)
    if found.shape != expected:
        raise ModelError(f"the model answered {found.shape} values; expected {expected}")


def load_predictor(path: Path, *, trust_pickle: bool) -> Predictor:
    """Load a model file, or the one model file in a folder."""
    return Predictor(load_model(path, trust_pickle=trust_pickle))


def load_model(path: Path, *, trust_pickle: bool) -> object:
    """Load what a model file, or the one model file in a folder, holds."""
    stored = find_model(path)
    require_trusted(stored, trust_pickle=trust_pickle)
    try:
        return stored.format.read(stored.path)
    except ModelError:
        raise
    # Unpicklers, decompressors and constructors of others run here: what they raise for a damaged
    # or hostile file is not a closed set.
    except (Exception, SystemExit) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(
            f"{stored.path.name} cannot be read ({type(error).__name__}: {reason})"
        ) from error


def describe(model: Any, signed: SignedModel | None = None) -> Description:  # noqa: ANN401 - foreign object
    """Read from a fitted model, and what its file says of it, what it takes and answers."""
    kind = type(model).__name__
    if not callable(getattr(model, "predict", None)):
        raise ModelError(f"the file holds a {kind}; expected a model with a method predict")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ModelError(f"the {kind} is not fitted; call its method fit before saving") from None
    except (TypeError, AttributeError):
        pass  # Not an estimator of scikit-learn: nothing to check by.
    names = feature_names(model) if signed is None else signed.names
    types = getattr(model, "feature_types_", None) if signed is None else signed.types
    if types is None and takes_texts(model):
        types = ("string",)
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) == 0:  # Of CatBoost's regressors.
        classes = None
    width = len(classes) if isinstance(classes, list) else _answer_width(model)
    if classes is not None and width not in (None, 1):
        raise ModelError(f"the {kind} answers {width} values a row; expected one")
    labels: list[Value] = [] if classes is None else np.asarray(classes).tolist()
    return Description(
        kind="estimator" if classes is None else "classifier",
        feature_names=names,
        feature_count=feature_count(model),
        class_type=(
            getattr(model, "answer_type_", "double") if classes is None else _type_of(labels)
        ),
        classes=tuple(class_text(label) for label in labels),
        has_probability=classes is not None and callable(getattr(model, "predict_proba", None)),
        feature_types=types,
        answer_width=width if classes is None else 1,
    )


def _type_of(labels: Sequence[Value]) -> str:
    kinds = set(map(type, labels))
    for kind, name in ((bool, "bool"), (int, "int64"), (float, "double")):
        if kinds == {kind}:
            return name
    return "string"


def _shown_classes(description: Description, positive: str | Sequence[str] | None) -> list[int]:
    """Choose the classes whose probabilities are answered."""
    classes = description.classes
    if len(classes) != 2:
        return list(range(len(classes)))
    names = [positive] if isinstance(positive, str) else list(positive or ())
    if not names:
        return [1]
    for name in names:
        if name in classes:
            return [classes.index(name)]
    raise ModelError(f"positive class {', '.join(names)}; the model knows {', '.join(classes)}")


def _answer_width(model: Any) -> int | None:  # noqa: ANN401 - foreign object
    """Return how many values a model answers a row, by a row of zeros where it does not say."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    module = type(last).__module__
    if not module.startswith(_ONLY_COMPUTE):
        return None
    if module.startswith("driftline.") and hasattr(last, "n_outputs_"):
        width: int | None = last.n_outputs_
        return width
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.asarray(last.predict(np.zeros((1, last.n_features_in_))))
    except Exception:  # noqa: BLE001 - of code of others; it may take other rows than these
        return None
    return None if found.ndim > 2 or found.dtype == object else int(found[0].size)


def require_alike(found: Description, expected: Mapping[str, Any]) -> None:
    """Refuse a model unlike a Description: in one table, one column holds one thing."""
    mine = asdict(found)
    for name in (
        "kind", "class_type", "classes", "has_probability", "answer_width", "feature_count",
        "feature_names",
    ):  # fmt: skip
        sides = [one[name] for one in (mine, expected)]
        if None in sides:  # Nobody knows.
            continue
        if name == "feature_names":
            sides = [*map(sorted, sides)]
        one, other = (list(side) if isinstance(side, tuple) else side for side in sides)
        if one != other:
            raise ModelError(
                f"it differs from the endpoint's models in {name}: {str(one)[:100]}, expected "
                f"{str(other)[:100]}; put it below another prefix"
            )
