"""The signature of an endpoint: what the baseline says about inputs, the model about outputs.

Of an app of somebody else's the baseline says both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from driftline.classes import class_text, classes_of_columns, known_classes
from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import BODIES
from driftline.serving.resources.answers import answers_several, require_width
from driftline.signature import (
    Column,
    ColumnType,
    Role,
    Signature,
    column_names,
    free_name,
    names_among,
)


def endpoint_signature(
    declared: Signature, description: Mapping[str, Any], *, chosen: object = None
) -> Signature:
    """Complete a declared signature, or a baseline's, by what the model answers."""
    if names := [column.name for column in declared.outputs if column.role == "quantile"]:
        raise InputError(
            f"quantiles {', '.join(names)}: the model answers one prediction; leave them out of "
            "the baseline, or the model out of the endpoint, which then captures an app of your own"
        )
    inputs = declared.as_sent().inputs
    require_match(inputs, description)
    positive = positive_class(declared, description, chosen=chosen)
    _require_classes(declared, description["classes"], chosen)
    made = _of_one_value(declared, description, _outputs(description, positive))
    outputs = _named(declared.outputs, made)
    taken = {column.name for column in inputs}
    free = tuple(replace(column, name=free_name(column.name, taken)) for column in outputs)
    return Signature(features=inputs, outputs=free, version=declared.version)


def predicted_type(signature: Signature | None) -> ColumnType | None:
    """Return the type of the prediction; None where nobody says one."""
    outputs = () if signature is None else signature.outputs
    return next((one.type for one in outputs if one.role == "prediction"), None)


def bodies_signature(declared: Signature, roles: Mapping[str, Any]) -> Signature:
    """Return the signature of a model that answers bodies, by the roles of its baseline.

    It is that of an app. Such a model does not say whether it answers a probability; with two
    classes it may, and the column stays empty where it does not.
    """
    return _with_probability(declared.as_captured(), roles)


def shared_signature(known: Signature, bodies: Signature) -> Signature:
    """Return the signature of a model that says what it answers, beside one that answers bodies.

    The probability that the latter may answer has a column; the former leaves it empty.
    """
    added = [column for column in bodies.outputs if column.role == "probability"]
    if any(column.role == "probability" for column in known.outputs):
        added = []
    taken = {column.name for column in known.columns}
    free = tuple(replace(column, name=free_name(column.name, taken)) for column in added)
    return replace(known, outputs=(*known.outputs, *free))


def _with_probability(signature: Signature, roles: Mapping[str, Any]) -> Signature:
    answers = {column.role for column in signature.outputs}
    if "prediction" not in answers or "probability" in answers or not _is_binary(signature, roles):
        return signature
    name = free_name("probability", {column.name for column in signature.columns})
    column = Column(name, "probability", "double", "probability")
    return replace(signature, outputs=(*signature.outputs, column))


def _is_binary(signature: Signature, roles: Mapping[str, Any]) -> bool:
    """Whether there are two classes, as far as a reference and its roles say so."""
    if roles.get("problem") is not None:
        return bool(roles["problem"] == "binary")
    told = [column for column in signature.columns if column.role in ("label", "prediction")]
    if any(one.type == "bool" or len(one.classes or one.levels or ()) == 2 for one in told):
        return True
    # Of numbers with a fraction it is a threshold.
    is_chosen = roles.get("positive") is not None
    return is_chosen and all(column.type in ("int64", "string") for column in told)


def job_signature(
    table: Signature, description: Mapping[str, Any], baseline: Mapping[str, Any]
) -> Signature:
    """Return the signature of a model's rows in the table of an endpoint that does not serve it.

    Inputs and columns come from the endpoint, outputs from the model. CSV has columns by position,
    so the inputs are in the model's order where it names them.
    """
    if description["kind"] == BODIES:
        return _with_probability(table, baseline)
    made = _outputs(description, positive_class(None, description))
    roles = {column.role for column in made}
    # What the model does not answer, such as a probability, stays empty.
    named = [column for column in table.outputs if column.role in roles]
    made = _named(named, _of_one_value(table, description, made))
    taken = {column.name for column in table.features}
    known = {column.column: column for column in table.outputs}
    outputs = []
    for column in made:
        old = known.get(column.column)
        if old is None:
            outputs.append(replace(column, name=free_name(column.name, taken)))
            continue
        if column.type == "string" and old.type != "string":
            raise InputError(
                f'the model answers text as "{old.name}", which is {old.type} there; expected an '
                "endpoint whose baseline has the model's values"
            )
        outputs.append(replace(column, type=old.type))
    known_names = _named_as(table.inputs, description)["feature_names"] or ()
    names = {name: place for place, name in enumerate(known_names)}
    features = table.features
    if names.keys() == {column.name for column in table.inputs}:
        # Columns that are no inputs stay behind, as CSV has none of them.
        features = tuple(sorted(features, key=lambda one: names.get(one.name, len(names))))
    return replace(table, features=features, outputs=tuple(outputs))


def positive_class(
    declared: Signature | None, description: Mapping[str, Any], *, chosen: object = None
) -> str | None:
    """Return the class whose probability is answered when there are two; nothing otherwise."""
    classes: Sequence[str] = description["classes"]
    if len(classes) != 2:
        return None
    names = _listed(chosen)
    if names:
        found = next((own for name in names if (own := _own(classes, name)) is not None), None)
        if found is None:
            shown = ", ".join(f'"{name}"' for name in names)
            raise InputError(
                f"positive {shown}; the model answers {', '.join(classes)}; name its positive "
                f"value, too: positive: [{shown}, VALUE]"
            )
        return found
    for column in declared.outputs if declared is not None else ():
        if column.role == "probability" and column.classes:
            found = _own(classes, column.classes[-1])
            if found is not None:
                return found
    return classes[1]


def _listed(chosen: object) -> list[object]:
    """Return what a spec names as positive: nothing, one value or several."""
    if chosen is None:
        return []
    return chosen if isinstance(chosen, list) else [chosen]


def _require_classes(declared: Signature, classes: Sequence[str], chosen: object) -> None:
    """Refuse a model whose answers can never be those of the reference, nor named by its labels."""
    answers = [column for column in declared.outputs if column.role == "prediction"]
    known = [one for column in answers for one in column.classes or ()]
    if not known or not classes:
        return
    if all(_own(classes, name) is None for name in (*known, *_listed(chosen))):
        raise InputError(
            f"the model answers {', '.join(classes[:8])}, the reference's predictions are "
            f"{', '.join(known[:8])}; name the positive value of both, such as "
            f"positive: [{known[-1]}, {classes[-1]}], or bring the reference to the model's values"
        )


def _own(classes: Sequence[str], name: object) -> str | None:
    """Return the model's class that a name means: 1, 1.0, true and their texts are one."""
    found = known_classes([class_text(name)], classes)[0]
    return found if found in classes else None


def require_match(inputs: Sequence[Column], description: Mapping[str, Any]) -> None:
    """Refuse a model that takes other columns than the signature names."""
    description = _named_as(inputs, description)
    names, count = description["feature_names"], description["feature_count"]
    given = [column.name for column in inputs]
    if names is not None:
        lacking = [name for name in names if name not in given]
        extra = [name for name in given if name not in names]
        if lacking or extra:
            parts = [
                f"{what} {', '.join(found[:10])}"
                for what, found in (
                    ("the signature lacks", lacking),
                    ("the model does not know", extra),
                )
                if found
            ]
            raise InputError(
                f"the model's columns are not the signature's: {'; '.join(parts)}; "
                "exclude columns of the reference (also facets: what a model is not sent is not "
                "captured with its requests), rename them as the model does, or name their roles"
            )
    elif count is not None and count != len(given):
        raise InputError(
            f"the model takes {count} columns, the signature has {len(given)}; "
            "exclude columns of the reference, or name their roles"
        )
    _require_types(inputs, names or given, description.get("feature_types") or ())
    _require_categories(inputs, description)


def _named_as(inputs: Sequence[Column], description: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a description with the signature's names in the place of the model's."""
    names = description.get("feature_names")
    if names is None:
        return description
    found = names_among(names, (column.name for column in inputs))
    renamed = dict(zip(names, found, strict=True))
    categories = {
        renamed.get(name, name): known
        for name, known in (description.get("categories") or {}).items()
    }
    return {**description, "feature_names": found, "categories": categories}


def _require_types(inputs: Sequence[Column], names: Sequence[str], types: Sequence[str]) -> None:
    """Refuse text for a column that a model takes numbers of, and the other way round."""
    given = {column.name: column.type for column in inputs}
    for name, kind in zip(names, types, strict=False):
        if (given[name] == "string") != (kind == "string"):
            raise InputError(
                f'the model takes {kind} as "{name}", the signature has {given[name]}; '
                "bring the reference to the model's types, or convert the model for these"
            )


def unknown_levels(
    inputs: Sequence[Column], description: Mapping[str, Any]
) -> Iterator[tuple[Column, list[str]]]:
    """Return columns, and those of their values in the reference that are missing to the model."""
    categories = _named_as(inputs, description).get("categories") or {}
    for column in inputs:
        known = {*map(class_text, categories.get(column.name, ()))}
        found = [one for one in column.levels or () if class_text(one) not in known]
        if known and found:
            yield column, found


def _require_categories(inputs: Sequence[Column], description: Mapping[str, Any]) -> None:
    """Refuse a model that would take each value of a column for missing."""
    for column, unknown in unknown_levels(inputs, description):
        if len(unknown) == len(column.levels or ()):
            known = ", ".join(description["categories"][column.name][:3])
            ours = ", ".join(unknown[:3])
            raise InputError(
                f'column "{column.name}": the reference\'s values ({ours}) are none of the '
                f"model's categories ({known}), so that it would take all of them for missing; "
                "bring the reference to the model's values, or fit it on these"
            )


def succeed(before: Signature | None, after: Signature) -> Signature:
    """Return a new signature as the successor of an old one.

    A column of the same name and type keeps its column of the capture table. One of another type
    gets a new one, for a table's column never changes its type, and remembers the old one, so that
    older rows can be read. The version counts up when a name or a type has changed.
    """
    if before is None:
        return after
    old = {column.name: column for column in before.columns}
    kinds = [(column.name, column.type) for column in after.columns]
    if kinds == [(column.name, column.type) for column in before.columns]:
        version = before.version
    else:
        version = before.version + 1

    def placed(column: Column) -> Column:
        known = old.get(column.name)
        if known is None or known.role != column.role:
            return column
        if known.type == column.type:
            return replace(column, column=known.column, former=known.former)
        former = (known.column, *known.former)
        return replace(column, column=f"{column.column}_v{version}", former=former)

    return replace(
        after,
        features=tuple(map(placed, after.features)),
        outputs=tuple(map(placed, after.outputs)),
        version=version,
    )


def _outputs(description: Mapping[str, Any], positive: str | None) -> list[Column]:
    """Describe what the model answers: the prediction, then its probabilities."""
    classes: tuple[str, ...] = tuple(description["classes"])
    found = [
        Column(
            "prediction",
            "prediction",
            description["class_type"],
            "prediction",
            classes=classes or None,
        )
    ]
    if not description["has_probability"]:
        return found
    if positive is not None:
        found.append(
            Column("probability", "probability", "double", "probability", classes=(positive,))
        )
        return found
    columns = column_names(classes, prefix="probability")
    found.extend(
        Column(f"probability_{one}", column, "double", "probability", classes=(one,))
        for one, column in zip(classes, columns, strict=True)
    )
    return found


def _of_one_value(
    declared: Signature, description: Mapping[str, Any], outputs: list[Column]
) -> list[Column]:
    """Return the outputs; none of a model of several values a row, which no column holds."""
    roles: tuple[Role, ...] = ("prediction", "label")
    known = [one for role in roles for one in declared.columns if one.role == role]
    if description["classes"]:
        return outputs
    require_width(known[0] if known else None, description)
    return [] if answers_several(description) else outputs


def _named(declared: Sequence[Column], outputs: Sequence[Column]) -> list[Column]:
    """Return the outputs the names and table columns that were declared for their role."""
    found: list[Column] = []
    roles: tuple[Role, ...] = ("prediction", "probability")
    for role in roles:
        named = [column for column in declared if column.role == role]
        made = [column for column in outputs if column.role == role]
        if not named:
            found.extend(made)
        elif len(named) != len(made):
            raise InputError(
                f"the reference names {len(named)} columns of role {role}, "
                f"the model answers {len(made)}; name as many"
            )
        else:
            # Names say which probability is which; else they are in the model's order.
            order = [one.classes[0] for one in made if one.classes] if len(made) > 1 else []
            places = classes_of_columns([one.name for one in named], order)
            if places is not None and set(places) == set(order):
                named = [named[places.index(one)] for one in order]
            found.extend(
                replace(new, name=old.name, column=old.column)
                for old, new in zip(named, made, strict=True)
            )
    return found
