"""The user's own metrics: plain functions of labels and predictions."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.errors import InputError
from driftline.monitors.kinds.model_quality.values import (
    NO_ROWS,
    Measure,
    Numbers,
    relative_weights,
    undefined,
)
from driftline.monitors.rules.reach import (
    EVERYTHING,
    FUNCTION,
    Reach,
    defect,
    load_function,
    printing_aside,
)
from driftline.monitors.rules.rule import nearest

GROUP = "driftline.metrics"
# By name: functions that need no package of one's own.
METRICS = {
    "average_precision_score": "sklearn.metrics:average_precision_score",
    "cohen_kappa_score": "sklearn.metrics:cohen_kappa_score",
    "matthews_corrcoef": "sklearn.metrics:matthews_corrcoef",
    "mean_pinball_loss": "sklearn.metrics:mean_pinball_loss",
    "mean_poisson_deviance": "sklearn.metrics:mean_poisson_deviance",
}
DIRECTIONS = {"higher": True, "lower": False}
# As scikit-learn names functions (its guide, "Metrics and scoring").
HIGHER, LOWER = ("_score", "_corrcoef"), ("_error", "_loss", "_deviance")
# Parameters that take scores, as driftline and as scikit-learn call them.
SCORES = ("scores", "y_score", "y_proba", "y_prob", "pred_decision")
EXPECTED = "expected a function f(labels, predictions), FILE.py:FUNCTION, or an installed metric"
# Parameters that take how much each row counts, as scikit-learn calls them first.
WEIGHTS = ("sample_weight", "weights", "weight")
Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """One metric of the user's own.

    ``is_higher_better`` is None where unknown: a change to either side is then a violation. ``why``
    is the reason for a missing function. ``discreet``: errors quote nothing, which might be a row.
    ``listed`` is the text that a baseline stores.
    """

    name: str
    function: Function | None
    is_higher_better: bool | None = None
    why: str = ""
    discreet: bool = False
    listed: str = ""

    def measure(self, answers: Answers) -> Measure:
        """Measure some rows."""
        if self.function is None or not len(answers):
            return undefined(self.why or NO_ROWS)
        call = MetricCall(self.function, self.discreet, answers)
        if call.lacks_scores:
            return undefined(f"{self.name} takes scores, and the answers have none")
        if call.lacks_weights:
            return undefined(f"{self.name} has no parameter {WEIGHTS[0]}, and rows have weights")
        try:
            value = call(slice(None))
        except FailedError as error:
            return undefined(f"{self.name} failed: {error}")
        if not math.isfinite(value):
            return undefined(f"{self.name} returned {value}; expected a finite number")
        return Measure(value)


def read_metrics(given: object, reach: Reach = EVERYTHING) -> tuple[OwnMetric, ...]:
    """Read the caller's metrics: functions, texts, and mappings of names to these."""
    if given is None:
        return ()
    if isinstance(given, str) or callable(given):
        given = [given]
    if isinstance(given, Mapping):
        pairs: list[tuple[str | None, object]] = [*given.items()]
    elif isinstance(given, Iterable):
        pairs = [
            pair
            for one in given
            for pair in ([*one.items()] if isinstance(one, Mapping) else [(None, one)])
        ]
    else:
        raise InputError(f"metrics {given!r:.60}; {EXPECTED}")
    found = [_metric(name, one, reach) for name, one in pairs]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f'metric "{name}" is given twice; name them: metrics={{NAME: f}}')
    return tuple(found)


def stored_metrics(
    listed: Sequence[str], given: Sequence[OwnMetric], reach: Reach
) -> tuple[OwnMetric, ...]:
    """Return the caller's metrics, then those that a baseline lists.

    An unavailable one keeps its reason, so that the others are measured.
    """
    found = {one.name: one for one in given}
    for text in listed:
        name = name_of(text)
        if name in found:
            continue
        try:
            found[name] = _metric(None, text, reach)
        except InputError as error:
            found[name] = OwnMetric(name, None, why=str(error))
    return tuple(found.values())


def name_of(text: str) -> str:
    """Return the name of a metric that is listed: ``f`` of ``FILE.py:f=higher``."""
    plain = text.partition("=")[0]
    return plain.rpartition(":")[2] if FUNCTION.fullmatch(plain) else plain


def _metric(name: str | None, given: object, reach: Reach) -> OwnMetric:
    """Make one metric of a function or a text."""
    if isinstance(given, str):
        text, sign, direction = given.partition("=")
        if sign and direction not in DIRECTIONS:
            raise InputError(f'metric "{given}": "{direction}"; expected =higher or =lower')
        function, called = _named(text, reach), name_of(text)
    elif callable(given):
        function, sign, direction = cast("Function", given), "", ""
        called = getattr(getattr(given, "func", given), "__name__", type(given).__name__)
    else:
        raise InputError(f"metric {given!r:.60}; {EXPECTED}")
    named = str(name or called)
    if not named.isidentifier():
        raise InputError(
            f'metric "{named}": no name for a metric; expected letters, digits and _; give one: '
            "metrics={NAME: f}"
        )
    is_higher = DIRECTIONS[direction] if sign else _direction(function, called)
    listed = given if isinstance(given, str) and named == called else named
    return OwnMetric(named, function, is_higher, discreet=reach.discreet, listed=listed)


def _named(text: str, reach: Reach) -> Function:
    """Return the function of a file, of our table, or of an installed package."""
    if FUNCTION.fullmatch(text):
        return load_function(reach, text, "metric", "f(labels, predictions)")
    if text in METRICS:
        module, _, attribute = METRICS[text].partition(":")
        return cast("Function", getattr(import_module(module), attribute))
    points = list(entry_points(group=GROUP, name=text))
    if not points:
        known = (*METRICS, *sorted({one.name for one in entry_points(group=GROUP)}))
        raise InputError(
            f'metric "{text}": no such metric{nearest(text, known)}; {EXPECTED} (entry points '
            f'"{GROUP}"); a function of a program is given to each check: metrics=[{text}]'
        )
    try:
        with printing_aside():
            found = points[0].load()
    except (Exception, SystemExit) as error:  # Foreign code: what it raises is its defect.
        raise InputError(
            f'metric "{text}": {points[0].value} cannot be loaded '
            f"({defect(error, discreet=reach.discreet)}); mend or remove its package"
        ) from error
    if not callable(found):
        raise InputError(f'metric "{text}": {points[0].value} is no function; expected one')
    return cast("Function", found)


def _direction(function: Function, name: str) -> bool | None:
    """Whether larger is better, by the function's declaration or name; None: unknown."""
    inner = getattr(function, "func", function)  # Of a partial.
    said = getattr(function, "greater_is_better", getattr(inner, "greater_is_better", None))
    if isinstance(said, bool):
        return said
    return True if name.endswith(HIGHER) else False if name.endswith(LOWER) else None


class FailedError(Exception):
    """A function has raised, or returned no number."""


class MetricCall:
    """Calls a function on some rows, with the arguments that its parameters request."""

    def __init__(self, function: Function, discreet: bool, *parts: Answers) -> None:
        self._function, self._discreet = function, discreet
        columns = zip(*map(_columns, parts), strict=True)
        self._columns: list[NDArray[np.generic]] = [np.concatenate(one) for one in columns]
        self._named: dict[str, Numbers | None] = {}
        names, scores = _parameters(function), _joined([_scores(one) for one in parts])
        is_second = len(names) > 1 and names[1] in SCORES
        self.lacks_scores = is_second and scores is None
        if is_second and scores is not None:
            self._columns[1] = scores
        elif asked := [one for one in SCORES if one in names]:
            self._named[asked[0]] = scores
        takes = [one for one in WEIGHTS if one in names]
        weight = _joined([one.weight for one in parts])
        self.lacks_weights = relative_weights(weight) is not None and not takes
        if relative_weights(weight) is not None and takes:
            self._named[takes[0]] = weight

    def __call__(self, rows: NDArray[np.bool_] | slice) -> float:
        """Return the metric of some rows; the function gets copies that it may change."""
        columns = [one[rows].copy() for one in self._columns]
        named = {
            name: None if one is None else one[rows].copy() for name, one in self._named.items()
        }
        try:
            with printing_aside():
                found = self._function(*columns, **named)
                if isinstance(found, np.ndarray) and found.ndim == 0:
                    found = found[()]
                if isinstance(found, numbers.Real):
                    return float(found)
                shown = type(found).__name__ if self._discreet else f"{found!r:.60}"
        except (Exception, SystemExit) as error:  # Foreign code: whatever it raises is its defect.
            raise FailedError(defect(error, discreet=self._discreet)) from error
        raise FailedError(f"it returned {shown}; expected a number")


def _joined(parts: Sequence[Numbers | None]) -> Numbers | None:
    """Put the columns of all parts behind one another; None where one has none."""
    found = [one for one in parts if one is not None]
    return np.concatenate(found) if len(found) == len(parts) else None


def _parameters(function: Function) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # Some functions written in C do not tell.
        return []


def _columns(answers: Answers) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return labels and predictions: 1 for the positive class of two, classes, or numbers."""
    if answers.problem == "regression":
        return answers.label.astype(np.float64), answers.answer.astype(np.float64)
    if answers.problem == "binary":
        return answers.label.astype(np.int64), answers.answer.astype(np.int64)
    names = _class_values(answers)
    return names[answers.label.astype(np.intp)], names[answers.answer.astype(np.intp)]


def _class_values(answers: Answers) -> NDArray[np.generic]:
    """Return the classes in the labels' form: numbers where all are, else texts."""
    whole = all(one.isascii() and one.removeprefix("-").isdecimal() for one in answers.classes)
    return np.array([int(one) for one in answers.classes] if whole else answers.classes)


def _scores(answers: Answers) -> Numbers | None:
    """Return scores: of the positive class, or a column for each class in sorted order."""
    if answers.probability is None or answers.probability.ndim == 1:
        return answers.probability
    return answers.probability[:, np.argsort(_class_values(answers))]
