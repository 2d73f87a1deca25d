"""Names of columns that come by position."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.errors import InputError
from driftline.signature import Column, Signature


def position_names(count: int, signature: Signature | None) -> list[str]:
    """Return names of columns: the signature's where the count fits, else ``_c0`` ….

    Tried in this order: all columns; inputs and outputs; inputs; features of every role.
    """
    columns = columns_by_count(count, signature)
    return [column.name for column in columns] or [f"_c{index}" for index in range(count)]


def given_names(
    given: Sequence[str], count: int, signature: Signature | None, shown: str
) -> list[str]:
    """Return the user's names for columns without a header, else those of `position_names`."""
    if len(given) == count:
        return list(given)
    if given and not columns_by_count(count, signature):
        raise InputError(
            f"{shown}: rows of {count} values without names, and {len(given)} names were given "
            f"({', '.join(given[:4])}{', …' * (len(given) > 4)}); expected one for each value"
        )
    return position_names(count, signature)


def columns_by_count(count: int, signature: Signature | None) -> Sequence[Column]:
    """Return as many columns as there are values, in the order of `position_names`; or none."""
    if signature is not None:
        inputs, outputs = signature.inputs, signature.outputs
        for columns in (signature.columns, (*outputs, *inputs), inputs, signature.features):
            if len(columns) == count:
                return columns
    return ()
