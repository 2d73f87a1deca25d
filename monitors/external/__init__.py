"""External tables: rows written by others, windowed by a column of times."""
