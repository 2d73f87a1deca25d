"""Rows of tables that others write, windowed by a column of times."""
