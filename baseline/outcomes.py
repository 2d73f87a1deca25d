"""A reference's outcomes: labels, predictions, and groups; quality and bias are measured on them.

A window is read by the same roles, so that a class or a group means the same in both.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.captured_ids import data_schema
from driftline.baseline.folder import from_parquet, to_parquet
from driftline.baseline.pairing import require_numbers
from driftline.classes import class_text, known_classes, merged_classes, number_text
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.roles import Facet, Problem, Roles
from driftline.signature import Column, Signature

log = logging.getLogger(__name__)

KEY = b"driftline.sample"
OUTCOMES_FORMAT = 6
# Columns of quantiles that cross in more of the reference's rows are named the other way round.
MOST_CROSSED = 0.9
NUMBERS = ("double", "int64")
SHARES = (
    'label "%s" holds only 0 and 1, and prediction "%s" values between them, which are judged as '
    'amounts; if they are probabilities, name "%s" as the probability in place of the prediction'
)
UNANSWERED = (
    '%s "%s": none of %s rows of the reference has a value, so that no prediction can be judged '
    "beside it; make the baseline of rows that have one"
)
# Kept of a reference.
MAX_ROWS = 50_000
# Of them, with all features: rows, and values of features.
NEIGHBOUR_ROWS, NEIGHBOUR_VALUES = 20_000, 1_000_000
# A column of numbers with more values than this is split by a threshold, not by equality
# (docs/why/bias.md).
MAX_FACET_NUMBERS = 10


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The rows that a baseline keeps of its reference, and the meaning of its outcome columns."""

    # With nothing left open: problem, positive class and the meaning of each facet are decided.
    roles: Roles
    # Columns by the user's names: the judged ones and those of `kept_columns`, and the ids of
    # captured rows. Every row of the reference, or a uniform sample of a large one, in their order.
    table: pa.Table
    row_count: int  # Rows of the whole reference.
    # Why the positive class is taken as that; "" where its owner named it.
    positive_reason: str = ""
    # Classes of labels and predictions, also those that no kept row has; none of numbers.
    classes: tuple[str, ...] = ()

    @property
    def are_outcomes(self) -> bool:
        """Whether there are predictions, or groups to compare."""
        return self.roles.has_predictions or bool(self.roles.facets)

    @cached_property
    def neighbours(self) -> pa.Table | None:
        """Some rows with their features, where groups are compared, for the flip test.

        None where there are no answers, no features, or features that are no numbers.
        """
        own, rows = kept_columns(self.roles), len(self.table)
        near = [name for name in data_schema(self.table.schema).names if name not in own]
        types = [self.table[name].type for name in near]
        if not (self.roles.facets and self.roles.has_predictions and near and rows) or not all(
            pa.types.is_integer(one) or pa.types.is_floating(one) for one in types
        ):
            return None
        limit = max(min(NEIGHBOUR_ROWS, NEIGHBOUR_VALUES // len(near)), 1)
        table = self.table.select([*own, *near])
        return table.take(pa.array(np.arange(0, rows, -(-rows // limit))))

    def without(self, columns: Collection[str]) -> Outcomes:
        """Leave out some columns."""
        kept = [name for name in self.table.column_names if name not in columns]
        return replace(self, table=self.table.select(kept))

    @property
    def untimed(self) -> tuple[int, int]:
        """Rows without a time, and all rows; none are missing where no role names the time."""
        when, rows = self.roles.timestamp, len(self.table)
        times = None if when is None else coerce(self.table[when], "timestamp")[0]
        return (0 if times is None else times.null_count, rows)

    @property
    def classes_note(self) -> str:
        """Note that all labels are of one class, and how many rows have none; else ""."""
        name, problem = self.roles.label, self.roles.problem
        if name is None or problem not in ("binary", "multiclass"):
            return ""
        if len(classes := held_classes(self.table, name)) != 1:
            return ""
        lacking = class_texts(self.table[name]).null_count
        labelled = len(self.table) - lacking
        rows = "the only labelled row has"
        if labelled > 1:
            rows = f"all {labelled:,} labelled rows have"
        note = f'in the reference {rows} the class "{classes[0]}"'
        return note + f"; {lacking:,} rows have no label" * bool(lacking)

    def reason_of(self, roles: Roles) -> str:
        """Return why this is the positive class; "" where it is another."""
        return self.positive_reason if roles.positive == self.roles.positive else ""

    def to_bytes(self) -> bytes:
        """Write everything as a Parquet file; the same rows give the same bytes."""
        notes = {
            "format": OUTCOMES_FORMAT,
            "roles": self.roles.to_dict(),
            "row_count": self.row_count,
            "positive_reason": self.positive_reason,
            "classes": self.classes,
        }
        return to_parquet(self.table.replace_schema_metadata({KEY: json.dumps(notes)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> Outcomes:
        """Read what `to_bytes` wrote."""
        table = from_parquet(data)
        notes = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
        if notes.get("format") != OUTCOMES_FORMAT:
            raise InputError(
                f"format {notes.get('format')!r}; this driftline reads {OUTCOMES_FORMAT}: "
                "make the baseline again"
            )
        roles, plain = Roles.from_dict(notes["roles"]), table.replace_schema_metadata(None)
        count, reason = notes["row_count"], notes["positive_reason"]
        return cls(roles, plain, count, reason, tuple(notes["classes"]))


def outcome_columns(roles: Roles) -> tuple[str, ...]:
    """Return the columns of outcomes, each once."""
    named = (
        roles.label,
        roles.prediction,
        *roles.probability,
        *roles.facet_columns,
        roles.group,
        roles.timestamp,
    )
    return tuple(dict.fromkeys(name for name in named if name is not None))


def kept_columns(roles: Roles) -> tuple[str, ...]:
    """Return the columns of outcomes, quantiles and weights, each once."""
    weight = () if roles.weight is None else (roles.weight,)
    return tuple(dict.fromkeys((*outcome_columns(roles), *roles.quantile_columns, *weight)))


def compared_features(signature: Signature, roles: Roles) -> tuple[Column, ...]:
    """Return the features for nearest neighbours: all columns without a role."""
    named = outcome_columns(roles)
    return tuple(
        one
        for one in signature.features
        if one.role == "feature" and one.unjudged is None and one.name not in named
    )


def class_texts(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Write values as classes are compared: "1" for 1, 1.0 and "1", "true" for True.

    Returns one dictionary entry per class; nulls are kept, and empty text is null. A text such as
    "1.0" stays: the known classes decide its meaning (`driftline.classes.known_classes`).
    """
    plain = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_floating(plain.type):
        plain = pc.if_else(pc.is_nan(plain), pa.scalar(None, plain.type), plain)
    if pa.types.is_nested(plain.type):  # Lists are compared as texts.
        plain = coerce(plain, "string")[0]
    plain = plain if pa.types.is_dictionary(plain.type) else plain.dictionary_encode()
    texts = [class_text(value) or None for value in plain.dictionary.to_pylist()]
    unified = pa.array(texts, pa.string()).dictionary_encode()
    # Two values of one text ("1" and 1.0 never meet in one array, but "True" and "true" may).
    codes = pc.take(unified.indices, plain.indices)
    return pa.DictionaryArray.from_arrays(codes, unified.dictionary)


def outcome_classes(outcomes: Outcomes) -> tuple[str, ...]:
    """Return the classes of the reference's labels and predictions; none of numbers."""
    if outcomes.roles.problem == "regression":
        return ()
    names = (outcomes.roles.label, outcomes.roles.prediction)
    found = [one for name in names for one in held_classes(outcomes.table, name)]
    return merged_classes([*outcomes.classes, *found])


def held_classes(table: pa.Table | pa.RecordBatch, name: str | None) -> tuple[str, ...]:
    """Return the distinct classes of a column; none when it is empty or missing."""
    if name is None or name not in table.schema.names or pa.types.is_null(table[name].type):
        return ()
    return tuple(class_texts(table[name]).dictionary.to_pylist())


def resolve(roles: Roles, signature: Signature, table: pa.Table) -> Roles:
    """Decide from the reference what its owner left open."""
    classes = _classes(signature)
    problem = roles.problem or _problem(roles, signature, classes)
    _require_one_value(roles, table)
    _require_weights(roles, table)
    positives = roles.positives
    if problem is None and roles.label is not None:
        # Labels of groups alone, to be compared before there is a model.
        known = merged_classes(class_texts(table[roles.label]).dictionary.to_pylist())
        if len(known) == 2:
            problem, classes = "binary", tuple(sorted(known))
    positives = _label_first(known_classes(positives, classes), roles, table)
    if problem == "regression":
        _require_regression(roles, table)
        if roles.problem is None and _are_shares_of_classes(roles, table):
            log.warning(SHARES, roles.label, roles.prediction, roles.prediction)
    elif problem == "binary" and roles.positive is not None:
        _require_classes(roles, table)
    probability = roles.probability
    if problem == "binary" and roles.prediction is None:
        _require_shares(probability, table)
    _tell_unanswered(roles, table)
    if problem == "binary" and len(probability) > 1:
        # Whoever looks at one probability looks at the last one.
        of = probability_classes(signature)
        probability = tuple(sorted(probability, key=lambda name: of.get(name) in positives))
    # Also those that no sampled row has.
    values = {one.name: one.levels or () for one in signature.features}
    facets = tuple(resolve_facet(facet, table, values) for facet in roles.facets)
    return replace(
        roles,
        problem=problem,
        positive=next(iter(positives), None),
        also_positive=positives[1:],
        threshold=roles.positive_above,
        facets=facets,
        probability=probability,
    )


def probability_classes(signature: Signature) -> dict[str, str]:
    """Name the class of each column of probabilities that says which it is of."""
    return {
        column.name: column.classes[0]
        for column in signature.outputs
        if column.role == "probability" and column.classes and len(column.classes) == 1
    }


def _classes(signature: Signature) -> tuple[str, ...]:
    for column in signature.outputs:
        if column.role == "prediction" and column.classes:
            return column.classes
    chances = (one.classes or () for one in signature.outputs if one.role == "probability")
    return tuple(dict.fromkeys(text for classes in chances for text in classes))


def _label_first(positives: Sequence[str], roles: Roles, table: pa.Table) -> tuple[str, ...]:
    """Put the label's own value before its synonyms: it names the class."""
    if len(positives) < 2 or roles.label is None:
        return tuple(positives)
    labels = merged_classes(class_texts(table[roles.label]).dictionary.to_pylist())
    named = dict.fromkeys(known_classes(positives, labels))
    return tuple(sorted(named, key=lambda one: one not in labels))


def _problem(roles: Roles, signature: Signature, classes: tuple[str, ...]) -> Problem | None:
    if roles.prediction is None and not roles.probability:
        return None
    is_pair = len(roles.probability) == 2 and roles.positive is not None and len(classes) == 2
    if roles.also_positive or is_pair:
        return "binary"
    if len(roles.probability) > 1 or len(classes) > 2:
        return "multiclass"
    if roles.probability or len(classes) == 2:
        return "binary"
    column = signature.get(roles.prediction) if roles.prediction else None
    is_number = column is not None and column.type in NUMBERS
    return "regression" if is_number else "multiclass"


def _require_regression(roles: Roles, table: pa.Table) -> None:
    """Refuse texts where numbers are compared, and several values as their threshold."""
    for role, name in (("label", roles.label), ("prediction", roles.prediction)):
        if name is not None:
            require_numbers(table[name], role, name)
    _require_rising_quantiles(roles, table)
    if roles.also_positive:
        raise InputError(
            f"positive {', '.join(roles.positives)}: the answers are numbers, and those above it "
            "are positive; expected one number"
        )


def _require_rising_quantiles(roles: Roles, table: pa.Table) -> None:
    """Refuse quantiles whose columns are named the other way round."""
    for (level, name), (above, other) in pairwise(roles.quantiles):
        low, high = (coerce(table[one], "double")[0] for one in (name, other))
        crossed = pc.mean(pc.greater(low, high)).as_py() or 0.0
        if crossed > MOST_CROSSED:
            raise InputError(
                f'quantiles {level:g} ("{name}") and {above:g} ("{other}"): "{name}" is above '
                f'"{other}" in {crossed:.0%} of the rows of the reference; expected the lower '
                f'level below: {{{level:g}: "{other}", {above:g}: "{name}"}}?'
            )


def _are_shares_of_classes(roles: Roles, table: pa.Table) -> bool:
    """Whether amounts look like probabilities: labels 0 and 1, predictions between."""
    if roles.label is None or roles.prediction is None:
        return False
    label, answer = (coerce(table[name], "double")[0] for name in (roles.label, roles.prediction))
    known, ends = {*pc.unique(label).to_pylist()} - {None}, pc.min_max(answer).as_py()
    if known != {0.0, 1.0} or ends["min"] is None or ends["min"] < 0.0 or ends["max"] > 1.0:
        return False
    return bool({*pc.unique(answer).to_pylist()} - {None, 0.0, 1.0})


def _require_one_value(roles: Roles, table: pa.Table) -> None:
    """Refuse lists that came as texts, as those of CSV files do."""
    for role, name in (("label", roles.label), ("prediction", roles.prediction)):
        if name is None or not pa.types.is_string(table[name].type):
            continue
        texts = held_classes(table, name)
        if texts and all(one.startswith("[") and one.endswith("]") for one in texts):
            raise InputError(
                f'{role} "{name}" holds lists, such as {texts[0][:40]}; expected one value a row: '
                "give each step or item of a list a row of its own"
            )


def _require_weights(roles: Roles, table: pa.Table) -> None:
    """Refuse a reference of which no row counts."""
    if roles.weight is None or not len(table):
        return
    weights = coerce(table[roles.weight], "double")[0]
    usable = pc.and_(pc.is_finite(weights), pc.greater(weights, 0.0))
    if not pc.any(usable).as_py():
        raise InputError(
            f'weight "{roles.weight}": no row has one above 0 that is finite; expected how much '
            "each row counts"
        )


def _require_classes(roles: Roles, table: pa.Table) -> None:
    """Refuse a positive class among amounts, where it can only be a threshold."""
    if roles.label is None or not pa.types.is_floating(table[roles.label].type):
        return
    count = pc.count_distinct(table[roles.label]).as_py()
    if count > MAX_FACET_NUMBERS:
        raise InputError(
            f'label "{roles.label}": {count:,} different numbers, and the problem is binary; '
            f"expected two classes. Leave the problem out, or say regression, and labels "
            f"and predictions above positive {roles.positive} are positive, as in Clarify's file"
        )


def _tell_unanswered(roles: Roles, table: pa.Table) -> None:
    """Warn of a reference without predictions: no window can be judged against it."""
    if not roles.has_predictions or not len(table):
        return
    role = "probability" if roles.prediction is None else "prediction"
    name = roles.prediction or roles.probability[-1]
    if table[name].is_null(nan_is_null=True).to_numpy().all():
        log.warning(UNANSWERED, role, name, f"{len(table):,}")


def _require_shares(probability: Sequence[str], table: pa.Table) -> None:
    """Refuse scores for which a threshold between 0 and 1 has no meaning."""
    for name in probability:
        ends = pc.min_max(table[name]).as_py()
        is_known = ends["max"] is not None and not math.isnan(ends["max"])
        if is_known and not 0 <= ends["min"] <= ends["max"] <= 1:
            raise InputError(
                f'probability "{name}": {ends["min"]:g} to {ends["max"]:g}; expected 0 to 1 where '
                "there is no prediction: bring it there, or name a "
                "prediction column"
            )


def resolve_facet(
    facet: Facet, table: pa.Table, values: Mapping[str, Sequence[str]] | None = None
) -> Facet:
    """Fix the meaning of a facet's values from the whole reference, once.

    InputError where a column of many numbers has no threshold, a column of texts has one, or the
    reference never holds a value.
    """
    first, *also = (
        _resolve_part(part, table[part.column], (values or {}).get(part.column, ()))
        for part in facet.parts
    )
    return replace(first, also=tuple(also))


def _resolve_part(facet: Facet, column: pa.ChunkedArray, others: Sequence[str]) -> Facet:
    is_number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    splits = facet.threshold is not None or bool(facet.intervals)
    if is_number and not splits and pc.count_distinct(column).as_py() > MAX_FACET_NUMBERS:
        if len(facet.values) == 1:
            return replace(facet, values=(), threshold=_number(facet))
        if not facet.values:
            raise InputError(
                f'facet "{facet.column}": a column of many numbers needs a threshold; '
                f"expected such as {facet.column}=40 (the group above 40), or intervals such as "
                f"{facet.column}=[18,30),[30,50)"
            )
    if splits:
        if is_number:
            return facet
        raise InputError(
            f'facet "{facet.column}": thresholds and intervals split numbers, and these are none; '
            f"expected values such as {facet.column}=VALUE"
        )
    known = {*class_texts(column).dictionary.to_pylist(), *map(class_text, others)}
    values = tuple(class_text(value) for value in facet.values)
    if missing := [
        value for value in values if value not in known and number_text(value) not in known
    ]:
        raise InputError(
            f'facet "{facet.column}": the reference never holds "{missing[0]}"; '
            f"expected one of {', '.join(sorted(known)[:8])}"
            if known
            else f'facet "{facet.column}": no row of the reference has a value; fill the column, '
            "or name another"
        )
    return replace(facet, values=tuple(v if v in known else number_text(v) for v in values))


def _number(facet: Facet) -> float:
    try:
        return float(facet.values[0])
    except ValueError as error:
        raise InputError(
            f'facet "{facet.column}={facet.values[0]}": a column of many numbers is split by a '
            f"threshold; expected a number such as {facet.column}=40"
        ) from error
