"""Rows of a table, counted by the values of a column."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select


def count_by(
    connection: Connection, column: ColumnElement[str], where: ColumnElement[bool] | None = None
) -> dict[str, int]:
    """Count the rows of a column's table by its values."""
    query = select(column, func.count()).group_by(column).order_by(column)
    if where is not None:
        query = query.where(where)
    return {str(value): int(count) for value, count in connection.execute(query)}
