"""Inferences that a foreign logger reports as two events each."""
