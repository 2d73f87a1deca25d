"""Coverage: what became of every record, and what is missing."""
