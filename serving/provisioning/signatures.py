"""The signature of an endpoint: what the baseline says about inputs, the model about outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from driftline.classes import class_text, classes_of_columns, known_classes
from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import BODIES
from driftline.signature import Column, Signature, column_names, free_name, names_among

Description = Mapping[str, Any]


def answered_signature(
    given: str | Mapping[str, Any] | None,
    described: Mapping[str, Description | None],
    roles: Mapping[str, Any],
) -> tuple[Signature | None, str | None]:
    """Return the signature and positive class that all variants, in one table, share."""
    declared = None
    if given is not None:
        declared = Signature.from_json(given if isinstance(given, str) else json.dumps(given))
    if declared is not None and not described:
        return declared.as_captured(), None
    if declared is None and None in described.values():
        return None, None
    found: dict[str, tuple[Signature | None, str | None]] = {}
    for variant, description in described.items():
        try:
            found[variant] = _answered(declared, description, roles)
        except InputError as error:
            raise InputError(f'variant "{variant}": {error}') from error
    known = [name for name, one in described.items() if one and one["kind"] != BODIES]
    first = (known or [*found])[0]
    if other := next((name for name in known if found[name] != found[first]), None):
        raise InputError(
            f'variants "{first}" and "{other}" answer other classes or types; expected the same of '
            "all"
        )
    return found[first]


def _answered(
    declared: Signature | None, description: Description | None, roles: Mapping[str, Any]
) -> tuple[Signature | None, str | None]:
    if description is None:
        raise InputError(
            "no model lies below its model_data_prefix yet, so that nobody knows what they "
            "answer; put one there, and apply its Model again"
        )
    chosen = roles.get("positive")
    positive = positive_class(declared, description, chosen=chosen)
    if declared is None:
        return None, positive
    if description["kind"] == BODIES:
        return _with_probability(declared.as_captured(), roles), positive
    return endpoint_signature(declared, description, chosen=chosen), positive


def endpoint_signature(
    declared: Signature, description: Description, *, chosen: object = None
) -> Signature:
    """Complete a declared signature, or a baseline's, by what the model answers."""
    if names := [one.name for one in declared.columns if one.role in ("quantile", "weight")]:
        raise InputError(
            f"{', '.join(names)}: a model that is served here is sent its features alone and "
            "answers one prediction; leave weight and quantiles out of the baseline, or capture an "
            "app of your own (docs/your-own-app.md)"
        )
    inputs = declared.as_sent().inputs
    _require_match(inputs, description)
    positive = positive_class(declared, description, chosen=chosen)
    _require_classes(declared, description["classes"], chosen)
    outputs = _named(declared.outputs, _outputs(declared, description, positive))
    return replace(declared, features=inputs, outputs=_free(outputs, inputs))


def _with_probability(signature: Signature, roles: Mapping[str, Any]) -> Signature:
    """Return the signature of a model that answers bodies: of two classes, maybe a probability."""
    answers = {column.role for column in signature.outputs}
    said = [column for column in signature.columns if column.role in ("label", "prediction")]
    is_binary = roles.get("problem") == "binary" or any(
        one.type == "bool" or len(one.classes or one.levels or ()) == 2 for one in said
    )
    if "prediction" not in answers or "probability" in answers or not is_binary:
        return signature
    column = Column("probability", "probability", "double", "probability")
    return replace(signature, outputs=(*signature.outputs, *_free([column], signature.columns)))


def positive_class(
    declared: Signature | None, description: Description, *, chosen: object = None
) -> str | None:
    """Return the class whose probability is answered when there are two; nothing otherwise."""
    classes: Sequence[str] = description["classes"]
    if len(classes) != 2:
        return None
    if chosen is not None:
        if found := _own(classes, _listed(chosen)):
            return found[0]
        raise InputError(
            f"positive {chosen!r}; the model answers {', '.join(classes)}; name its value, too"
        )
    outputs = () if declared is None else declared.outputs
    named = [one.classes[-1] for one in outputs if one.role == "probability" and one.classes]
    return (_own(classes, named) or classes[1:])[0]


def _listed(chosen: object) -> list[object]:
    return chosen if isinstance(chosen, list) else [] if chosen is None else [chosen]


def _own(classes: Sequence[str], names: Sequence[object]) -> list[str]:
    """Return the model's classes that names mean: 1, 1.0, true and their texts are one."""
    return [one for one in known_classes(map(class_text, names), classes) if one in classes]


def _require_classes(declared: Signature, classes: Sequence[str], chosen: object) -> None:
    """Refuse a model none of whose answers is one of the reference's."""
    known = [one for it in declared.outputs if it.role == "prediction" for one in it.classes or ()]
    if known and classes and not _own(classes, [*known, *_listed(chosen)]):
        raise InputError(
            f"the model answers {', '.join(classes[:8])}, the reference's predictions are "
            f"{', '.join(known[:8])}; name the positive value of both, such as "
            f"positive: [{known[-1]}, {classes[-1]}], or bring the reference to the model's values"
        )


def _require_match(inputs: Sequence[Column], description: Description) -> None:
    """Refuse a model that takes other columns than the signature names, or knows other values."""
    given = {column.name: column for column in inputs}
    known, count = description["feature_names"], description["feature_count"]
    names = None if known is None else names_among(known, given)
    problem = ""
    if names is not None and {*names} != {*given}:
        lacking = ", ".join([name for name in names if name not in given][:10])
        extra = ", ".join([name for name in given if name not in names][:10])
        problem = (
            f"the signature lacks {lacking or 'none'}; the model does not know {extra or 'none'}"
        )
    elif names is None and count not in (None, len(given)):
        problem = f"the model takes {count} columns, the signature has {len(given)}"
    if problem:
        raise InputError(
            f"the model's columns are not the signature's: {problem}; exclude columns of the "
            "reference, rename them as the model does, or name their roles"
        )
    renamed = dict(zip(known or (), names or (), strict=True))
    for name, categories in (description.get("categories") or {}).items():
        column = given.get(renamed.get(name, name))
        levels = column.levels or () if column is not None else ()
        texts = {*map(class_text, levels)}
        if texts and categories and texts.isdisjoint(map(class_text, categories)):
            raise InputError(
                f'column "{name}": the reference\'s values ({", ".join(levels[:3])}) are none of '
                f"the model's categories ({', '.join(categories[:3])}), so that it would take all "
                "of them for missing"
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
    is_same = kinds == [(column.name, column.type) for column in before.columns]
    version = before.version + (not is_same)

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


def _outputs(declared: Signature, description: Description, positive: str | None) -> list[Column]:
    """Describe what the model answers: the prediction, then its probabilities."""
    classes: tuple[str, ...] = tuple(description["classes"])
    width = description.get("answer_width") or 1
    if not classes and width > 1:
        single = (one for one in declared.columns if one.role in ("prediction", "label"))
        if (column := next(single, None)) is not None:
            raise InputError(
                f'the model answers {width} values a row; the {column.role} "{column.name}" is '
                "one: give each value a model and an endpoint of its own"
            )
        return []
    kind = description["class_type"]
    found = [Column("prediction", "prediction", kind, "prediction", classes=classes or None)]
    if not description["has_probability"]:
        return found
    if positive is not None:
        names = {"probability": ("probability", positive)}
    else:
        columns = column_names(classes, prefix="probability")
        names = {
            f"probability_{one}": (column, one)
            for one, column in zip(classes, columns, strict=True)
        }
    return found + [
        Column(name, column, "double", "probability", classes=(one,))
        for name, (column, one) in names.items()
    ]


def _named(declared: Sequence[Column], outputs: Sequence[Column]) -> list[Column]:
    """Return the outputs the names and table columns that were declared for their role."""
    found: list[Column] = []
    for role in ("prediction", "probability"):
        named = [column for column in declared if column.role == role]
        made = [column for column in outputs if column.role == role]
        if not named:
            found.extend(made)
            continue
        if len(named) != len(made):
            raise InputError(
                f"the reference names {len(named)} columns of role {role}, "
                f"the model answers {len(made)}; name as many"
            )
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


def _free(outputs: Sequence[Column], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return outputs whose names none of some columns has."""
    taken = {column.name for column in columns}
    return tuple(replace(one, name=free_name(one.name, taken)) for one in outputs)
