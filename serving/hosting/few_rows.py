"""Predictions of a few rows, without the fixed cost of a scikit-learn call.

A scaler with a logistic regression takes 0.3 ms a call and a hundred boosted trees 0.8 ms, nearly
all of it input checks and, with trees, one call for each. Here the same numbers are read from the
fitted model once, at the load, for the estimators in the tables below. A shortcut that differs from
the model on sample rows is not used; special rows (missing texts, infinities, ties) go to the model
itself (docs/why/hosting.md).

References
----------
scikit-learn 1.9: LogisticRegression.predict_proba, HistGradientBoosting's _raw_predict,
StandardScaler, SimpleImputer, OrdinalEncoder and OneHotEncoder.transform.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Beyond it a call of scikit-learn costs little a row.
FEW = 64
_SAMPLES = 48
# As far as sums of another order may be apart, as those of another number of rows are, too.
_TOLERANCE = 1e-12

Numbers = np.ndarray
Arrays = Sequence[np.ndarray] | np.ndarray
# Of columns in the model's order, or of a matrix: shape (rows, features), float64.
Entry = Callable[[Arrays], Numbers]
Stage = Callable[[Numbers], Numbers]


class UnusualError(Exception):
    """Rows that the model itself has to look at."""


def few_rows(model: Any, prepare: Callable[[Any], Any] | None) -> Entry | None:  # noqa: ANN401 - foreign object
    """Return a fast ``predict_proba`` or, without classes, ``predict``; None for unknown models.

    ``prepare`` does the steps of a pipeline before the last. It takes at most FEW rows, and raises
    UnusualError for those that only the model itself can take.
    """
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
    rng, count = np.random.default_rng(0), model.n_features_in_
    entry: Entry = _matrix
    rest = steps[:-1]
    arrays: list[np.ndarray] = [*rng.normal(0, 3, (count, _SAMPLES))]
    rows: Any = np.column_stack(arrays)
    if _kind(steps[0]) == "ColumnTransformer" and len(steps) > 1:
        import pandas as pd  # Models with columns by name have it loaded.

        entry, examples = _columns(steps[0])
        rest = steps[1:-1]
        for place, values in examples.items():
            arrays[place] = rng.choice(values, _SAMPLES)
        rows = pd.DataFrame(dict(zip(steps[0].feature_names_in_, arrays, strict=True)))
    whole = _chained(entry, [_STAGES[_kind(step)](step) for step in rest])
    if prepare is not None and not _is_close(prepare(rows), whole(arrays)):
        return None
    ask = getattr(steps[-1], "predict_proba", steps[-1].predict)
    if not _is_close(ask(samples), final(samples)):
        return None
    return lambda columns: final(whole(columns))


def _kind(step: Any) -> str:  # noqa: ANN401 - foreign object
    """Return the name of an estimator of scikit-learn itself; a class derived from one is none."""
    kind = type(step)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else str(step)


def _is_close(theirs: Any, ours: Numbers) -> bool:  # noqa: ANN401 - an array, perhaps a sparse one
    dense = theirs.toarray() if hasattr(theirs, "toarray") else np.asarray(theirs)
    found = np.asarray(dense, dtype=np.float64)
    return found.shape == ours.shape and np.allclose(
        found, ours, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True
    )


def _matrix(columns: Arrays) -> Numbers:
    """Put columns of numbers side by side; infinities some steps refuse, others do not."""
    if isinstance(columns, np.ndarray):
        rows = columns.T  # Of float64.
    else:
        if any(column.dtype.kind not in "fib" for column in columns):
            raise UnusualError
        rows = np.array(columns, dtype=np.float64).T
    if np.isinf(rows).any():
        raise UnusualError
    return rows


def _columns(chosen: Any) -> tuple[Entry, dict[int, np.ndarray]]:  # noqa: ANN401 - foreign object
    """Return what does as a ColumnTransformer does, and values to try for columns of texts."""
    names = list(chosen.feature_names_in_)
    parts: list[tuple[list[int], Entry]] = []
    examples: dict[int, np.ndarray] = {}
    for _, step, columns in chosen.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        places = [names.index(one) if isinstance(one, str) else int(one) for one in columns]
        inner = [one for _, one in step.steps] if _kind(step) == "Pipeline" else [step]
        start: Entry = _matrix
        if texts := [at for at, one in enumerate(inner) if _kind(one) in _ENCODERS]:
            encoder = inner[texts[0]]
            # What fills gaps changes nothing where there are none; rows with gaps go elsewhere.
            if any(_kind(one) != "SimpleImputer" for one in inner[: texts[0]]):
                raise UnusualError
            start = _ENCODERS[_kind(encoder)](encoder)
            for place, values in zip(places, encoder.categories_, strict=True):
                examples[place] = np.array([one for one in values.tolist() if _is_there(one)])
                if examples[place].dtype.kind == "U":
                    examples[place] = examples[place].astype(object)
            inner = inner[texts[0] + 1 :]
        parts.append((places, _chained(start, [_STAGES[_kind(one)](one) for one in inner])))

    def entry(columns: Arrays) -> Numbers:
        blocks = [part([columns[place] for place in places]) for places, part in parts]
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks)

    return entry, examples


def _chained(start: Entry, stages: Sequence[Stage]) -> Entry:
    def through(columns: Arrays) -> Numbers:
        rows = start(columns)
        for stage in stages:
            rows = stage(rows)
        return rows

    return through


def _is_there(value: Any) -> bool:  # noqa: ANN401 - a category
    return value is not None and value == value  # NaN is not itself.


def _ordinal(encoder: Any) -> Entry:  # noqa: ANN401 - foreign object
    codes = _codes(encoder)
    if encoder.dtype is not np.float64:
        raise UnusualError
    is_open = encoder.handle_unknown == "use_encoded_value"
    unknown = float(encoder.unknown_value) if is_open else None
    return lambda columns: (
        np.array(
            [
                [_code(known, value, unknown) for value in column.tolist()]
                for known, column in zip(codes, columns, strict=True)
            ],
            dtype=np.float64,
        ).T
    )


def _one_hot(encoder: Any) -> Entry:  # noqa: ANN401 - foreign object
    codes = _codes(encoder)
    if encoder.drop_idx_ is not None or encoder.handle_unknown not in ("error", "ignore"):
        raise UnusualError
    starts = np.cumsum([0, *map(len, codes)]).tolist()
    width = starts.pop()
    unknown = -1.0 if encoder.handle_unknown == "ignore" else None

    def encode(columns: Arrays) -> Numbers:
        rows = np.zeros((len(columns[0]), width))
        for start, known, column in zip(starts, codes, columns, strict=True):
            for at, value in enumerate(column.tolist()):
                code = _code(known, value, unknown)
                if code >= 0:
                    rows[at, start + int(code)] = 1.0
        return rows

    return encode


def _codes(encoder: Any) -> list[dict[Any, float]]:  # noqa: ANN401 - foreign object
    if encoder._infrequent_enabled:
        raise UnusualError
    return [
        {value: float(code) for code, value in enumerate(values.tolist())}
        for values in encoder.categories_
    ]


def _code(known: Mapping[Any, float], value: Any, unknown: float | None) -> float:  # noqa: ANN401 - a cell
    code = known.get(value, unknown)
    if code is None or not _is_there(value):
        raise UnusualError
    return code


def _scaler(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    width = step.n_features_in_
    mean = step.mean_ if step.with_mean else np.zeros(width)
    scale = step.scale_ if step.with_std else np.ones(width)
    return lambda rows: (rows - mean) / scale


def _imputer(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    filled = np.asarray(step.statistics_, dtype=np.float64)
    if step.add_indicator or np.isnan(filled).any() or not np.isnan(step.missing_values):
        raise UnusualError
    return lambda rows: np.where(np.isnan(rows), filled, rows)


def _nothing(step: Any) -> Stage:  # noqa: ANN401 - foreign object
    """Pass rows on: what a ColumnTransformer makes of "passthrough" has no function."""
    if getattr(step, "func", None) is not None:
        raise UnusualError
    return lambda rows: rows


def _linear(model: Any) -> tuple[Stage, Numbers]:  # noqa: ANN401 - foreign object
    # Not at the top, before scikit-learn is imported as model_formats.py has it.
    from scipy.special import expit, softmax

    weights, start = np.asarray(model.coef_, np.float64).T, model.intercept_
    classes = len(getattr(model, "classes_", ()))

    def answer(rows: Numbers) -> Numbers:
        if np.isnan(rows).any():
            raise UnusualError
        scores: Numbers = rows @ weights + start
        if not classes:
            return scores
        if classes > 2:
            found: Numbers = softmax(scores, axis=1)
            return found
        found = np.empty((len(rows), 2))
        expit(scores.reshape(-1), out=found[:, 1])
        np.subtract(1.0, found[:, 1], out=found[:, 0])
        return found

    return answer, np.random.default_rng(0).normal(0, 3, (_SAMPLES, model.n_features_in_))


def _boosted(model: Any) -> tuple[Stage, Numbers]:  # noqa: ANN401 - foreign object
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

    def answer(rows: Numbers) -> Numbers:
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

    # Rows of values that trees part at, beside them, and none.
    rng, at = np.random.default_rng(0), np.zeros((_SAMPLES, model.n_features_in_))
    is_split = ~is_leaf & np.isfinite(nodes["num_threshold"])
    for place in range(model.n_features_in_):
        cuts = nodes["num_threshold"][is_split & (feature == place)]
        at[:, place] = rng.choice(cuts if len(cuts) else [0.0], _SAMPLES)
    beside = np.nextafter(at, rng.choice([-np.inf, np.inf], at.shape))
    rows = np.choose(rng.integers(3, size=at.shape), [at, beside, np.full(at.shape, np.nan)])
    return answer, rows


_ENCODERS: dict[str, Callable[[Any], Entry]] = {
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
}
_STAGES: dict[str, Callable[[Any], Stage]] = {
    "FunctionTransformer": _nothing,
    "SimpleImputer": _imputer,
    "StandardScaler": _scaler,
    "passthrough": _nothing,
}
_FINALS: dict[str, Callable[[Any], tuple[Stage, Numbers]]] = {
    "HistGradientBoostingClassifier": _boosted,
    "HistGradientBoostingRegressor": _boosted,
    "LinearRegression": _linear,
    "LogisticRegression": _linear,
    "Ridge": _linear,
}
