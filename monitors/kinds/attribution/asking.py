"""Calls a user's model with an Arrow table, a pandas data frame or a numpy array, as it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from driftline.classes import class_text
from driftline.errors import DriftlineError, InputError
from driftline.estimators.categories import categories_of, with_categories
from driftline.fitted import feature_count, feature_names, takes_texts
from driftline.monitors.check_context import Predictor
from driftline.signature import names_among

# What functions raise that are given rows in another form than they take.
OTHER_FORM = (TypeError, ValueError, AttributeError, LookupError)
Form = Callable[[pa.Table], object]
# In this order forms are tried.
FORMS: dict[str, Form] = {
    "an Arrow table": lambda rows: rows,
    "a pandas data frame": lambda rows: rows.to_pandas(),
    "a numpy array": lambda rows: rows.to_pandas().to_numpy(),
}


def taking_tables(predict: object, rows: pa.Table) -> Predictor:
    """Return a function of Arrow tables that passes rows to the model in the form it takes.

    A method of a fitted estimator, such as ``model.predict``, gets its own columns by name, or an
    array where it was fitted on one. Any other function is tried with a few of the rows. InputError
    when it takes none of the forms, or later, when the model raises.
    """
    if not callable(predict):
        method = "predict_proba" if hasattr(predict, "predict_proba") else "predict"
        raise InputError(
            f"predict= is no function, but {type(predict).__name__}; expected a function or a "
            f"method, such as predict=model.{method}"
        )
    form = form_of_estimator(getattr(predict, "__self__", None), rows.column_names)
    return _as_form(predict, form or _form_of(predict, rows.slice(0, 2)))


def form_of_estimator(estimator: object, columns: Sequence[str]) -> Form | None:
    """Return the form in which a fitted estimator takes these columns; None of others."""
    names = feature_names(estimator)
    if names is not None:
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


def classes_of(predict: Callable[..., object]) -> tuple[str, ...]:
    """Return the classes, in order, of the estimator whose probability method this is; else ().

    Outputs of other methods are no classes: labels of several outputs, scores of pairs of classes.
    """
    owner, name = getattr(predict, "__self__", None), getattr(predict, "__name__", "")
    found = getattr(owner, "classes_", None)
    if name not in ("predict_proba", "predict_log_proba") or not isinstance(found, np.ndarray):
        return ()
    return tuple(class_text(one) for one in found.tolist()) if found.ndim == 1 else ()


def _form_of(predict: Callable[..., object], rows: pa.Table) -> Form:
    """Return the first form of some rows for which a function returns one output per row."""
    # A heavy import that only a model needs; other indexes are none of its LookupErrors.
    from pandas.errors import InvalidIndexError

    errors = []
    for name, form in FORMS.items():
        try:
            answers = np.asarray(predict(form(rows)))
        except (*OTHER_FORM, InvalidIndexError) as error:
            errors.append(f"{name} ({str(error).partition(chr(10))[0]:.120})")
            continue
        except Exception as error:
            if form is not FORMS["an Arrow table"]:  # LightGBM refuses it by an error of its own.
                raise refusal(error) from error
            errors.append(f"{name} ({error!s:.120})")
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


def _as_form(predict: Callable[..., object], form: Form) -> Predictor:
    def asked(rows: pa.Table) -> np.ndarray:
        try:
            return np.asarray(predict(form(rows)))
        except Exception as error:
            raise refusal(error) from error

    return asked


def refusal(error: Exception) -> DriftlineError:
    """Return the error of a model that raised, such as on a missing value."""
    if isinstance(error, DriftlineError):  # Of a client that it uses.
        return error
    told = str(error).partition("\n")[0]
    return InputError(f"the model refused the rows: {type(error).__name__}: {told:.300}")
