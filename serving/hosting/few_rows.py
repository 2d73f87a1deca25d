"""Predictions of a few rows, without the fixed cost of a scikit-learn call.

A scaler with a logistic regression takes 0.3 ms a call and a hundred boosted trees 0.8 ms, nearly
all of it input checks and, with trees, one call for each. Here the same numbers are read from the
fitted model once, at the load, for the estimators in the tables below (as of scikit-learn 1.9). A
shortcut that differs from the model on sample rows is not used; special rows (missing texts,
infinities, ties) go to the model itself (docs/why/hosting.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

# Beyond it a call of scikit-learn costs little a row.
FEW = 64
_SAMPLES = 48
# As far as sums of another order may be apart, as those of another number of rows are, too.
_TOLERANCE = 1e-12

Arrays = Sequence[np.ndarray] | np.ndarray
# Of columns in the model's order, or of a matrix: shape (rows, features), float64.
Entry = Callable[[Arrays], np.ndarray]
Stage = Callable[[np.ndarray], np.ndarray]


class UnusualError(Exception):
    """Rows that the model itself has to look at."""


def few_rows(model: Any, prepare: Callable[[Any], Any] | None) -> Entry | None:  # noqa: ANN401 - foreign object
    """Return a fast ``predict_proba`` or ``predict``; UnusualError: these rows need the model."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That the rows to try have no names.
            return _read(model, prepare)
    # Another version keeps what is read here elsewhere, or an estimator is not as it usually is.
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, UnusualError):
        return None


def _read(model: Any, prepare: Callable[[Any], Any] | None) -> Entry | None:  # noqa: ANN401 - foreign object
    steps = [step for _, step in model.steps] if _kind(model) == "Pipeline" else [model]
    final, samples = _FINALS[_kind(steps[-1])](steps[-1])
    entry: Entry = _matrix
    rng, rest = np.random.default_rng(0), steps[:-1]
    arrays: list[np.ndarray] = [*rng.normal(0, 3, (model.n_features_in_, _SAMPLES))]
    rows: Any = np.column_stack(arrays)
    if rest and _kind(rest[0]) == "ColumnTransformer":
        import pandas as pd  # Models with columns by name have it loaded.

        entry, known = _columns(rest.pop(0))
        for place, values in known.items():
            arrays[place] = rng.choice(np.array(values, object), _SAMPLES)
        rows = pd.DataFrame(dict(zip(model.feature_names_in_, arrays, strict=True))).infer_objects()
    whole = _chained(entry, rest)
    if prepare is not None and not _is_close(prepare(rows), whole(arrays)):
        return None
    ask = getattr(steps[-1], "predict_proba", steps[-1].predict)
    is_close = _is_close(ask(samples), final(samples))
    return (lambda columns: final(whole(columns))) if is_close else None


def _kind(step: Any) -> str:  # noqa: ANN401 - foreign object
    """Return the name of an estimator of scikit-learn itself; a class derived from one is none."""
    kind = type(step)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else str(step)


def _is_close(theirs: Any, ours: np.ndarray) -> bool:  # noqa: ANN401 - an array, perhaps a sparse one
    found = np.asarray(theirs.toarray() if hasattr(theirs, "toarray") else theirs, np.float64)
    is_same_shape, limit = found.shape == ours.shape, _TOLERANCE
    return is_same_shape and np.allclose(found, ours, rtol=limit, atol=limit, equal_nan=True)


def _matrix(columns: Arrays) -> np.ndarray:
    """Put columns of numbers side by side; infinities some steps refuse, others do not."""
    if isinstance(columns, np.ndarray):
        rows = columns.T  # Of float64.
    elif any(column.dtype.kind not in "fib" for column in columns):
        raise UnusualError
    else:
        rows = np.array(columns, dtype=np.float64).T
    if np.isinf(rows).any():
        raise UnusualError
    return rows


def _columns(chosen: Any) -> tuple[Entry, dict[int, list[Any]]]:  # noqa: ANN401 - foreign object
    """Return what does as a ColumnTransformer does, and values to try for columns of texts."""
    names = list(chosen.feature_names_in_)
    parts: list[tuple[list[int], Entry]] = []
    known: dict[int, list[Any]] = {}
    for _, step, columns in chosen.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        places = [names.index(one) if isinstance(one, str) else int(one) for one in columns]
        inner = [one for _, one in step.steps] if _kind(step) == "Pipeline" else [step]
        start: Entry = _matrix
        if encoders := [at for at, one in enumerate(inner) if _kind(one) in _ENCODERS]:
            at = encoders[0]
            # What fills gaps changes nothing where there are none; rows with gaps go elsewhere.
            if any(_kind(one) != "SimpleImputer" for one in inner[:at]):
                raise UnusualError
            start = _encoder(inner[at])
            for place, values in zip(places, inner[at].categories_, strict=True):
                known[place] = [one for one in values.tolist() if one is not None and one == one]
            inner = inner[at + 1 :]
        parts.append((places, _chained(start, inner)))
    return lambda columns: np.hstack(
        [part([columns[place] for place in places]) for places, part in parts]
    ), known


def _chained(start: Entry, steps: Sequence[Any]) -> Entry:
    stages = [_STAGES[_kind(step)](step) for step in steps]
    return lambda columns: reduce(lambda rows, stage: stage(rows), stages, start(columns))


def _encoder(step: Any) -> Entry:  # noqa: ANN401 - foreign object
    """Return what writes the codes of an OrdinalEncoder, or the ones of a OneHotEncoder."""
    if step._infrequent_enabled:
        raise UnusualError
    known = [{value: at for at, value in enumerate(one.tolist())} for one in step.categories_]
    starts = np.cumsum([0, *map(len, known)]).tolist()
    is_ordinal = _kind(step) == "OrdinalEncoder"
    width, unknown = len(known) if is_ordinal else starts[-1], None
    if step.handle_unknown != "error":
        unknown = step.unknown_value if is_ordinal else -1

    def encode(columns: Arrays) -> np.ndarray:
        rows = np.zeros((len(columns[0]), width))
        for place, (codes, start, column) in enumerate(zip(known, starts, columns, strict=False)):
            for row, value in enumerate(column.tolist()):
                code = codes.get(value, unknown)
                if code is None or value is None or value != value:  # NaN is not itself.
                    raise UnusualError
                if is_ordinal:
                    rows[row, place] = code
                elif code >= 0:
                    rows[row, start + code] = 1.0
        return rows

    return encode


def _scaler(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    mean = step.mean_ if step.with_mean else 0.0
    scale = step.scale_ if step.with_std else 1.0
    return lambda rows: (rows - mean) / scale


def _imputer(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    filled = np.asarray(step.statistics_, dtype=np.float64)
    if not np.isnan(step.missing_values):
        raise UnusualError
    return lambda rows: np.where(np.isnan(rows), filled, rows)


def _nothing(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    """Pass rows on: what a ColumnTransformer makes of "passthrough" has no function."""
    if getattr(step, "func", None) is not None:
        raise UnusualError
    return lambda rows: rows


def _linear(model: Any) -> tuple[Stage, np.ndarray]:  # noqa: ANN401 - foreign object
    # Not at the top, before scikit-learn is imported as model_formats.py has it.
    from scipy.special import expit, softmax

    weights, start = np.asarray(model.coef_, np.float64).T, model.intercept_
    classes = len(getattr(model, "classes_", ()))

    def answer(rows: np.ndarray) -> np.ndarray:
        if np.isnan(rows).any():
            raise UnusualError
        scores: np.ndarray = rows @ weights + start
        if not classes:
            return scores
        if classes > 2:
            return np.asarray(softmax(scores, axis=1))
        found = np.empty((len(rows), 2))
        expit(scores.reshape(-1), out=found[:, 1])
        np.subtract(1.0, found[:, 1], out=found[:, 0])
        return found

    return answer, np.random.default_rng(0).normal(0, 3, (_SAMPLES, model.n_features_in_))


def _boosted(model: Any) -> tuple[Stage, np.ndarray]:  # noqa: ANN401 - foreign object
    """Lay the nodes of all trees side by side; all trees are walked together, level by level."""
    if model._preprocessor is not None:
        raise UnusualError
    trees = [tree.nodes for stage in model._predictors for tree in stage]
    outputs, sizes = len(model._predictors[0]), [len(nodes) for nodes in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    nodes, base = np.concatenate(trees), np.repeat(roots, sizes)
    if nodes["is_categorical"].any():
        raise UnusualError
    is_leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    # The two children of node n stand at 2n and 2n + 1; a leaf is followed by itself.
    children = np.column_stack(
        [np.where(is_leaf, own, base + nodes[side]) for side in ("left", "right")]
    ).ravel()
    feature = nodes["feature_idx"].astype(np.int64)
    threshold = np.where(is_leaf, np.inf, nodes["num_threshold"])
    goes_right, values = ~nodes["missing_go_to_left"].astype(bool), nodes["value"]
    depth, start, loss = int(nodes["depth"].max()), model._baseline_prediction, model._loss
    link = loss.predict_proba if hasattr(model, "classes_") else loss.link.inverse

    def answer(rows: np.ndarray) -> np.ndarray:
        count = len(rows)
        cells, row = rows.T.ravel(), np.arange(count)[:, None]
        is_missing = np.isnan(cells) if np.isnan(cells).any() else None
        at = np.tile(roots, (count, 1))
        for _ in range(depth):
            cell = feature[at] * count + row
            is_right = cells[cell] > threshold[at]
            if is_missing is not None:
                is_right |= is_missing[cell] & goes_right[at] & ~is_leaf[at]
            at = children[2 * at + is_right]
        # One tree after the other, as the model adds them up.
        parts = values[at].reshape(count, -1, outputs)
        parts[:, 0] += start
        raw = np.asfortranarray(np.add.accumulate(parts, axis=1)[:, -1])
        return np.asarray(link(raw if hasattr(model, "classes_") else raw.ravel()))

    # Rows of values that trees part at, and of none.
    cuts, shape = [*threshold[np.isfinite(threshold)], np.nan], (_SAMPLES, model.n_features_in_)
    return answer, np.random.default_rng(0).choice(cuts, shape)


_ENCODERS = ("OneHotEncoder", "OrdinalEncoder")
_STAGES: dict[str, Callable[[Any], Stage]] = {
    "FunctionTransformer": _nothing,
    "SimpleImputer": _imputer,
    "StandardScaler": _scaler,
    "passthrough": _nothing,
}
_FINALS: dict[str, Callable[[Any], tuple[Stage, np.ndarray]]] = {
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), _boosted),
    **dict.fromkeys(("LinearRegression", "LogisticRegression", "Ridge"), _linear),
}
