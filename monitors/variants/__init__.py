"""Variants of a model side by side: which rows are compared, and what follows."""
