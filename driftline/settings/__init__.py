"""The settings: their schema, where each value came from, and lists of tables."""
