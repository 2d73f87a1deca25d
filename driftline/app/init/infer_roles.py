"""What the columns of a data set are probably for, each guess with its reason in one line.

Names and values are looked at, never a model's taste: whoever reads the reasons can tell at once
which guess is wrong, and says it better by a flag. A wrong guess costs more than a missing one, so
what is not clear stays a feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from driftline.app.init.column_inspection import ColumnFacts, look_at
from driftline.app.init.infer_quantiles import are_quantiles, named_quantiles
from driftline.baseline.origin import OF_KEY, origin_reason
from driftline.baseline.outcomes import MAX_FACET_NUMBERS
from driftline.baseline.positive import choose_positive, positive_question
from driftline.baseline.schema import find_column
from driftline.errors import InputError
from driftline.formats.source import Source
from driftline.roles import Facet, Problem, Roles

SAMPLE_ROWS = 200_000
# As signatures list classes (baseline/fit.py); more values than these are no classes.
MAX_CLASSES = 50
MAX_INTEGER_CLASSES = 10
MIN_UNIQUE_ROWS = 20
# Codes come again and again: so many rows for each of them.
MIN_REPEATS = 10
# Ids of few things (shops, states) are classes like others; of many (customers) they only grow.
MANY_IDS = 0.1

_LABELS = frozenset(("label", "target", "truth", "outcome"))
_LABEL_NAMES = frozenset(("y", "class", "actual", "y_true", "ground_truth"))
_ASKED_FOR = frozenset(("churn", "churned", "fraud", "survived", "diagnosis"))
_PREDICTIONS = frozenset(("prediction", "predicted", "predictions", "pred", "yhat", "forecast"))
# What a label is called beside what is predicted: `is_late`, `defaulted`, `cancelled`, `returns`.
_HAPPENED = frozenset(("actual", "actually", "did", "has", "is", "observed", "real", "true", "was"))
_ENDING = re.compile(r"(?<=\w{3})(?:ed|ing|es|e|s)$")
_DOUBLED = re.compile(r"([^aeiou])\1$")
_PROBABILITIES = frozenset(
    ("probability", "probabilities", "proba", "prob", "score", "scores", "confidence", "likelihood")
)
IDS = frozenset(("id", "uuid", "guid", "key"))
_CODES = frozenset(
    (
        "branch", "category", "channel", "code", "department", "district", "kind", "method", "mode",
        "plan", "region", "segment", "shop", "site", "status", "store", "tier", "type", "zone",
    )
)  # fmt: skip
_EVENT_TIMES = frozenset(("event", "timestamp", "time", "datetime", "ts", "when", "at", "created"))
_BIRTHS = frozenset(("birth", "birthday", "birthdate", "dob", "born"))
_FACETS = frozenset(
    (
        "sex", "gender", "age", "race", "ethnicity", "ethnic", "country", "nationality",
        "citizenship", "religion", "marital", "disability", "disabled", "language",
    )
)  # fmt: skip
# How a column for a role is looked for: its name and the reason.
_Look = Callable[[], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Guess:
    """What one column, or one value, is taken for, and why; ``is_given`` when the user said it."""

    role: str
    value: str
    reason: str
    is_given: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "role": self.role, "value": self.value, "reason": self.reason, "given": self.is_given,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Guessed:
    """The roles that came out, and how."""

    roles: Roles
    guesses: tuple[Guess, ...]


def guess_roles(source: Source, given: Roles) -> Guessed:
    """Guess what the columns of opened data are for."""
    batches: list[pa.RecordBatch] = []
    for batch in source.batches():
        batches.append(batch)
        if sum(one.num_rows for one in batches) >= SAMPLE_ROWS:
            break
    sample = pa.Table.from_batches(batches, source.schema)
    if not sample.num_rows:
        raise InputError("the data holds no rows; expected at least one")
    return _Guessing(sample, given, source.partitions).result()


def _stems(words: Collection[str]) -> frozenset[str]:
    """Return a name's words without endings, and without those that only say that it happened."""
    stems = (_ENDING.sub("", word) for word in words if word not in _HAPPENED)
    return frozenset(_DOUBLED.sub(r"\1", stem) for stem in stems)


class _Guessing:
    """Goes through the roles in the order in which one helps to see the next."""

    def __init__(self, sample: pa.Table, given: Roles, partitions: Collection[str]) -> None:
        self._sample = sample
        self._partitions = partitions
        self._given = given
        self._facts = {name: look_at(name, sample[name]) for name in sample.column_names}
        self._free = dict(self._facts)
        self._found: list[Guess] = []
        self._forecast: tuple[str, str] | None = None  # What quantiles are of, and why.

    def result(self) -> Guessed:
        """Guess everything that is not given."""
        given = self._given
        self._take_given()
        timestamp = self._one("timestamp", given.timestamp, self._timestamp)
        quantiles = given.quantiles or self._quantiles()
        median = dict(quantiles).get(0.5)
        prediction = self._one("prediction", given.prediction, lambda: self._prediction(median))
        probability = self._probability()
        label = self._one("label", given.label, lambda: self._label(prediction))
        id_column = self._one("id", given.id_column, self._id)
        roles = replace(
            given,
            label=label,
            prediction=prediction,
            probability=probability,
            id_column=id_column,
            timestamp=timestamp,
            exclude=(*given.exclude, *self._excluded()),
            categorical=(*given.categorical, *self._codes()),
            quantiles=quantiles,
        )
        answer = self._facts.get(label or prediction or "")
        if answer is not None:
            problem = self._problem(answer, roles)
            roles = replace(roles, problem=problem, positive=self._positive(answer, problem, roles))
        # Without a positive class a monitor of bias would be refused, with all else in the file.
        if roles.positive is None and given.facets and (answer is not None or probability):
            question = positive_question(roles, answer.values if answer is not None else ())
            asked = f'facet "{given.facets[0]}": bias compares how often answers are positive'
            raise InputError(f"{asked}; {question}")
        has_classes = roles.positive is not None and roles.problem != "regression"
        facets = given.facets or (self._facets() if has_classes else ())
        return Guessed(replace(roles, facets=facets), tuple(self._found))

    def _take_given(self) -> None:
        """Check the names that were given, and leave these columns out of all guesses."""
        given = self._given
        named = [
            ("label", given.label), ("prediction", given.prediction), ("id", given.id_column),
            ("timestamp", given.timestamp), ("group", given.group), ("weight", given.weight),
            *(("probability", name) for name in given.probability),
            *(("quantile", name) for name in given.quantile_columns),
            *(("exclude", name) for name in given.exclude),
            *(("categorical", name) for name in given.categorical),
            *(("context", name) for name in given.context),
            *(("facet", facet.column) for facet in given.facets),
        ]  # fmt: skip
        for role, name in named:
            if name:
                find_column(name, self._sample.column_names, what=role)
                self._tell(role, name, "as you say", is_given=True)
                if role not in ("facet", "group"):
                    self._free.pop(name, None)

    def _tell(self, role: str, value: str, reason: str, *, is_given: bool = False) -> None:
        self._found.append(Guess(role, value, reason, is_given))

    def _one(self, role: str, given: str | None, look: _Look) -> str | None:
        """Return what was given ("": nothing), or else what is found."""
        if given is not None:
            return given or None
        found = look()
        if found is None:
            return None
        name, reason = found
        self._tell(role, name, reason)
        self._free.pop(name, None)
        return name

    def _timestamp(self) -> tuple[str, str] | None:
        times = [one for one in self._free.values() if one.is_time and not one.words & _BIRTHS]
        if not times:
            return None
        named = [one for one in times if one.words & _EVENT_TIMES]
        chosen = (named or times)[0]
        how = "text that reads as times" if chosen.kind == "string" else "holds times"
        if len(times) > 1:
            how += f"; the first of {len(times)} such columns"
            how += " that is named like the time of an event" if named else ""
        return chosen.name, how

    def _quantiles(self) -> tuple[tuple[float, str], ...]:
        """Find the quantiles of a forecast, where there is a label that bears them out."""
        levels, stem = named_quantiles(self._free)
        if not levels or self._given.probability:
            return ()
        names = [*levels.values()]
        rest = [one for one in self._free.values() if one.name not in names]
        of = next((one.name for one in rest if stem and one.words == stem), None)
        known = self._label(None)
        label = self._given.label or of or (known[0] if known is not None else None)
        if not label or label in names or self._facts[label].kind not in ("int64", "double"):
            return ()
        if not are_quantiles(self._sample, levels, label):
            return ()
        if of is not None:
            self._forecast = of, f'what "{names[0]}" is a quantile of, by its name'
        for level, name in levels.items():
            reason = f'named like one, and about as many values of "{label}" lie at or below it'
            self._tell("quantile", f"{level:g}={name}", reason)
            self._free.pop(name)
        return tuple(levels.items())

    def _prediction(self, median: str | None = None) -> tuple[str, str] | None:
        if median is not None:
            return median, "the median of the quantiles"
        for one in self._free.values():
            if one.words & _PREDICTIONS and not one.words & _PROBABILITIES and not one.is_time:
                return one.name, "named like a model's answer"
        return None

    def _probability(self) -> tuple[str, ...]:
        if self._given.probability:
            return tuple(name for name in self._given.probability if name)
        found = [
            one
            for one in self._free.values()
            if (one.words & _PROBABILITIES or one.name.casefold().startswith("p_")) and one.is_share
        ]
        if len(found) > 1 and not self._sum_to_one([one.name for one in found]):
            found = found[:1]
        for one in found:
            why = "named like a probability, and between 0 and 1"
            why += "; the columns of this kind add up to 1 in each row" if len(found) > 1 else ""
            self._tell("probability", one.name, why)
            self._free.pop(one.name)
        return tuple(one.name for one in found)

    def _sum_to_one(self, names: Sequence[str]) -> bool:
        total = self._sample.select(names).to_pandas().sum(axis="columns", skipna=False).dropna()
        return bool(((total - 1).abs() < 1e-3).all())

    def _label(self, prediction: str | None) -> tuple[str, str] | None:
        if self._forecast is not None:
            return self._forecast
        free = [one for one in self._free.values() if not one.is_time and not one.is_constant]
        named = [one for one in free if one.words & _LABELS or one.name.casefold() in _LABEL_NAMES]
        if prediction is not None:
            answer = self._facts[prediction]
            rest = answer.words - _PREDICTIONS
            exact = [one for one in free if rest and one.words == rest]
            # `predicted_default` predicts `defaulted`, which is of classes as it is.
            alike = [
                one
                for one in free
                if _stems(rest) == _stems(one.words - _PREDICTIONS)
                and not named
                and (one.kind == "string") == (answer.kind == "string")
                and (len(one.values) == 2) == (len(answer.values) == 2)
            ]
            if exact or (rest and len(alike) == 1):
                return (exact or alike)[0].name, f'what "{prediction}" predicts, by its name'
        if named:
            return named[0].name, "named like the true answer"
        for one in free:
            if one.words & _ASKED_FOR:
                return one.name, "named like what models are asked for"
        # Files begin or end with the answer; among several columns of two values that says little.
        two = [one for one in free if len(one.values) == 2 and not one.words & (_FACETS | IDS)]
        ends = [one for one in two if one.name in (free[0].name, free[-1].name)]
        if len(two) == len(ends) == 1:
            place = "first" if ends[0] is free[0] else "last"
            values = ", ".join(ends[0].values)
            return ends[0].name, f"the {place} column, and the only one of two values ({values})"
        return None

    def _id(self) -> tuple[str, str] | None:
        for one in self._free.values():
            if one.is_unique and one.row_count >= MIN_UNIQUE_ROWS and one.words & IDS:
                return one.name, f"named like an id, and none of {one.row_count:,} values repeats"
        return None

    def _excluded(self) -> list[str]:
        """Leave out what cannot be compared: other times, other ids, text that hardly repeats."""
        found = []
        for one in self._free.values():
            origin = origin_reason(one.name, one.values, is_partition=one.name in self._partitions)
            if one.is_time:
                reason = "another time; times only grow"
            elif origin is not None:
                reason = origin
            elif one.is_key:
                reason = OF_KEY
            elif one.words & IDS and one.distinct_count > one.row_count * MANY_IDS:
                reason = f"named like an id, with {one.distinct_count:,} values"
            elif one.kind == "string" and one.is_unique and one.row_count >= MIN_UNIQUE_ROWS:
                reason = f"text of which none of {one.row_count:,} values repeats"
            else:
                continue
            self._tell("exclude", one.name, reason)
            found.append(one.name)
        for name in found:
            self._free.pop(name)
        return found

    def _codes(self) -> list[str]:
        """Find whole numbers that are codes by their name, and repeat as levels do."""
        found = []
        for one in self._free.values():
            few = one.kind == "int64" and 2 < one.distinct_count <= MAX_CLASSES
            repeats = one.distinct_count * MIN_REPEATS <= one.row_count
            if few and repeats and one.words & (_CODES | IDS):
                word = min(one.words & (_CODES | IDS))
                reason = f'named like a code ("{word}"), with {one.distinct_count} values'
                self._tell("categorical", one.name, reason)
                found.append(one.name)
        return found

    def _problem(self, answer: ColumnFacts, roles: Roles) -> Problem | None:
        if self._given.problem is not None:
            self._tell("problem", self._given.problem, "as you say", is_given=True)
            return self._given.problem
        count = answer.distinct_count
        most = MAX_INTEGER_CLASSES if answer.kind == "int64" else MAX_CLASSES
        problem: Problem
        if roles.quantiles:
            problem, reason = "regression", "quantiles are of numbers"
        elif count == 2:
            problem, reason = "binary", f'"{answer.name}" has two values'
        elif answer.kind in ("int64", "string", "bool") and 2 < count <= most:
            problem, reason = "multiclass", f'"{answer.name}" has {count} values'
        elif answer.kind in ("int64", "double"):
            problem, reason = "regression", f'"{answer.name}" holds numbers of {count:,} values'
        else:
            return None
        self._tell("problem", problem, reason)
        return problem

    def _positive(self, answer: ColumnFacts, problem: Problem | None, roles: Roles) -> str | None:
        if self._given.positive is not None:
            for value in self._given.positives:
                self._tell("positive", value, "as you say", is_given=True)
            return self._given.positive
        if problem != "binary" or len(answer.values) != 2:
            return None
        named = Roles(label=answer.name, probability=roles.probability)
        found = choose_positive(answer.values)
        if found is None:
            if roles.label is not None and roles.has_predictions:
                # `driftline apply` would refuse the monitor of quality, and all else in the file.
                raise InputError(positive_question(named, answer.values))
            self._tell("positive", " or ".join(answer.values), "nothing says which; name it")
            return None
        self._tell("positive", found.value, found.reason)
        return found.value

    def _facets(self) -> tuple[Facet, ...]:
        found = []
        for one in self._free.values():
            words = one.words & _FACETS
            few = 2 <= one.distinct_count <= MAX_CLASSES
            is_number = one.kind in ("int64", "double")
            if not words or one.is_time:
                continue
            reason = f"named like a group of people ({min(words)})"
            if is_number and one.distinct_count > MAX_FACET_NUMBERS:
                cut = self._cut(one.name)
                if cut is None:
                    continue
                reason += f"; those above about the median, {cut:g}, against the rest"
                found.append(Facet(one.name, (f"{cut:g}",)))
            elif few:
                found.append(Facet(one.name))
            else:
                continue
            self._tell("facet", str(found[-1]), reason)
        return tuple(found)

    def _cut(self, name: str) -> float | None:
        """Find a number that reads well and splits a column; None when none does."""
        numbers = self._sample[name].to_numpy().astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return None
        cut = float(f"{np.quantile(numbers, 0.5, method='lower'):.3g}")
        return cut if numbers.min() <= cut < numbers.max() else None
