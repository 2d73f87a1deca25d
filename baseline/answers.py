"""Labels and predictions, read from rows by their roles; rows without a label are skipped.

Classes are compared as text: "1" equals 1 and 1.0. A missing prediction is derived from the
probability.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.foreign_values import foreign_classes, named_values, words_for_numbers
from driftline.baseline.outcomes import class_texts, held_classes, kept_columns
from driftline.baseline.pairing import require_common_classes, require_numbers
from driftline.baseline.positive import require_positive
from driftline.baseline.predicate import UNFIT
from driftline.classes import class_order, classes_of_columns, known_classes, merged_classes
from driftline.errors import InputError
from driftline.formats.coercion import MISSING, coerce, from_array
from driftline.roles import Problem, Roles
from driftline.stats.blocks import NO_TIME

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]

# More are no classes but an identifier, or free text.
MAX_CLASSES = 1_000
# Values of a regression whose squares, and the squares of these, a double still holds.
LARGEST = 1e70
# So many times what labels and predictions usually are is a fault.
ABSURD = 1e6
# Up to so far beyond 0 and 1 is rounding; further out it is a score, not a probability.
ROUNDING = 1e-6
# From this part of a reference's scores, and of its values, on those outside 0 to 1 are no faults.
FEW = 0.01
ANY = (-LARGEST, LARGEST)
NO_PROBABILITIES = "the scores are not probabilities between 0 and 1"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The labelled rows with a prediction."""

    problem: Problem
    # Shape (rows,): places in `classes`, or values for a regression; the positive class is 1.
    label: NDArray[np.generic]
    answer: NDArray[np.generic]
    classes: tuple[str, ...]  # In order; of two the positive one last. Empty for a regression.
    # Of the positive class, shape (rows,), or of each class, shape (rows, classes).
    probability: Numbers | None
    # Microseconds since 1970-01-01T00:00Z, shape (rows,), NO_TIME of a row without one; None where
    # no row has a time.
    time_us: NDArray[np.int64] | None
    unanswered: int  # Labelled rows that have neither answer nor probability: they are left out.
    places: Codes  # Where the rows lie in the table that they were read from, shape (rows,).
    positive_reason: str = ""  # Why the positive class is that, where no role names it.
    # Where predictions lie, or probabilities; what lies beyond is left out, too, and counted.
    limits: tuple[float, float] = ANY
    impossible: int = 0  # Labelled rows whose prediction lies beyond the limits, or is infinite.
    unfit: int = 0  # Rows whose label is no number, for a regression.
    texts: str = ""  # Words in place of numbers, by which some have no answer.
    unknown: int = 0  # Rows whose label or answer is no class of the reference.
    unknown_words: str = ""
    # When those without answer were, shape (unanswered,), as `time_us`.
    unanswered_us: NDArray[np.int64] | None = None
    weight: Numbers | None = None  # How much each counts, above 0, shape (rows,); None: all alike.
    unweighed: int = 0  # Labelled rows whose weight is missing, negative or infinite.
    weightless: int = 0  # Those whose weight is 0, which count nothing.
    # Quantiles of the label, shape (rows, levels), and their levels, rising; None without.
    quantiles: Numbers | None = None
    levels: tuple[float, ...] = ()

    @property
    def labelled_count(self) -> int:
        """Rows of the data that have a label."""
        left_out = self.unanswered + self.impossible + self.unweighed + self.weightless
        return len(self) + left_out

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.generic] | slice) -> Answers:
        """Return some of the rows, by mask, indices or slice."""
        return replace(
            self,
            label=self.label[rows],
            answer=self.answer[rows],
            probability=None if self.probability is None else self.probability[rows],
            time_us=None if self.time_us is None else self.time_us[rows],
            places=self.places[rows],
            weight=None if self.weight is None else self.weight[rows],
            quantiles=None if self.quantiles is None else self.quantiles[rows],
        )


def needed_columns(roles: Roles, names: Sequence[str]) -> None:
    """Check that there are labels and something to compare them with."""
    if roles.label is None or (roles.prediction is None and not roles.probability):
        what = "label" if roles.label is None else "prediction or probability"
        raise InputError(
            f"model quality: no {what} is named; give label, and prediction or probability"
        )
    for role, name in (
        ("label", roles.label),
        ("prediction", roles.prediction),
        *(("probability", name) for name in roles.probability),
        *(("quantile", name) for name in roles.quantile_columns),
    ):
        if name is not None and name not in names:
            raise InputError(f'{role} "{name}": the data has no such column; it is needed here')
    if roles.weight is not None and roles.weight not in names:
        raise InputError(
            f'weight "{roles.weight}": the data has no such column; rows that are judged beside a '
            "reference with weights need theirs, as any other column of a request"
        )


def read_answers(
    table: pa.Table,
    roles: Roles,
    problem: Problem,
    classes: Sequence[str] = (),
    chances: Mapping[str, str] | None = None,
    reference: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    *,
    any_label: bool = False,
) -> Answers:
    """Read the labelled rows; predictions have the limits of the reference's, or their own.

    With `any_label`, read all rows, for metrics of predictions alone: a row without a label gets a
    known class, or 0.
    """
    needed_columns(roles, table.column_names)
    assert roles.label is not None  # It was checked just now.
    if any_label:
        place = table.column_names.index(roles.label)
        table = table.set_column(place, roles.label, _labels_of_all(table[roles.label], classes))
    kept = np.flatnonzero(is_labelled(table[roles.label], problem))
    named = {*kept_columns(roles), "event_time", UNFIT}
    rows = table.select([name for name in table.column_names if name in named])
    if len(kept) < len(table):
        rows = rows.take(pa.array(kept))
    if problem != "regression":
        labels, said = held_classes(rows, roles.label), held_classes(rows, roles.prediction)
        require_common_classes(labels, said, roles, problem, reference)
    if problem == "regression":
        require_numbers(rows[roles.label], "label", roles.label)
        if roles.prediction is not None and pa.types.is_boolean(rows[roles.prediction].type):
            require_numbers(rows[roles.prediction], "prediction", roles.prediction)
        label, answer = _amounts(rows, roles.label), _numbers(rows, roles.prediction)
        found = Answers(problem, label, answer, (), None, read_times(rows, roles), 0, kept)
        if roles.quantiles:
            quantiles = np.column_stack([_numbers(rows, one) for one in roles.quantile_columns])
            found = replace(found, quantiles=quantiles, levels=roles.levels)
        known = _known(found)
    elif problem == "binary":
        found, known = _binary(rows, roles, classes, chances or {}, kept)
    else:
        found, known = _multiclass(rows, roles, classes, chances or {}, kept)
    numbers = roles.probability
    if problem == "regression" and not numbers:
        numbers = tuple(dict.fromkeys((str(roles.prediction), *roles.quantile_columns)))
    # Where a class has several names, it is not known here which column's the reference holds.
    told = () if roles.also_positive else reference
    unknown, classes_words = foreign_classes(rows, replace(roles, problem=problem), told)
    texts = words_for_numbers(rows, numbers)
    answers = replace(
        found, weight=_weights(rows, roles), texts=named_values(texts), unknown=unknown,
        unknown_words=named_values(classes_words),
    )  # fmt: skip
    return _usable(answers, known, limits)


def is_labelled(column: pa.ChunkedArray, problem: Problem) -> NDArray[np.bool_]:
    """Return which rows have a label, shape (rows,)."""
    present = column.is_valid()
    if problem in ("binary", "multiclass"):
        present = class_texts(column).is_valid()
    elif pa.types.is_floating(column.type):
        present = pc.and_(present, pc.invert(pc.is_nan(column)))
    elif problem == "regression" and pa.types.is_string(column.type):
        # A text such as "n/a" is no label yet, and none that is no number.
        present = pc.and_(present, pc.invert(pc.is_in(pc.utf8_trim_whitespace(column), MISSING)))
    return np.asarray(pc.fill_null(present, False), np.bool_)


def _labels_of_all(column: pa.ChunkedArray, classes: Sequence[str]) -> pa.Array:
    if not classes:
        return pa.array(np.zeros(len(column)))
    if pa.types.is_null(column.type):
        return pa.array([classes[-1]] * len(column))
    return class_texts(column).dictionary_decode().fill_null(classes[-1])


def _usable(
    found: Answers, known: NDArray[np.bool_], limits: tuple[float, float] | None
) -> Answers:
    """Leave out the rows that no metric can use, and count them by their fault."""
    is_label = np.ones(len(found), dtype=np.bool_)
    numbers = found.probability
    low, high = limits or _limits(found)
    if found.problem == "regression":
        is_label = np.abs(found.label.astype(np.float64)) <= high
        numbers = _told(found)
    possible = known
    if numbers is not None:
        inside = (numbers >= low) & (numbers <= high)
        possible = known & (inside if inside.ndim == 1 else inside.all(axis=1))
    lacking, fit = is_label & ~known, is_label & possible
    unweighed = weightless = np.zeros(len(found), dtype=np.bool_)
    if found.weight is not None:
        unweighed = fit & ~(np.isfinite(found.weight) & (found.weight >= 0.0))
        weightless = fit & (found.weight == 0.0)
    kept = found.take(fit & ~unweighed & ~weightless)
    if kept.time_us is not None and (kept.time_us == NO_TIME).all():
        kept = replace(kept, time_us=None)
    return replace(
        kept,
        unweighed=int(np.count_nonzero(unweighed)),
        weightless=int(np.count_nonzero(weightless)),
        unanswered=int(np.count_nonzero(lacking)),
        unanswered_us=None if found.time_us is None else found.time_us[lacking],
        impossible=int(np.count_nonzero(is_label & known & ~possible)),
        unfit=int(np.count_nonzero(~is_label)),
        limits=(low, high),
    )


def _limits(found: Answers) -> tuple[float, float]:
    """Return the limits of predictions: from their usual sizes, or [0, 1] for probabilities.

    Other scores may be any finite number.
    """
    if found.problem == "regression":
        most = ABSURD * _usual_size(found)
        return (-most, most) if most else ANY
    scores = np.zeros(0) if found.probability is None else found.probability
    if is_other_scale(scores[np.isfinite(scores)]):
        return ANY
    return -ROUNDING, 1.0 + ROUNDING


def is_other_scale(scores: Numbers) -> bool:
    """Whether scores are no probabilities: 1% of rows, and of distinct values, lie outside.

    In a reference, -1 in any number of rows is a fault of these rows, as is any value in a few.
    """
    far, parts = scores[outside(scores)], (scores, np.unique(scores))
    is_some = len(far) > 0 and all(outside(one).mean() >= FEW for one in parts)
    return is_some and not _is_code(far, scores)


def _is_code(far: Numbers, scores: Numbers) -> bool:
    """Whether one whole number, such as -1, stands for "no score" in up to half of the rows.

    Where no score lies between 0 and 1, it is no such code: -1 and 1 are signs.
    """
    is_one = far.min() == far.max() and float(far[0]).is_integer()
    is_inside = (scores > 0.0) & (scores < 1.0)
    return is_one and 2 * len(far) <= len(scores) and bool(is_inside.any())


def outside(scores: Numbers) -> NDArray[np.bool_]:
    """Return which rows have a score outside 0 to 1, shape (rows,)."""
    found = (scores < -ROUNDING) | (scores > 1.0 + ROUNDING)
    return np.asarray(found if found.ndim == 1 else found.any(axis=1))


def _usual_size(found: Answers) -> float:
    """Return the usual upper size of a regression's labels and predictions; 0 without any.

    The smaller side's size counts, because one side may be faulty (labels in nanoseconds). Sizes
    are absolute values of rows in which both sides are known and not 0, since most amounts of
    claims are 0. Where such rows are few, a value that most of a side's nonzero values reach is no
    fault.
    """
    sizes = np.column_stack([found.label.astype(np.float64), _told(found)])
    sides = [np.abs(sizes[:, 0]), np.fmax.reduce(np.abs(sizes[:, 1:]), axis=1)]
    fit = [(side > 0.0) & (side <= LARGEST) for side in sides]
    both = fit[0] & fit[1]
    top = [
        np.quantile(side[among], 0.99)
        for side, among in zip(sides, [both] * 2 if both.any() else fit, strict=True)
        if among.any()
    ]
    half = [  # More than half: where as many are sound, these are.
        np.quantile(side[among], 0.5, method="lower")
        for side, among in zip(sides, fit, strict=True)
        if among.any()
    ]
    return float(max([min(top, default=0.0), *half]))


def _binary(
    rows: pa.Table,
    roles: Roles,
    classes: Sequence[str],
    chances: Mapping[str, str],
    kept: Codes,
) -> tuple[Answers, NDArray[np.bool_]]:
    known_texts = _merged(rows, roles, classes)
    label = _classes(rows[roles.label], known_texts)
    said = _classes(rows[roles.prediction], known_texts) if roles.prediction is not None else None
    seen = class_order(known_texts)
    positives = known_classes(roles.positives, seen)
    reason = ""
    if not positives and seen:
        chosen = require_positive(seen, roles)
        positives, reason = (chosen.value,), chosen.reason
    positives = positives or ("1",)
    positive = positives[0]
    negative = _negative(classes, seen, held_classes(rows, roles.label), positives)
    probability = None
    known: NDArray[np.bool_] = np.zeros(len(kept), dtype=np.bool_)
    answer: Codes = np.zeros(len(kept), dtype=np.intp)
    if roles.probability:
        name = roles.probability[-1]
        if len(roles.probability) > 1:
            of = _of_columns(roles, (negative, positive), chances)
            by_class = dict(zip(of, roles.probability, strict=True))
            name = next((by_class[one] for one in positives if one in by_class), name)
        probability = _numbers(rows, name)
        known = ~np.isnan(probability)
        answer = (probability > roles.positive_above).astype(np.intp)
    if said is not None:
        given = said.is_valid().to_numpy(zero_copy_only=False)
        answer = np.where(given, _is(said, positives), answer).astype(np.intp)
        # A row without probability cannot be ranked with the others, and one without prediction
        # is an answer that got lost, whatever a threshold would make of its probability.
        known = known & given if probability is not None else given
    truth = _is(label, positives).astype(np.intp)
    both = (negative, positive)
    times = read_times(rows, roles)
    return Answers("binary", truth, answer, both, probability, times, 0, kept, reason), known


def _multiclass(
    rows: pa.Table,
    roles: Roles,
    classes: Sequence[str],
    chances: Mapping[str, str],
    kept: Codes,
) -> tuple[Answers, NDArray[np.bool_]]:
    if chances and not classes:
        classes = class_order(chances[name] for name in roles.probability if name in chances)
    order = _merged(rows, roles, classes)
    if len(order) > MAX_CLASSES:
        raise InputError(
            f'label "{roles.label}": {len(order):,} different answers and labels; of classes there '
            f"are at most {MAX_CLASSES:,}; numbers are of a regression"
        )
    label = _classes(rows[roles.label], order)
    said = _classes(rows[roles.prediction], order) if roles.prediction is not None else None
    probability = None
    known: NDArray[np.bool_] = np.zeros(len(kept), dtype=np.bool_)
    answer: Codes = np.full(len(kept), -1, dtype=np.intp)
    if len(roles.probability) > 1:
        columns = {
            one: _numbers(rows, name)
            for name, one in zip(
                roles.probability, _of_columns(roles, classes or order, chances), strict=True
            )
        }
        order = (*order, *(name for name in columns if name not in order))
        # The model knows no class that came later: it gave it no chance.
        never = np.zeros(len(kept))
        probability = np.column_stack([columns.get(one, never) for one in order])
        known = np.asarray(~np.isnan(probability).any(axis=1))
        answer = np.where(known, np.nan_to_num(probability).argmax(axis=1), answer)
    if said is not None:
        given = said.is_valid().to_numpy(zero_copy_only=False)
        answer = np.where(given, _places(said, order), answer)
        known = known & given if probability is not None else given
    times = read_times(rows, roles)
    truth = _places(label, order)
    return Answers("multiclass", truth, answer, order, probability, times, 0, kept), known


def _of_columns(
    roles: Roles, classes: Sequence[str], chances: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the class of each column of probabilities."""
    names = roles.probability
    if set(names) <= set(chances):
        return tuple(chances[name] for name in names)
    found = classes_of_columns(names, classes)
    if found is None:
        raise InputError(
            f"{len(names)} columns of probabilities for {len(classes)} classes "
            f"({', '.join(classes[:8])}); expected one for each, in this order"
        )
    return found


def _classes(column: pa.ChunkedArray, known: Sequence[str]) -> pa.DictionaryArray:
    """Write values as classes; an unknown text may be a known class's number: "1.0"."""
    texts = class_texts(column)
    meant = known_classes(texts.dictionary.to_pylist(), known)
    return pa.DictionaryArray.from_arrays(texts.indices, pa.array(meant, pa.string()))


def _merged(rows: pa.Table, roles: Roles, known: Sequence[str]) -> tuple[str, ...]:
    """Return the known classes, then unknown ones of labels and predictions."""
    named = [name for name in (roles.label, roles.prediction) if name is not None]
    texts = [one for name in named for one in class_texts(rows[name]).dictionary.to_pylist()]
    return merged_classes(texts, known)


def _is(texts: pa.DictionaryArray, wanted: Collection[str]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (
        _lookup(texts, [one in wanted for one in texts.dictionary.to_pylist()]) == 1
    )
    return found


def _negative(
    known: Sequence[str], seen: Sequence[str], labels: Sequence[str], positives: Sequence[str]
) -> str:
    """Return the other class: the reference's, the only other one, or the labels' only one."""
    if len(others := [one for one in known if one not in positives]) == 1:
        return others[0]  # A third one counts as it does, and is told by its own name.
    others = [one for one in seen if one not in positives]
    if len(others) > 1:
        own = set(known_classes(labels, seen))
        others = [one for one in others if one in own] or others
    return others[0] if len(others) == 1 else (f"not {positives[0]}" if others else "0")


def _places(texts: pa.DictionaryArray, order: Sequence[str]) -> Codes:
    place = {name: index for index, name in enumerate(order)}
    return _lookup(texts, [place[one] for one in texts.dictionary.to_pylist()])


def _lookup(texts: pa.DictionaryArray, values: Sequence[int]) -> Codes:
    """Return the value of each row's entry; -1 where the row has none."""
    codes = pc.fill_null(texts.indices, len(values)).to_numpy(zero_copy_only=False)
    table = np.array([*values, -1], dtype=np.intp)
    found: Codes = table[codes.astype(np.intp)]
    return found


def _told(found: Answers) -> Numbers:
    """Return all predicted numbers of a regression's rows: prediction and quantiles."""
    answer = found.answer.astype(np.float64)
    return answer if found.quantiles is None else np.column_stack([answer, found.quantiles])


def _known(found: Answers) -> NDArray[np.bool_]:
    """Return which rows of a regression have a prediction, and all quantiles, shape (rows,)."""
    told = _told(found)
    missing = np.isnan(told) if told.ndim == 1 else np.isnan(told).any(axis=1)
    known: NDArray[np.bool_] = np.asarray(~missing)
    return known


def _numbers(rows: pa.Table, name: str | None) -> Numbers:
    """Read a column as numbers; NaN where a value is missing or no number."""
    if name is None:
        raise InputError("model quality: a regression needs the predicted value; give prediction")
    column = rows[name].combine_chunks()
    return _as_floats(coerce(column, "double")[0])


def _amounts(rows: pa.Table, label: str) -> Numbers:
    """Read the labels of a regression; true and false are no amounts."""
    column = rows[label].combine_chunks()
    return _as_floats(from_array(column, "double", are_amounts=True).values)


def _as_floats(values: pa.Array) -> Numbers:
    found: Numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def _weights(rows: pa.Table, roles: Roles) -> Numbers | None:
    """Read the rows' weights, NaN where missing; None where all rows count once."""
    return None if roles.weight is None else _numbers(rows, roles.weight)


def read_times(rows: pa.Table, roles: Roles) -> NDArray[np.int64] | None:
    """Read the rows' times, NO_TIME where missing; None where no row has one."""
    times = [
        coerce(rows[name].combine_chunks(), "timestamp")[0]
        for name in dict.fromkeys(("event_time", roles.timestamp)) if name in rows.column_names
    ]  # fmt: skip
    values = pc.coalesce(*times) if times else pa.array([], pa.int64())
    if values.null_count == len(values):
        return None
    return np.asarray(pc.fill_null(pc.cast(values, pa.int64()), NO_TIME))
