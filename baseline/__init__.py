"""Baselines: the profile of a data set, its statistics and constraints, and versions."""
