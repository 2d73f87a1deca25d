"""Column types and roles: from an Arrow schema to a signature."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.arrow_types import (
    ARROW_TYPES,
    is_list,
    is_vector,
    missing_of,
    plain_type,
    unit_of,
)
from driftline.formats.source import Source, part_names
from driftline.roles import Roles
from driftline.signature import (
    OUTPUT_ROLES,
    Column,
    ColumnType,
    Role,
    Signature,
    column_names,
    slug,
)

InferredType = Literal["Integral", "Fractional", "String", "Unknown"]


def inferred_type(kind: ColumnType, present_count: int) -> InferredType:
    """Name a column's type as SageMaker does; a column without any value is Unknown.

    Booleans and times are String: the public documents list no other type for them.
    """
    if present_count == 0:
        return "Unknown"
    if kind == "int64":
        return "Integral"
    return "Fractional" if kind == "double" else "String"


def column_type(found: pa.DataType) -> ColumnType:
    """Return the signature's type for an Arrow type; by default text."""
    plain = plain_type(found)
    for kind, wanted in ARROW_TYPES.items():
        if plain == wanted:
            return kind
    return "string"


def signature_of(types: Mapping[str, ColumnType]) -> Signature:
    """Return a signature with features of these types."""
    columns = zip(types.items(), column_names(types), strict=True)
    return Signature(tuple(Column(name, column, kind) for (name, kind), column in columns))


def find_column(name: str, known: Sequence[str], *, what: str) -> str:
    """Return the column of that name; the error names the nearest one."""
    if name in known:
        return name
    folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    hint = (
        f'did you mean "{folded[near[0]]}"?'
        if near
        else f"the columns are {', '.join(list(known)[:8])}{', …' if len(known) > 8 else ''}"
    )
    raise InputError(f'{what} "{name}": the data has no such column; {hint}')


def split_probabilities(source: Source, roles: Roles) -> tuple[Source, Roles]:
    """Split a list of all classes' probabilities into a column for each."""
    name = "".join(roles.probability[:1])
    is_one = len(roles.probability) == 1 and name in source.schema.names
    if not is_one or not (count := source.list_length(name)):
        return source, roles
    return source.with_parts(name, count), replace(roles, probability=part_names(name, count))


def infer_signature(schema: pa.Schema, roles: Roles | None = None) -> Signature:
    """Infer a data set's signature from its Arrow schema and the user's roles."""
    named = roles or Roles()
    names = list(schema.names)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise InputError(f'column "{twice[0]}" stands twice in the data; rename one of the two')
    found = _roles(named, names)
    inputs = [name for name in names if found.get(name) not in OUTPUT_ROLES]
    for name, role in found.items():
        _require_one_value(schema.field(name).type, role, name)
    features = tuple(
        _column(schema, name, column, found.get(name, "feature"), named)
        for name, column in zip(inputs, column_names(inputs), strict=True)
    )
    outputs = (
        *_outputs(schema, named.prediction, named.probability),
        *_quantiles(schema, named),
    )
    return Signature(features, outputs, event_time=named.timestamp, inference_id=named.id_column)


def _require_one_value(kind: pa.DataType, role: Role, name: str) -> None:
    """Refuse lists where a row has one prediction, or one label."""
    if role in ("label", *OUTPUT_ROLES) and (is_list(kind) or is_vector(kind)):
        raise InputError(
            f'{role} "{name}" holds lists; expected one value a row: give each step or item of a '
            "list a row of its own"
        )


def _roles(roles: Roles, names: Sequence[str]) -> dict[str, Role]:
    """Set the role of each named column."""
    named: list[tuple[Role, str | None]] = [
        ("label", roles.label),
        ("prediction", roles.prediction),
        *(("probability", name) for name in roles.probability),
        ("id", roles.id_column),
        ("timestamp", roles.timestamp),
        ("weight", roles.weight),
        # One of them may be the prediction.
        *(("quantile", name) for name in roles.quantile_columns if name != roles.prediction),
        *(("excluded", name) for name in roles.exclude),
    ]
    if roles.quantiles and roles.prediction is None:
        first = roles.quantile_columns[len(roles.quantiles) // 2]
        raise InputError(
            f"quantiles {', '.join(roles.quantile_columns)} without a prediction: name the point "
            f"forecast, which may be one of them, such as prediction {first}"
        )
    found: dict[str, Role] = {}
    for role, name in named:
        if name is None:
            continue
        find_column(name, names, what=role)
        if found.setdefault(name, role) != role:
            raise InputError(f'column "{name}" is given as {found[name]} and as {role}; choose one')
    for name in roles.categorical:
        find_column(name, names, what="categorical")
        if name in found:
            raise InputError(
                f'column "{name}" is given as {found[name]} and as categorical; choose one'
            )
    for column in roles.facet_columns:
        find_column(column, names, what="facet")
    if roles.group is not None:
        find_column(roles.group, names, what="group")
    return found


def _column(schema: pa.Schema, name: str, column: str, role: Role, roles: Roles) -> Column:
    """Make a column of the data; codes are judged as text, whatever their type."""
    kind = _type(schema, name, roles.timestamp)
    if role == "weight" and kind not in ("int64", "double"):
        raise InputError(f'weight "{name}": the column holds {kind}; expected numbers')
    field, is_feature = schema.field(name), role == "feature"
    unit, missing = (unit_of(field), missing_of(field)) if is_feature else (None, None)
    if name in roles.categorical and kind != "string":
        return Column(name, column, "string", role, data_type=kind, unit=unit, missing=missing)
    return Column(name, column, kind, role, unit=unit, missing=missing)


def _type(schema: pa.Schema, name: str, timestamp: str | None) -> ColumnType:
    """Return a column's type; times that came as text, as in JSON, are times."""
    found = column_type(schema.field(name).type)
    return "timestamp" if name == timestamp and found == "string" else found


def _outputs(
    schema: pa.Schema,
    prediction: str | None,
    probabilities: Sequence[str],
) -> tuple[Column, ...]:
    found: list[Column] = []
    if prediction is not None:
        kind = column_type(schema.field(prediction).type)
        found.append(Column(prediction, "prediction", kind, "prediction"))
    if len(probabilities) == 1:
        found.append(Column(probabilities[0], "probability", "double", "probability"))
    elif probabilities:
        columns = column_names((slug(name) for name in probabilities), prefix="probability")
        found.extend(
            Column(name, column, "double", "probability")
            for name, column in zip(probabilities, columns, strict=True)
        )
    return tuple(found)


def _quantiles(schema: pa.Schema, roles: Roles) -> tuple[Column, ...]:
    """Describe the quantiles beside the prediction."""
    names = [name for name in roles.quantile_columns if name != roles.prediction]
    columns = column_names((slug(name) for name in names), prefix="quantile")
    kinds = [column_type(schema.field(name).type) for name in names]
    for name, kind in zip(names, kinds, strict=True):
        if kind not in ("int64", "double"):
            raise InputError(f'quantile "{name}": the column holds {kind}; expected numbers')
    return tuple(
        Column(name, column, kind, "quantile")
        for name, column, kind in zip(names, columns, kinds, strict=True)
    )
