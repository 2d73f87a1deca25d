"""Model formats: one table, and the reader of each."""
